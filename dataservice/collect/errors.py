"""What can go wrong with leases and collections → exceptions that say what to do."""

from shards.errors import NotFoundError, PrometheusError


class CollectError(PrometheusError):
    """Something that a collection has to respect cannot be read; it removes nothing then."""


class LeaseNotFoundError(NotFoundError):
    """There is no such lease: it was given back, or expired and was cleared away."""


class TooManyLeasesError(PrometheusError):
    """More leases are held than one service keeps."""
