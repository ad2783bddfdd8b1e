"""Blobs of a remote data set → a bounded local folder, named by content, verified at every use."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from shards.errors import CorruptBlobError, StoreFullError
from shards.manifest import BlobInfo
from shards.reader import check_blob
from shards.store import write_atomically


class BlobCache:
    """Keeps what was fetched; the least recently used goes first when the limit is reached.

    Files appear by rename and are read whole at once, so several processes may share a folder.
    A damaged file is fetched again; a full disk costs the cache, never the training.
    """

    def __init__(self, folder: Path, max_bytes: int, fetch: Callable[[BlobInfo], bytes]) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.fetch = fetch

    def read(self, info: BlobInfo) -> bytes:
        """A blob, verified, from the folder or else from where it comes."""
        path = self.folder / Path(info.path).name
        with contextlib.suppress(FileNotFoundError, CorruptBlobError):
            data = path.read_bytes()
            check_blob(data, info)
            with contextlib.suppress(OSError):  # evicted just now, or another user's file
                os.utime(path)  # a sign of use that outlives mount option noatime
            return data
        data = self.fetch(info)
        if info.bytes <= self.max_bytes:
            self._keep(path, data)
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        self._make_room(len(data))
        with contextlib.suppress(StoreFullError, PermissionError):
            write_atomically(path, data)

    def _make_room(self, num_bytes: int) -> None:
        files = []
        for path in self.folder.glob("[!.]*"):
            with contextlib.suppress(FileNotFoundError):  # another process evicts as well
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        used = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if used + num_bytes <= self.max_bytes:
                return
            path.unlink(missing_ok=True)
            used -= size
