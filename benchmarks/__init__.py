"""Comparisons, each run by one command."""
