"""Built-in demo corpus -> Russian-English sentence pairs that need no input files."""
