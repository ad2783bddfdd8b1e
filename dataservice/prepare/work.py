"""A place for work → a folder of our own in it, which does not outlive its build by long."""

import fcntl
import shutil
import tempfile
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
            folder = Path(tempfile.mkdtemp(prefix="build-", dir=work))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            lock = stack.enter_context((folder / "lock").open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _sweep(work: Path) -> None:
    for stale in work.glob("build-*"):
        # a build that ends just now removes its folder itself
        with suppress(FileNotFoundError, BlockingIOError), (stale / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(stale, ignore_errors=True)
