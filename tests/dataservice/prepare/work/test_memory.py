"""What was freed goes back to the system, where the C library would keep it."""

import ctypes
import subprocess
import sys

import pytest

from dataservice.prepare.work import memory
from dataservice.prepare.work.memory import release_memory

KEPT = """
import ctypes
from pathlib import Path
from dataservice.prepare.work.memory import release_memory

def held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
pieces = [libc.malloc(50_000) for _ in range(2_000)]
for piece in pieces:
    ctypes.memset(piece, 1, 50_000)
last = libc.malloc(50_000)  # what lies below it is kept
for piece in pieces:
    libc.free(ctypes.c_void_p(piece))
before = held()
release_memory()
print(before - held())
"""


def test_what_was_freed_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 90_000_000


def test_a_c_library_that_keeps_nothing_needs_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    memory._malloc_trim.cache_clear()
    release_memory()
    memory._malloc_trim.cache_clear()
