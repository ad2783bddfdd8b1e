"""Counts of a build → its statistics, and the page that shows them."""
