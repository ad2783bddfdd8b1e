"""What can go wrong in the data service → exceptions shown as one line."""

from shards.errors import PrometheusError


class SourceError(PrometheusError):
    """A source is missing or holds something that is not text in its format."""


class BuildError(PrometheusError):
    """A build cannot give a data set version."""
