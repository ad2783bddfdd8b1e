"""The translation model: its network, its loss, and how text ids are decoded from it."""
