"""A URL → a file on the disk, whole: its length is checked, and its digest where it is known."""

import contextlib
import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import urllib3

from dataservice.errors import SourceError
from dataservice.prepare.sources.guard import guarded
from dataservice.prepare.sources.place import Place
from dataservice.source_settings import Reading
from shards.answers import is_packed
from shards.attempts import Fetch, RetryPolicy, TransientError
from shards.dataset import check_userinfo
from shards.errors import ShardError
from shards.http import HttpStore
from shards.objects import SCHEMES, ObjectStore
from shards.pool import patient_pool

_LEFT_FREE_BYTES: Final = 256 << 20
_HTTP: Final = ("http://", "https://")


class _Spool:
    """A file that is filled like the bytes of a fetch."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._file: IO[bytes] = path.open("wb")
        self._limit = limit
        self._length = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def __iadd__(self, data: Any) -> Self:
        if self._length + len(data) > self._limit:
            raise SourceError(f"more than {self._limit} bytes came")
        self._file.write(data)
        self._length += len(data)
        return self

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._length = 0

    def digest(self) -> str:
        self._file.flush()
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(slots=True)
class _Download(Fetch):
    """A fetch into a file; what came of it counts after a cut."""

    most: int = 0
    length: int | None = None

    @property
    def limit(self) -> int:
        return self.most

    def failed(self) -> None:
        progress = len(self.received) > self.most_bytes
        self.most_bytes = max(self.most_bytes, len(self.received))
        self.attempts += 1
        self.in_vain = 1 if progress else self.in_vain + 1


class _HttpSource(HttpStore):
    """Downloads of any length, whose end is known by what the server said of it."""

    def __init__(
        self, url: str, headers: Mapping[str, str], policy: RetryPolicy, *, public_only: bool
    ) -> None:
        self._public_only = public_only
        super().__init__(url, policy=policy)
        self.headers = dict(headers)

    def _connect(self) -> None:
        super()._connect()
        if self._public_only:
            self._pool = guarded(patient_pool(self._patience))

    def _check_end(self, fetch: Fetch, response: urllib3.BaseHTTPResponse) -> None:
        told = response.headers.get("Content-Length")
        if told is None and "chunked" not in response.headers.get("Transfer-Encoding", ""):
            raise ShardError(
                "the server does not say how many bytes the file has, so that a cut one would go "
                "unnoticed; fetch it yourself and name the file"
            )
        if told is None or is_packed(response) or response.status != 200:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
        else:
            total = told
        if total.isdigit() and len(fetch.received) != int(total):
            raise TransientError(f"ended after {len(fetch.received)} of {total} bytes")


def fetched(
    place: Place,
    path: Path,
    reading: Reading,
    *,
    public_only: bool = False,
    policy: RetryPolicy | None = None,
) -> None:
    """Download a file of a source to `path`.

    Raises:
        SourceError: when it is not there, may not be had, or does not come whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free - _LEFT_FREE_BYTES
    limit = max(0, min(reading.max_source_bytes, free))
    policy = policy or RetryPolicy()
    try:
        check_userinfo(place.location)
        with _Spool(path, limit) as spool:
            _fetch(place, spool, policy, public_only)
            _check(place, spool)
    except (ShardError, SourceError) as error:
        with contextlib.suppress(OSError):
            path.unlink()
        told = str(error).replace(place.location, place.name)
        prefix = "" if place.name in told else f"{place.name}: "
        raise SourceError(f"source {prefix}{told}; nothing is built from it") from error


def _fetch(place: Place, spool: _Spool, policy: RetryPolicy, public_only: bool) -> None:
    fetch = _Download(
        url=place.location,
        info=None,
        started=time.monotonic(),
        received=spool,  # type: ignore[arg-type]
        most=1 << 62,
        if_missing="check the URL",
        if_unreachable="check that its server is up and reachable, then build again",
    )
    if place.location.startswith(_HTTP):
        _HttpSource(place.location, place.headers, policy, public_only=public_only).fetch(fetch)
    elif place.location.startswith(SCHEMES) and not public_only:
        root, _, name = place.location.rpartition("/")
        ObjectStore(root, policy=policy).fetch(name, fetch)
    else:
        raise SourceError("a URL begins with http, https, s3, gs, az or hf; check it")


def _check(place: Place, spool: _Spool) -> None:
    if place.num_bytes is not None and len(spool) != place.num_bytes:
        raise SourceError(f"{len(spool)} bytes came, {place.num_bytes} were promised")
    if place.sha256 is not None and (found := spool.digest()) != place.sha256:
        raise SourceError(f"its sha256 is {found[:12]}, {place.sha256[:12]} was promised")
