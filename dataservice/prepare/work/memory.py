"""Freed memory → the system, where the C library would keep it."""

import ctypes
from functools import cache
from typing import Any


def release_memory() -> None:
    """Give back what was freed; glibc keeps all that lies below something that is still used."""
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    """The function of glibc; other libraries have none, and need none."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
