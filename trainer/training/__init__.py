"""Batches and a model → steps, checkpoints and metrics."""
