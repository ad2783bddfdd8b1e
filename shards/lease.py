"""The URL of a data set version → a lease on it, held in the background for as long as it is read.

A version that is leased is not collected by its service. Reading never depends on it: without one
a collected version ends in a clear error, never in other data.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urljoin

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from shards.errors import GoneError
from shards.pool import Patience, patient_pool

MAX_TTL_S: Final = 7 * 24 * 3600
DEFAULT_TTL_S: Final = 3600

_FIRST_WAIT_S: Final = 2.0
_LAST_WAIT_S: Final = 5.0
_MAX_BACKOFF_S: Final = 60.0
_MAX_ANSWER_BYTES: Final = 1 << 16
_MAX_TEXT: Final = 1000
_MAX_REDIRECTS: Final = 3
_MAX_HOLDER: Final = 200
_ID = re.compile(r"[0-9a-f]{32}")
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 507})

LeaseState = Literal["none", "asking", "held", "gone", "ended"]


class LeaseKeeper:
    """Holds a version while its block lasts, by a daemon thread; reading goes on whatever it meets.

        with LeaseKeeper(dataset.ref.url, holder="gpu-box runs/http", tell=say) as lease:
            for batch in stream:
                lease.check()  # GoneError once the service says that the version was collected
                ...

    For several data sets, or the `ref.places` of one with mirrors, hold one each, by
    `contextlib.ExitStack`. A place without leases (a folder, a bucket, a static file server) is
    fine: `state` is "none" and `note` says so. A service that is away is asked again until it
    answers. One that forgot the lease is asked for another. At the end of the block the lease is
    given back; after kill -9 it just expires.
    """

    def __init__(
        self,
        url: str,
        *,
        holder: str,
        ttl_s: int = DEFAULT_TTL_S,
        tell: Callable[[str], object] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        """`url` names one version: ROOT/NAME/versions/SHA; `tell` gets each new `note` once."""
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise ValueError(f"ttl_s is {ttl_s}, a lease lasts 1 to {MAX_TTL_S} seconds")
        self.state: LeaseState = "none"
        self.note: str | None = None
        self.problem: str | None = None
        """Why the version can no longer be read, once it was collected."""
        self._url = url.rstrip("/")
        self._body = {"holder": _printable(holder)[:_MAX_HOLDER] or "a reader", "ttl_s": ttl_s}
        self._ttl_s = float(ttl_s)
        self._tell = tell
        self._timeout_s = timeout_s
        self._patience = Patience(time.monotonic)
        self._lease: str | None = None
        self._was_held = False
        self._failures = 0
        self._tried = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to hold; waits for the first answer, but not for long."""
        if self._url.startswith(("http://", "https://")):
            self.state = "asking"
            self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
            self._thread.start()
            self._tried.wait(_FIRST_WAIT_S)
        else:
            self.note = f"{self._url} is no service, so nothing holds the version while it is read"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LAST_WAIT_S)

    def check(self) -> None:
        """Raise GoneError if the service said that the version was collected."""
        if self.problem is not None:
            raise GoneError(self.problem)

    def _run(self) -> None:
        with patient_pool(self._patience) as pool:
            wait_s: float | None = 0.0
            while wait_s is not None and not self._stop.wait(wait_s):
                wait_s = self._step(pool)
                if wait_s != 0:
                    self._tried.set()
            if self._lease is not None:
                self._give_back(pool)

    def _step(self, pool: urllib3.PoolManager) -> float | None:
        """Acquire or renew; the seconds to wait until the next time, None when there is none."""
        try:
            if self._lease is None:
                status, answer = self._ask(pool, "POST", f"{self._url}/leases", self._body)
            else:
                status, answer = self._ask(pool, "PUT", f"{self._url}/leases/{self._lease}")
        except (HTTPError, ValueError) as error:  # ValueError: redirected to what is no URL
            reason: object = getattr(error, "reason", None) or error
            return self._again(f"the service does not answer ({type(reason).__name__})")
        if status in (200, 201):
            return self._granted(answer)
        if status in (404, 410) and self._lease is not None:
            self._lease = None  # the service lost it: ask for another at once
            return 0.0
        if status == 410:
            self.state = "gone"
            self.problem = _detail(answer) or f"{self._url} was collected (HTTP 410)"
            self._say(self.problem)
            return None
        if status in _PASSING or self._was_held:
            return self._again(f"HTTP {status} {_detail(answer)}".strip())
        self.state = "none"
        self._say(
            f"{self._url} cannot be held (HTTP {status}: no leases there); reading needs none, "
            "but a collection there does not wait for it"
        )
        return None

    def _ask(
        self, pool: urllib3.PoolManager, method: str, url: str, body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of an answer; no more of it is read than a service would send."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        timeout = Timeout(connect=self._timeout_s, read=self._timeout_s)
        self._patience.ends_at = time.monotonic() + 2 * self._timeout_s
        location: object = url
        for _ in range(1 + _MAX_REDIRECTS):
            if not isinstance(location, str):
                break
            url = urljoin(url, location)
            # followed here: what is no URL would leave the library's connection open
            response = pool.request(
                *(method, url),
                body=data,
                headers=headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
            )
            try:
                text = response.read(_MAX_ANSWER_BYTES, decode_content=True)
            finally:
                response.close()
            location = response.get_redirect_location()
        try:
            return response.status, json.loads(text)
        except (ValueError, RecursionError):
            return response.status, None

    def _granted(self, answer: Any) -> float | None:
        found = answer if isinstance(answer, dict) else {}
        lease, ttl_s = found.get("id"), found.get("ttl_s")
        if not isinstance(lease, str) or not _ID.fullmatch(lease):
            if self._lease is None and not self._was_held:
                self.state = "none"
                self._say(f"{self._url} cannot be held: what answers there is no data service")
                return None
            return self._again("the answer is no lease")
        if isinstance(ttl_s, int) and 1 <= ttl_s <= MAX_TTL_S:
            self._ttl_s = float(ttl_s)
        if self._failures:
            self._say(f"{self._url} is held again")
        self.state, self._lease, self._was_held, self._failures = "held", lease, True, 0
        return self._ttl_s / 3

    def _again(self, reason: str) -> float:
        """Seconds until the next try, after one that failed in a way that may pass."""
        if not self._failures:
            self._say(
                f"the lease on {self._url} could not be had or renewed: {reason}; it is tried "
                "again, and reading goes on"
            )
        self._failures += 1
        return min(2.0 ** min(self._failures - 1, 6), _MAX_BACKOFF_S, self._ttl_s / 3)

    def _give_back(self, pool: urllib3.PoolManager) -> None:
        self.state = "ended"
        try:
            self._ask(pool, "DELETE", f"{self._url}/leases/{self._lease}")
        except (HTTPError, ValueError):
            return  # it expires by itself

    def _say(self, note: str) -> None:
        self.note = note
        if self._tell is not None:
            self._tell(note)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()


def _detail(answer: Any) -> str:
    """The sentence that a service gives for an error."""
    detail = answer.get("detail") if isinstance(answer, dict) else None
    return _printable(detail)[:_MAX_TEXT] if isinstance(detail, str) else ""
