"""What can go wrong → exceptions whose text a user can act on.

Every message names the subject, the value, the consequence and the remedy.
"""


class PrometheusError(Exception):
    """Something a user can mend; programs show it as one line and exit non-zero."""


class ShardError(PrometheusError):
    """A data set, or a part of one, cannot be used."""


class ManifestError(ShardError):
    """A manifest is damaged, or of a format version this code does not read."""


class CorruptBlobError(ShardError):
    """Bytes differ from what the manifest promises."""


class NotFoundError(ShardError):
    """A data set, version or blob is not where its URL says."""


class GoneError(NotFoundError):
    """A version was there and has been collected, or a blob with it (HTTP 410)."""


class StoreUnavailableError(ShardError):
    """A store did not answer within the retries and the deadline allowed."""


class StoreFullError(ShardError):
    """A store's disk has no room for what was to be written."""
