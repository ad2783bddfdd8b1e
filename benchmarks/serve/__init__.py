"""Serving speed of the data service and its peers."""
