"""A data set URL → batches in one global order, verified, resumable at any of them."""
