"""Preparing a data set from text: speed, memory and disk beside peers, and the filters' quality."""
