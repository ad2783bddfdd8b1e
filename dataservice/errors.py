"""What can go wrong in the data service → exceptions shown as one line."""

from shards.errors import PrometheusError


class SourceError(PrometheusError):
    """A source is missing or holds something that is not text in its format."""


class BuildError(PrometheusError):
    """A build cannot give a data set version."""


class UnfinishedError(BuildError):
    """A build ended for a reason that may pass; what it finished is kept for the same command."""


class WorkerDiedError(UnfinishedError):
    """A unit of work killed its worker again and again."""
