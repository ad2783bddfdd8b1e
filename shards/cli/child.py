"""A worker process → one that ends with its parent and leaves Ctrl-C to it."""

import multiprocessing
import os
import signal
import threading


def follow_parent(*_: object) -> None:
    """Run first in a worker process: ignore Ctrl-C, and exit when the parent is gone.

    A worker of a parent that died by kill -9 otherwise waits for ever on a pipe it holds itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("follow_parent belongs into a child process")

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="follow-parent", daemon=True).start()
