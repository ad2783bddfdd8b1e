"""Text → a data set version; knows nothing of HTTP."""
