"""The requests that readers repeat → files of the store, ahead of the app's routes.

What a framework does for a request costs more than most of these answers. Only plain successes
are given here; all else goes on to the routes of the same paths, which say what is wrong.
"""

import hashlib
import os
import re
import stat
from collections import OrderedDict
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dataservice.web.blobs import IMMUTABLE, REVALIDATE, StoredFile, is_known, media_type

_PATH = re.compile(
    r"/datasets/(?:"
    r"blobs/(?P<blob>(?P<sha256>[0-9a-f]{64})(?P<suffix>(?:\.[a-z0-9]{1,16}){0,3}))"
    r"|(?!blobs/)[A-Za-z0-9][A-Za-z0-9._-]{0,63}/"
    r"(?:latest\.json|versions/(?P<version>[0-9a-f]{64})/manifest\.json))"
)
_MAX_FILE_BYTES: Final = 4 << 20
_MAX_KEPT_BYTES: Final = 32 << 20


class StoreFiles:
    """An app with this before it: blobs are sent as files, manifests and pointers from memory."""

    def __init__(self, app: ASGIApp, folder: Path, max_kept_bytes: int = _MAX_KEPT_BYTES) -> None:
        self._app = app
        self._folder = folder
        self._max_kept_bytes = max_kept_bytes
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self.kept_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            response = self._response(scope)
        await (response or self._app)(scope, receive, send)

    def _response(self, scope: Scope) -> Response | None:
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            return None
        path = f"{self._folder}/{found[0].removeprefix('/datasets/')}"
        try:
            status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, on each request
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        headers = Headers(scope=scope)
        if found["blob"] is None:
            return self._small(path, found["version"], status, headers)
        etag = f'"{found["sha256"]}"'
        answer = {"etag": etag, "cache-control": IMMUTABLE}
        if is_known(headers.getlist("if-none-match"), etag):
            return Response(status_code=304, headers=answer)
        kind = media_type(found["suffix"])
        return StoredFile(path, headers=answer, media_type=kind, stat_result=status)

    def _small(
        self, path: str, version: str | None, status: os.stat_result, headers: Headers
    ) -> Response | None:
        """A manifest or a pointer; None for what is better sent from the disk."""
        if status.st_size > _MAX_FILE_BYTES or "range" in headers:
            return None
        kept = self._kept.get(path)
        if kept is None or kept.identity != _identity(status):
            kept = self._keep(path, version)
            if kept is None:
                return None
        else:
            self._kept.move_to_end(path)
        return kept.known if is_known(headers.getlist("if-none-match"), kept.etag) else kept.whole

    def _keep(self, path: str, version: str | None) -> "_Kept | None":
        """Read a file into memory, in place of those that were not asked for the longest."""
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - the path is a string here
                identity = _identity(os.fstat(file.fileno()))
                data = file.read(_MAX_FILE_BYTES + 1)
        except OSError:
            return None
        if len(data) > _MAX_FILE_BYTES:
            return None
        etag = f'"{version or hashlib.sha256(data).hexdigest()}"'
        headers = {"etag": etag, "cache-control": IMMUTABLE if version else REVALIDATE}
        more = {}
        if version:  # as the route has them, to which ranges are left
            modified = formatdate(identity[1] // 1_000_000_000, usegmt=True)
            more = {"accept-ranges": "bytes", "last-modified": modified}
        kept = _Kept(
            identity=identity,
            etag=etag,
            whole=Response(data, headers=headers | more, media_type=media_type(".json")),
            known=Response(status_code=304, headers=headers),
        )
        replaced = self._kept.pop(path, None)
        self.kept_bytes += len(data) - (replaced.size if replaced else 0)
        self._kept[path] = kept
        while self.kept_bytes > self._max_kept_bytes:
            self.kept_bytes -= self._kept.popitem(last=False)[1].size
        return kept


@dataclass(frozen=True)
class _Kept:
    """A small file in memory, as the answers that are given with it."""

    identity: tuple[int, int, int]
    etag: str
    whole: Response
    known: Response

    @property
    def size(self) -> int:
        return len(self.whole.body)


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is replaced."""
    return status.st_ino, status.st_mtime_ns, status.st_size
