"""Blobs of a remote data set → a bounded local folder, named by content, verified at every use."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shards.errors import CorruptBlobError, StoreFullError
from shards.manifest import BlobInfo
from shards.reader import check_blob
from shards.store import write_atomically

_BLOB: Final = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]+)*")
_TEMPORARY: Final = ".tmp-"
_STALE_S: Final = 3600
_LOCK_PATIENCE_S: Final = 1.0
_RENEW_ONE_IN: Final = 32
_EVICT_AHEAD: Final = 64  # of so many parts of the limit, one at once: to look takes its time
_SPARE: Final = 20  # parts of the disk, of which one is left to others, checkpoints above all
_MAX_SPARE_BYTES: Final = 4_000_000_000
_UNNAMED: Final = getattr(os, "O_TMPFILE", 0)  # Linux alone has files without a name
_UNREADABLE: Final = (errno.EIO, errno.EACCES)
_NO_UNNAMED: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


class Once:
    """A way to tell something, once for all who share it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = False

    def __call__(self, text: str) -> None:
        if not self._told:
            self._told = True
            self._tell(text)


class _BusyError(Exception):
    """Others have held the folder for too long; whatever they do, reading goes on."""


class BlobCache:
    """Keeps what was fetched; the least recently used goes first when the limit is reached.

    Any number of threads and processes may share a folder. Files appear in it whole, under the
    kernel's lock of the folder, which ends with its holder. They are read whole at once, so one
    that is evicted meanwhile is still read to its end. Whatever is wrong with the folder costs
    the cache, never the training.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        fetch: Callable[[BlobInfo], bytes],
        *,
        own: Mapping[str, int] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """`own` are the file names and sizes of all that the run reads, again in every epoch.

        Once the least recently used file is one of them, they do not fit, and what is there stays:
        evicting it would take away just what is needed soon, for what comes an epoch later.
        """
        self.folder = folder
        self.max_bytes = max_bytes
        self.fetch = fetch
        self._own = dict(own or {})
        self._sizes = dict(self._own)  # of others, as they were seen: content has one size
        self._tell = tell
        self._is_full = False  # but for what the run itself reads

    def read(self, info: BlobInfo) -> bytes:
        """A blob, verified, from the folder or else from where it comes."""
        name = Path(info.path).name
        data = self._find(name, info)
        if data is None:
            data = self.fetch(info)
            if len(data) <= self.max_bytes:
                self._keep(name, data)
        return data

    def _find(self, name: str, info: BlobInfo) -> bytes | None:
        path = self.folder / name
        with self._degrading():
            try:
                with path.open("rb") as file:
                    data = file.read(info.bytes + 1)
                    check_blob(data, info)
                    with contextlib.suppress(OSError):  # another user's file
                        _touch(file.fileno())  # a sign of use that outlives mount option noatime
                return data
            except (CorruptBlobError, OSError) as error:
                if not isinstance(error, CorruptBlobError) and error.errno not in _UNREADABLE:
                    raise
                path.unlink(missing_ok=True)
                self._is_full = False  # a good copy takes its place
        return None

    def _keep(self, name: str, data: bytes) -> None:
        renew = secrets.randbelow(_RENEW_ONE_IN) == 0
        if self._is_full and not renew:
            return
        with self._degrading(), contextlib.suppress(_BusyError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder) as folder:
                if self._make_room(folder, name, len(data), renew=renew):
                    _place(folder, self.folder / name, data)

    def _make_room(self, folder: "_Folder", name: str, num_bytes: int, *, renew: bool) -> bool:
        """Whether a file has its place now; nothing is evicted unless it has."""
        names = folder.names()
        if name in names:
            return False  # another process was quicker
        sizes = self._sizes  # which another thread may replace where there are no locks
        for other in names - sizes.keys():
            sizes[other] = folder.status(other).bytes
        used = sum(map(sizes.__getitem__, names))
        disk = folder.disk_room()
        room = min(self.max_bytes - used, disk)
        wanted = num_bytes - room
        victims, self._is_full = self._choose(folder, names, wanted, renew=renew)
        if sum(file.bytes for file in victims) < wanted:
            if disk < num_bytes:
                raise StoreFullError("its disk has no room but what is left for checkpoints")
            return False
        for file in victims:
            folder.remove(file.name)
        return True

    def _choose(
        self, folder: "_Folder", names: set[str], wanted: int, *, renew: bool
    ) -> "tuple[list[_File], bool]":
        """What to evict to get that many bytes, and whether the run's own were in the way.

        Now and then the run's own go all the same, so that what it does not read any more makes
        room for what it reads more often than once an epoch.
        """
        if wanted <= 0:
            return [], False
        files = sorted(map(folder.status, names), key=lambda file: file.used_ns)
        self._sizes = {file.name: file.bytes for file in files} | self._own
        victims, is_full = list[_File](), False
        for file in files:
            is_own = file.name in self._own
            if wanted <= 0 and (is_own or file.bytes - wanted > self.max_bytes // _EVICT_AHEAD):
                break
            if is_own and not renew:
                return [], True
            if _BLOB.fullmatch(file.name):  # nothing else is ours to remove
                victims.append(file)
                wanted -= file.bytes
                is_full |= is_own
        return victims, is_full or wanted > 0

    @contextlib.contextmanager
    def _degrading(self) -> Iterator[None]:
        """Let reading go on when the folder cannot be used, and say why, once."""
        try:
            yield
        except FileNotFoundError:
            pass  # a file, or the whole folder, that was removed just now
        except (OSError, StoreFullError) as error:
            self._is_full = True
            reason = getattr(error, "strerror", None) or error
            if self._tell is not None:
                self._tell(
                    f"blobs are not kept in the cache {self.folder} ({reason}); they are fetched "
                    "whenever they are read; mend that, or name another folder with --cache-dir"
                )


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    bytes: int
    used_ns: int


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder that is open, and locked where its file system can."""

    handle: int
    is_locked: bool

    def names(self) -> set[str]:
        """What lies there; left-overs of writers that were killed are swept."""
        names = set(os.listdir(self.handle))  # noqa: PTH208  # half the time of Path.iterdir
        for name in [name for name in names if name.startswith(_TEMPORARY)]:
            age_s = time.time() - self.status(name).used_ns / 1e9
            # whoever writes has the lock, so what is there now has no writer
            if self.is_locked or age_s > _STALE_S:
                self.remove(name)
                names.remove(name)
        return names

    def status(self, name: str) -> _File:
        """Size and last use; of no size when it is gone, or no file at all."""
        try:
            found = os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return _File(name, 0, 0)
        return _File(name, found.st_size if stat.S_ISREG(found.st_mode) else 0, found.st_mtime_ns)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.handle)

    def disk_room(self) -> int:
        """How many bytes a cache may still take of its disk."""
        disk = os.fstatvfs(self.handle)
        if not disk.f_blocks:  # what a file system without a size says
            return 1 << 62
        spare = min(disk.f_blocks * disk.f_frsize // _SPARE, _MAX_SPARE_BYTES)
        return disk.f_bavail * disk.f_frsize - spare


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[_Folder]:
    """A folder for one writer alone. Raises _BusyError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _Folder(handle, _lock(handle))
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:  # a holder that was stopped, or a very slow disk
                raise _BusyError from None
            time.sleep(0.005)
        except OSError:
            return False  # some network file systems


def _place(folder: _Folder, path: Path, data: bytes) -> None:
    """Put a file in its place, whole; it has no name until then, so that no kill leaves one.

    It is not synced: should a power cut damage it, the next use finds out.
    """
    mode = _UNNAMED | os.O_WRONLY | os.O_CLOEXEC
    try:
        handle = os.open(".", mode, 0o644, dir_fd=folder.handle)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        write_atomically(path, data)
        return
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(handle, 0o644)
        _touch(handle)
        try:
            os.link(f"/proc/self/fd/{handle}", path.name, dst_dir_fd=folder.handle)
            return
        except FileExistsError:  # of the same content
            return
        except FileNotFoundError:  # there is no /proc here
            pass
    write_atomically(path, data)


def _touch(handle: int) -> None:
    """Used now, to the nanosecond: the kernel's own time of a write is some milliseconds coarse."""
    now = time.time_ns()
    os.utime(handle, ns=(now, now))
