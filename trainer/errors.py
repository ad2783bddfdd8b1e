"""What can go wrong in the trainer → exceptions shown as one line."""

from shards.errors import PrometheusError


class TrainingError(PrometheusError):
    """Training cannot start or cannot go on."""


class CheckpointError(PrometheusError):
    """A checkpoint is damaged, missing, or does not belong to what it is used with."""
