"""A URL → bytes, complete and verified: retries, Range resume, a bounded wait.

Loss over HTTP is silent by default (a cut body without Content-Length ends like a whole one),
so nothing is believed before its size and sha256 match the manifest.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from shards.errors import CorruptBlobError, NotFoundError, ShardError, StoreUnavailableError
from shards.manifest import BlobInfo
from shards.reader import check_blob

_READ_BYTES = 1 << 17
_MAX_SMALL_BYTES = 256 << 20

_OBJECT = re.compile(r"^<?\w+\(host=.*?\)>?: |^<[^>]*>: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to try: waits double from `first_wait_s` up to `max_wait_s`."""

    attempts: int = 8
    first_wait_s: float = 0.2
    max_wait_s: float = 10.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    deadline_s: float = 600.0

    def wait_s(self, attempt: int, retry_after_s: float | None) -> float:
        """Seconds to wait after failed attempt 0, 1, …; the server's wish counts, if bounded."""
        backoff = min(self.first_wait_s * 2.0**attempt, self.max_wait_s)
        return backoff if retry_after_s is None else min(max(backoff, retry_after_s), 60.0)


class _TransientError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


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
        self._local = threading.local()

    def read(self, path: str) -> bytes:
        """The whole of a small file, unverified."""
        return self._fetch(path, None)

    def read_blob(self, info: BlobInfo) -> bytes:
        """The whole of a blob, verified against the manifest."""
        return self._fetch(info.path, info)

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_local"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _local=threading.local())

    def _pool(self) -> urllib3.PoolManager:
        """One pool for each thread: connections are kept alive without being shared."""
        if not hasattr(self._local, "pool"):
            timeout = Timeout(
                connect=self.policy.connect_timeout_s, read=self.policy.read_timeout_s
            )
            retries = Retry(
                total=5, connect=0, read=0, status=0, other=0, respect_retry_after_header=False
            )
            self._local.pool = urllib3.PoolManager(timeout=timeout, retries=retries)
        pool: urllib3.PoolManager = self._local.pool
        return pool

    def _fetch(self, path: str, info: BlobInfo | None) -> bytes:
        url = f"{self.root}/{path}"
        received = bytearray()
        started = self._clock()
        reason = ""
        corrupt: CorruptBlobError | None = None
        for attempt in range(self.policy.attempts):
            wait_s: float | None = None
            try:
                self._attempt(url, received, info, started)
                if info is not None:
                    check_blob(received, info)
                return bytes(received)
            except _TransientError as error:
                reason, corrupt, wait_s = str(error), None, error.retry_after_s
            except CorruptBlobError as error:
                reason, corrupt = str(error), error
                received.clear()
            elapsed = self._clock() - started
            wait_s = self.policy.wait_s(attempt, wait_s)
            if elapsed + wait_s > self.policy.deadline_s:
                break
            if attempt + 1 < self.policy.attempts:
                self._sleep(wait_s)
        if corrupt is not None:
            raise CorruptBlobError(f"{url}: {corrupt}")
        raise StoreUnavailableError(
            f"{url} could not be fetched in {attempt + 1} attempts: {reason}; nothing was lost; "
            "check that the service is up and reachable, then run the same command again"
        )

    def _attempt(
        self, url: str, received: bytearray, info: BlobInfo | None, started: float
    ) -> None:
        """One request that goes on where `received` ends; a _TransientError if it falls short."""
        headers = {"Accept-Encoding": "identity"}
        if received and info is not None:
            headers["Range"] = f"bytes={len(received)}-"
            headers["If-Range"] = f'"{info.sha256}"'
        else:
            received.clear()
        try:
            response = self._pool().request("GET", url, headers=headers, preload_content=False)
        except HTTPError as error:
            raise _TransientError(_plain(error)) from error
        try:
            self._check_status(url, response, received)
            limit = info.bytes if info is not None else _MAX_SMALL_BYTES
            # read1: what has come counts at once, for a resume after a stall and for the deadline
            while chunk := response.read1(_READ_BYTES, decode_content=False):
                received += chunk
                if len(received) > limit:
                    received.clear()
                    raise _TransientError(f"more than the expected {limit} bytes came")
                if self._clock() - started > self.policy.deadline_s:
                    raise _TransientError(f"still incomplete after {self.policy.deadline_s:.0f} s")
            response.drain_conn()  # nothing is left; this lets the connection be used again
        except HTTPError as error:
            raise _TransientError(f"cut after {len(received)} bytes: {_plain(error)}") from error
        finally:
            response.close()
        if info is not None and len(received) < info.bytes:
            raise _TransientError(f"ended after {len(received)} of {info.bytes} bytes")

    @staticmethod
    def _check_status(url: str, response: urllib3.BaseHTTPResponse, received: bytearray) -> None:
        status = response.status
        if status == 206 and received:
            start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
            if start != str(len(received)):
                received.clear()
                raise _TransientError(
                    f"the answer to a Range request starts at {start or 'no offset'}"
                )
            return
        if status == 200:
            received.clear()
            return
        if status in (404, 410):
            raise NotFoundError(
                f"{url} is not there (HTTP {status}); check the URL, and with "
                "`curl` of its parent which data sets and versions exist"
            )
        received.clear()
        if status in (408, 416, 425, 429, 206) or status >= 500:
            after = response.headers.get("Retry-After", "")
            raise _TransientError(f"HTTP {status}", float(after) if after.isdigit() else None)
        raise ShardError(f"{url} was refused with HTTP {status}; check the URL and your access")


def _plain(error: HTTPError) -> str:
    """The innermost reason of a urllib3 error, without object addresses."""
    reason: object = getattr(error, "reason", None) or error
    return _OBJECT.sub("", str(reason))
