"""A function and its units of work → their results, in order, from whatever runs them."""
