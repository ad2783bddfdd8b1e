"""A URL → bytes, complete and verified: retries, Range resume, a bounded wait.

Loss over HTTP is silent by default (a cut body without Content-Length ends like a whole one),
so nothing is believed before its size and sha256 match the manifest.
"""

import time
from collections.abc import Callable
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from shards.answers import check_small, check_status, is_packed, plain_reason
from shards.attempts import Fetch, RetryPolicy, TransientError, persist
from shards.manifest import BlobInfo
from shards.pool import Patience, patient_pool
from shards.reader import check_blob

__all__ = ["HttpStore", "RetryPolicy"]

_READ_BYTES: Final = 1 << 17
_SHORTEST_S: Final = 0.001


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
        self.headers: dict[str, str] = {}
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

    def fetch(self, fetch: Fetch) -> None:
        """The whole of a URL into the buffer of its fetch, with the same patience."""
        persist(fetch, lambda: self._attempt(fetch), self.policy, self._sleep, self._clock)

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

        def attempt() -> bytes:
            self._attempt(fetch)
            if info is not None:
                check_blob(fetch.received, info)
            return bytes(fetch.received)

        return persist(fetch, attempt, self.policy, self._sleep, self._clock)

    def _attempt(self, fetch: Fetch) -> None:
        """One request that goes on where `received` ends; a TransientError if it falls short."""
        headers = {"Accept-Encoding": "identity", **self.headers}
        if fetch.received:
            headers["Range"] = f"bytes={len(fetch.received)}-"
            if fetch.etag:
                headers["If-Range"] = fetch.etag
        policy, last = self.policy, self.policy.deadline(fetch)
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
        self._check_end(fetch, response)

    def _check_end(self, fetch: Fetch, response: urllib3.BaseHTTPResponse) -> None:
        """Whether what came, and ended in order, is whole."""
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
            silent_at = self.policy.silent_at(began, len(received) - had)
            self._patience.ends_at = min(silent_at, self.policy.deadline(fetch))
            # read1: what has come counts at once, for a resume after a stall and for the deadline
            wanted = min(_READ_BYTES, fetch.limit - len(received))
            chunk = response.read1(wanted, decode_content=encoded)
            received += chunk
        if not chunk or response.length_remaining == 0:
            response.drain_conn()  # nothing is left; this lets the connection be used again

    def _reason(self, error: Exception, fetch: Fetch) -> str:
        policy = self.policy
        return plain_reason(error, fetch.url, policy.connect_timeout_s, policy.read_timeout_s)
