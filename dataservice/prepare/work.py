"""A place for work → a folder of our own in it, which does not outlive its build by long."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def work_folder(work: Path) -> Iterator[Path]:
    """A folder of our own, locked while we live; those of builds that were killed are removed."""
    with ExitStack() as stack:
        with (work / "lock").open("wb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)  # nobody sweeps a folder that is not locked yet
            _sweep(work)
            # for `earliest_build`; a second less, since files are dated by a coarser clock
            begin = int(time.time()) - 1
            folder = Path(tempfile.mkdtemp(prefix=f"build-{begin}-", dir=work))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            lock = stack.enter_context((folder / "lock").open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def earliest_build(work: Path) -> float | None:
    """When the oldest of the builds at work began, in seconds since 1970; None when none is."""
    try:
        with (work / "lock").open("rb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)  # nobody begins while we look
            begins = [_begin(folder) for folder in work.glob("build-*")]
    except FileNotFoundError:
        return None
    return min((begin for begin in begins if begin is not None), default=None)


def _begin(folder: Path) -> float | None:
    """When a build began, if it still is at work."""
    try:
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except BlockingIOError:
        begin = folder.name.split("-")[1]
        return float(begin) if begin.isdigit() else 0.0
    return None


def _sweep(work: Path) -> None:
    for stale in work.glob("build-*"):
        # a build that ends just now removes its folder itself
        with suppress(FileNotFoundError, BlockingIOError), (stale / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(stale, ignore_errors=True)
