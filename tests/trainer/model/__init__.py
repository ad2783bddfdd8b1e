"""Tests of the model, its loss and its decoding."""
