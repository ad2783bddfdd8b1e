"""Attempts that may fail → what one of them gives, or one error after a bounded wait."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from shards.errors import CorruptBlobError, StoreUnavailableError
from shards.manifest import BlobInfo

MAX_SMALL_BYTES: Final = 256 << 20

T = TypeVar("T")


class TransientError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to try: waits double from `first_wait_s` up to `max_wait_s`.

    `attempts` are those in a row that bring nothing new. A link that is slower than
    `min_bytes_per_s` counts as silent; what comes on a faster one extends the deadline. A server's
    own wish to wait counts up to `max_retry_after_s`.
    """

    attempts: int = 8
    first_wait_s: float = 0.2
    max_wait_s: float = 10.0
    max_retry_after_s: float = 60.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    deadline_s: float = 600.0
    min_bytes_per_s: float = 10_000.0

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds to wait after failed attempt 0, 1, …; the server's wish counts, if bounded."""
        backoff = min(self.first_wait_s * 2.0 ** min(attempt, 60), self.max_wait_s)
        return max(backoff, min(retry_after_s or 0.0, self.max_retry_after_s))

    def deadline(self, fetch: "Fetch") -> float:
        """When a file is given up, by the clock: later, the more of it is there."""
        return fetch.started + self.deadline_s + len(fetch.received) / self.min_bytes_per_s

    def silent_at(self, began: float, num_bytes: int) -> float:
        """When a body that began then, and brought so many bytes, is too slow to be waited for."""
        return began + self.read_timeout_s + num_bytes / self.min_bytes_per_s


@dataclass(slots=True)
class Fetch:
    """A file on its way: what came of it, how often it was asked for, and what to do in vain."""

    url: str
    info: BlobInfo | None
    started: float
    if_missing: str = (
        "check the URL, and with `curl` of its parent which data sets and versions exist"
    )
    if_unreachable: str = (
        "nothing was lost; check that the service is up and reachable, then run the same command "
        "again"
    )
    received: bytearray = field(default_factory=bytearray)
    etag: str | None = None
    most_bytes: int = 0
    attempts: int = 0
    in_vain: int = 0  # attempts in a row that brought nothing new
    doubtful: bytes | None = None  # what came of a small file that cannot be right

    @property
    def limit(self) -> int:
        return self.info.bytes if self.info is not None else MAX_SMALL_BYTES

    def failed(self) -> None:
        """Count an attempt; what it brought of a small file is of no use to the next."""
        if self.info is None:
            self.received.clear()
        progress = len(self.received) > self.most_bytes
        self.most_bytes = max(self.most_bytes, len(self.received))
        self.attempts += 1
        self.in_vain = 1 if progress else self.in_vain + 1


def persist(
    fetch: Fetch,
    attempt: Callable[[], T],
    policy: RetryPolicy,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
) -> T:
    """Try until it works, cannot work, or the policy's patience is at its end.

    Raises:
        CorruptBlobError, StoreUnavailableError: by what the last attempt met.
    """
    while True:
        corrupt, retry_after_s = None, None
        try:
            return attempt()
        except TransientError as error:
            reason, retry_after_s = str(error), error.retry_after_s
        except CorruptBlobError as error:
            reason, corrupt = str(error), error
            fetch.received.clear()
        fetch.failed()
        wait_s = policy.wait_s(fetch.in_vain - 1, retry_after_s)
        late = clock() + wait_s > policy.deadline(fetch)
        if late or fetch.in_vain >= policy.attempts:
            break
        sleep(wait_s)
    if corrupt is not None:
        raise CorruptBlobError(f"{fetch.url}: {corrupt}")
    until = f" until the deadline of {policy.deadline_s:g} s" if late else ""
    raise StoreUnavailableError(
        f"{fetch.url} could not be fetched in {fetch.attempts} attempts{until}: {reason}; "
        f"{fetch.if_unreachable}"
    )
