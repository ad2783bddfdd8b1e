"""Tests of the documents and of the code in them."""
