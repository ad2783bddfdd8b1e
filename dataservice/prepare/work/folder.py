"""A place for work and a build's key → the build's folder in it, found again after a kill.

`build-KEY` holds the files of one build and its journal. Whoever holds the lock in it is at work;
the lock of a process ends with it, however it ends.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from dataservice.errors import UnfinishedError
from dataservice.prepare.work.versions import versions
from shards.cli.console import Report, silent
from shards.errors import StoreFullError
from shards.manifest import canonical_json

JOURNAL_FILE: Final = "journal"
LOCK_FILE: Final = "lock"
_FINISHED: Final = "finished"
_MB: Final = 10**6


def build_key(decides: Mapping[str, Any]) -> str:
    """A digest of all that decides what a build does: what is given, the libraries, our code."""
    known = {"decides": dict(decides), "versions": versions()}
    return hashlib.sha256(canonical_json(known)).hexdigest()[:32]


def file_identity(path: Path) -> dict[str, str | int]:
    """What tells a local file from another one, or from itself once it was changed."""
    identity: dict[str, str | int] = {"path": str(path.absolute())}
    with suppress(OSError):  # reading it will say what is wrong
        status = path.stat()
        identity |= {
            "bytes": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "ctime_ns": status.st_ctime_ns,  # no copying tool sets it back
            "inode": status.st_ino,
        }
    return identity


@contextmanager
def work_folder(
    work: Path,
    key: str | None = None,
    *,
    keep_s: float = 0,
    keep_bytes: int = 0,
    keep_this: bool = True,
    report: Report = silent,
) -> Iterator[Path]:
    """A build's own folder, locked while we live; without a key nobody finds it again.

    It is removed at the end, except when the build was interrupted or may succeed later, or fits
    `keep_bytes` with those of other finished builds, the latest first, unless `keep_this` says no.
    Those of builds that were
    killed are removed when nothing was done in them for `keep_s` seconds. A second build with the
    same key waits for the first.
    """
    folder, lock = _take(work, key or f"once-{secrets.token_hex(8)}", keep_s, report)
    with lock:
        try:
            yield folder
        except BaseException as error:
            if key is None or (isinstance(error, Exception) and not _may_pass(error)):
                _remove(work, folder)
            raise
        if keep_bytes and keep_this:
            (folder / _FINISHED).touch()
        else:
            _remove(work, folder)
    _trim(work, keep_bytes)


def _trim(work: Path, keep_bytes: int) -> None:
    """Remove the oldest folders of finished builds beyond so many bytes of all together."""
    with (work / LOCK_FILE).open("wb") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        finished = []
        for marker in work.glob(f"build-*/{_FINISHED}"):
            with suppress(FileNotFoundError):
                finished.append((marker.stat().st_mtime_ns, marker.parent))
        total = 0
        for _, folder in sorted(finished, reverse=True):
            total += _bytes_of(folder)
            if total > keep_bytes:
                _remove_unlocked(folder)


def _bytes_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _remove_unlocked(folder: Path) -> None:
    # a build that ends just now removes its folder itself, and one at work holds its lock
    with (
        suppress(FileNotFoundError, BlockingIOError, NotADirectoryError),
        (folder / LOCK_FILE).open("ab") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OSError):  # but not that the disk is full of it
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, UnfinishedError)


def _take(work: Path, key: str, keep_s: float, report: Report) -> tuple[Path, IO[bytes]]:
    folder = work / f"build-{key}"
    while True:
        with (work / LOCK_FILE).open("wb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)  # nobody sweeps a folder that is not locked yet
            _sweep(work, keep_s, spare=folder)
            folder.mkdir(exist_ok=True)
            lock = (folder / LOCK_FILE).open("a+b", buffering=0)
            try:
                if _lock(lock):
                    return folder, lock
            except BaseException:
                lock.close()
                if not (folder / JOURNAL_FILE).exists():
                    shutil.rmtree(folder, ignore_errors=True)
                raise
        with lock:
            report("wait for the same build", 0, None)
            fcntl.flock(lock, fcntl.LOCK_SH)


def _lock(lock: IO[bytes]) -> bool:
    """Take a folder's lock unless it is held, and note since when, for `earliest_build`."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # a second less, since files are dated by a coarser clock
    begin = str(int(time.time()) - 1).encode()
    lock.truncate(0)
    if lock.write(begin) < len(begin):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), LOCK_FILE)
    return True


def _remove(work: Path, folder: Path) -> None:
    """Remove a folder that we hold; it has another name while it goes, which nobody takes."""
    gone = work / f"build-gone-{secrets.token_hex(8)}"
    with (work / LOCK_FILE).open("wb") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def earliest_build(work: Path) -> float | None:
    """When the oldest of the builds at work began, in seconds since 1970; None when none is.

    One that was resumed began anew: it dates what it had stored before as stored now.
    """
    try:
        with (work / LOCK_FILE).open("rb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)  # nobody begins while we look
            begins = [_begin(folder) for folder in work.glob("build-*")]
    except FileNotFoundError:
        return None
    return min((begin for begin in begins if begin is not None), default=None)


def _begin(folder: Path) -> float | None:
    """When a build began, if it still is at work."""
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read()
                return float(text) if text.isdigit() else 0.0
    except (FileNotFoundError, NotADirectoryError):
        pass
    return None


def _sweep(work: Path, keep_s: float, spare: Path | None = None) -> None:
    """Remove folders at which nobody works, with the door locked."""
    for folder in work.glob("build-*"):
        if folder != spare and not _is_kept(folder, keep_s):
            _remove_unlocked(folder)


def _is_kept(folder: Path, keep_s: float) -> bool:
    """Whether a build may come back to this folder."""
    try:
        last = (folder / JOURNAL_FILE).stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - last < keep_s


def check_space(folder: Path, needed_bytes: int, what: str, report: Report = silent) -> None:
    """Say how much disk a build takes, what lies in its folder already aside, and see to it.

    Work of builds that were killed is removed when the disk is short.

    Raises:
        StoreFullError: when there is less.
    """
    needed = max(0, needed_bytes - _bytes_of(folder))
    if shutil.disk_usage(folder).free < needed:
        with (folder.parent / LOCK_FILE).open("wb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            _sweep(folder.parent, 0)
    free = shutil.disk_usage(folder).free
    report("disk, MB at most of those free", -(-needed // _MB), free // _MB)
    if free < needed:
        raise StoreFullError(
            f"{what} needs about {_size(needed)} in {folder.parent}, where {_size(free)} are free; "
            "nothing was published; free some space, or put --data-dir on a larger disk"
        )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 10**8 else f"{num_bytes / 1e6:.1f} MB"
