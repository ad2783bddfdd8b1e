"""A URL → bytes, complete and verified: retries, Range resume, a bounded wait.

Loss over HTTP is silent by default (a cut body without Content-Length ends like a whole one),
so nothing is believed before its size and sha256 match the manifest.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from shards.answers import (
    Fetch,
    TransientError,
    check_small,
    check_status,
    is_packed,
    plain_reason,
)
from shards.errors import CorruptBlobError, StoreUnavailableError
from shards.manifest import BlobInfo
from shards.pool import Patience, patient_pool
from shards.reader import check_blob

_READ_BYTES: Final = 1 << 17
_SHORTEST_S: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to try: waits double from `first_wait_s` up to `max_wait_s`.

    `attempts` are those in a row that bring nothing new. A link that is slower than
    `min_bytes_per_s` counts as silent; what comes on a faster one extends the deadline.
    """

    attempts: int = 8
    first_wait_s: float = 0.2
    max_wait_s: float = 10.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    deadline_s: float = 600.0
    min_bytes_per_s: float = 10_000.0
    max_retry_after_s: float = 60.0

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds to wait after failed attempt 0, 1, …; the server's wish counts, if bounded."""
        backoff = min(self.first_wait_s * 2.0 ** min(attempt, 60), self.max_wait_s)
        if retry_after_s is None:
            return backoff
        return max(backoff, min(retry_after_s, self.max_retry_after_s))


class HttpStore:
    """A tree of data sets behind http(s), read-only; safe to use from several threads."""

    def __init__(
        self,
        root: str,
        *,
        policy: RetryPolicy | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root.rstrip("/")
        self.policy = policy or RetryPolicy()
        self._sleep = sleep
        self._clock = clock
        self._connect()

    def read(self, path: str) -> bytes:
        """The whole of a small file.

        It is not verified. But a manifest that is not its version's, or JSON that cannot be parsed,
        is fetched again, and handed over only if the same came twice.
        """
        return self._fetch(path, None)

    def read_blob(self, info: BlobInfo) -> bytes:
        """The whole of a blob, verified against the manifest."""
        return self._fetch(info.path, info)

    def _connect(self) -> None:
        self._patience = Patience(self._clock)
        self._pool = patient_pool(self._patience)

    def __getstate__(self) -> dict[str, object]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_patience", "_pool")
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._connect()

    def _fetch(self, path: str, info: BlobInfo | None) -> bytes:
        fetch = Fetch(f"{self.root}/{path}", info, self._clock())
        while True:
            corrupt, retry_after_s = None, None
            try:
                self._attempt(fetch)
                if info is not None:
                    check_blob(fetch.received, info)
                return bytes(fetch.received)
            except TransientError as error:
                reason, retry_after_s = str(error), error.retry_after_s
            except CorruptBlobError as error:
                reason, corrupt = str(error), error
                fetch.received.clear()
            fetch.failed()
            wait_s = self.policy.wait_s(fetch.in_vain - 1, retry_after_s)
            late = self._clock() + wait_s > self._deadline(fetch)
            if late or fetch.in_vain >= self.policy.attempts:
                break
            self._sleep(wait_s)
        if corrupt is not None:
            raise CorruptBlobError(f"{fetch.url}: {corrupt}")
        until = f" until the deadline of {self.policy.deadline_s:g} s" if late else ""
        raise StoreUnavailableError(
            f"{fetch.url} could not be fetched in {fetch.attempts} attempts{until}: {reason}; "
            "nothing was lost; check that the service is up and reachable, then run the same "
            "command again"
        )

    def _deadline(self, fetch: Fetch) -> float:
        """When a file is given up, by the clock: later, the more of it is there."""
        useful_s = len(fetch.received) / self.policy.min_bytes_per_s
        return fetch.started + self.policy.deadline_s + useful_s

    def _attempt(self, fetch: Fetch) -> None:
        """One request that goes on where `received` ends; a TransientError if it falls short."""
        headers = {"Accept-Encoding": "identity"}
        if fetch.received:
            headers["Range"] = f"bytes={len(fetch.received)}-"
            if fetch.etag:
                headers["If-Range"] = fetch.etag
        policy, last = self.policy, self._deadline(fetch)
        first_byte_s = policy.connect_timeout_s + policy.read_timeout_s
        self._patience.ends_at = min(self._clock() + first_byte_s, last)
        left_s = max(self._patience.left_s, _SHORTEST_S)
        timeout = Timeout(
            connect=min(policy.connect_timeout_s, left_s), read=min(policy.read_timeout_s, left_s)
        )
        try:
            response = self._pool.request(
                "GET", fetch.url, headers=headers, timeout=timeout, preload_content=False
            )
        except (HTTPError, ValueError) as error:  # ValueError: redirected to what is no URL
            raise TransientError(self._reason(error, fetch)) from error
        try:
            check_status(fetch, response)
            self._read_body(fetch, response)
        except HTTPError as error:
            reason = self._reason(error, fetch)
            raise TransientError(f"cut after {len(fetch.received)} bytes: {reason}") from error
        finally:
            response.close()
        if fetch.info is None:
            check_small(fetch, response)
        elif len(fetch.received) < fetch.info.bytes:
            told = f"ended after {len(fetch.received)} of {fetch.info.bytes} bytes"
            raise TransientError(told)

    def _read_body(self, fetch: Fetch, response: urllib3.BaseHTTPResponse) -> None:
        """Add what comes, no more of it than a whole file has."""
        received, began, had = fetch.received, self._clock(), len(fetch.received)
        encoded = is_packed(response)
        chunk = b"?"
        while chunk and len(received) < fetch.limit:
            useful_s = (len(received) - had) / self.policy.min_bytes_per_s
            silent_at = began + self.policy.read_timeout_s + useful_s
            self._patience.ends_at = min(silent_at, self._deadline(fetch))
            # read1: what has come counts at once, for a resume after a stall and for the deadline
            wanted = min(_READ_BYTES, fetch.limit - len(received))
            chunk = response.read1(wanted, decode_content=encoded)
            received += chunk
        if not chunk or response.length_remaining == 0:
            response.drain_conn()  # nothing is left; this lets the connection be used again

    def _reason(self, error: Exception, fetch: Fetch) -> str:
        policy = self.policy
        return plain_reason(error, fetch.url, policy.connect_timeout_s, policy.read_timeout_s)
