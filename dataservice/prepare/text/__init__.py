"""What a text is to a build: its code points, its normal form, its keys."""
