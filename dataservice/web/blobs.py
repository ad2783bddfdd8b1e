"""A file of the store → the response that serves it: whole, in ranges, or 304 when it is known."""

import hashlib
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fastapi import Request, Response
from fastapi.responses import FileResponse

from shards.errors import NotFoundError
from shards.manifest import MODEL_SUFFIX, SHARD_SUFFIX

IMMUTABLE: Final = "public, max-age=31536000, immutable"
REVALIDATE: Final = "no-cache"

_BLOB = re.compile(r"(?P<sha256>[0-9a-f]{64})(?P<suffix>(\.[a-z0-9]{1,16}){0,3})")
_MEDIA_TYPES: Final = {
    SHARD_SUFFIX: "application/zstd",
    MODEL_SUFFIX: "application/octet-stream",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
}


class StoredFile(FileResponse):
    """A file in large pieces: each costs a hop to a thread, and blobs are megabytes."""

    chunk_size = 1 << 20


def blob_response(request: Request, folder: Path, file: str) -> Response:
    """A blob, by its file name; its sha256 is its ETag.

    Raises:
        NotFoundError: when it is not there, or the name is none that a blob can have.
    """
    name = _BLOB.fullmatch(file)
    if name is None:
        raise NotFoundError(
            f"{file[:100]!r} is no name of a blob, which is its sha256 in 64 digits of 0-9 a-f and "
            "a suffix such as .tar.zst; a version's manifest names its blobs"
        )
    missing = (
        f"there is no blob {file} here; a version's manifest names its blobs, and "
        "GET /datasets lists what there is"
    )
    path = folder / "blobs" / file
    return immutable_response(request, path, name["sha256"], media_type(name["suffix"]), missing)


def media_type(suffix: str) -> str:
    """What a file of the store is called in a Content-Type."""
    return _MEDIA_TYPES.get(suffix, "application/octet-stream")


def immutable_response(
    request: Request, path: Path, sha256: str, kind: str, missing: str
) -> Response:
    """A file that never changes.

    Raises:
        NotFoundError: with the text `missing`, when it is not there.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(missing) from error
    if not stat.S_ISREG(status.st_mode):
        raise NotFoundError(missing)
    headers = {"etag": f'"{sha256}"', "cache-control": IMMUTABLE}
    if is_known(request.headers.getlist("if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    return StoredFile(path, headers=headers, media_type=kind, stat_result=status)


def pointer_response(request: Request, data: bytes) -> Response:
    """A small file that may change, from bytes in hand: its ETag and body cannot disagree."""
    headers = {"etag": f'"{hashlib.sha256(data).hexdigest()}"', "cache-control": REVALIDATE}
    if is_known(request.headers.getlist("if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=_MEDIA_TYPES[".json"])


def is_known(if_none_match: Sequence[str], etag: str) -> bool:
    """Whether `If-None-Match` lists an ETag; weak comparison, as the standard asks for here."""
    tags = [tag.strip() for line in if_none_match for tag in line.split(",")]
    return "*" in tags or etag in [tag.removeprefix("W/") for tag in tags]
