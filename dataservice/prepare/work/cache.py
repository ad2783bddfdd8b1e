"""Tokenizers and memos of all builds → no more of them than a bound, the latest used stay."""

import os
from contextlib import suppress
from pathlib import Path

from dataservice.prepare.work.folder import earliest_build


def mark_used(file: Path) -> None:
    """Note that a file was read, so that others go before it."""
    with suppress(OSError):  # removed just now, or another user's: it was read all the same
        os.utime(file)


def trim_cache(cache: Path, keep_bytes: int, work: Path) -> None:
    """Remove what was not used for longest, beyond so many bytes of all together.

    What was used since the oldest of the builds at work began stays, also beyond the bound.
    """
    begin = earliest_build(work)
    files = []
    for path in cache.glob("*/*"):
        with suppress(OSError):  # another build trims, too
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    total = 0
    for used, num_bytes, path in sorted(files, reverse=True):
        total += num_bytes
        if total > keep_bytes and (begin is None or used < begin):
            with suppress(OSError):  # the build has succeeded, and the next one tries again
                path.unlink()
