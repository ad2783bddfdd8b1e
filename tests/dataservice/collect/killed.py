"""A data folder and N → a collection that kills itself (SIGKILL) before the N-th step on disk.

python -m tests.dataservice.collect.killed FOLDER COPIES: one copy of the folder for each N, as
COPIES/N, each collected in a process of its own that is killed there, until one lives to the end.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataservice.collect.marks import Rules
from dataservice.collect.sweep import collect

STEPS = ((os, "unlink"), (os, "replace"), (os, "fsync"), (os, "chmod"), (tempfile, "mkstemp"))


def kill_at(number: int) -> None:
    """Let `number` steps happen, and none after them."""
    left = number

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*args, **kwargs)

        return wrapped

    for module, name in STEPS:
        setattr(module, name, wrap(getattr(module, name)))


def main(folder: Path, copies: Path) -> None:
    number = 0
    status = 1
    while status:
        copy = shutil.copytree(folder, copies / str(number))
        child = os.fork()
        if not child:
            kill_at(number)
            collect(copy, Rules(keep=1, grace_s=0), clock=lambda: 4e9)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status in (0, signal.SIGKILL)
        number += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
