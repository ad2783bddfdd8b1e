"""One module a system: how it writes the pairs, and how its padded batches are read."""
