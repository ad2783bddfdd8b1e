"""A worker process → one that ends with its parent and leaves Ctrl-C to it."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Final

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)


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


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM have to wait, so that no process is started or ended by half.

    What is started meanwhile never hears Ctrl-C, since it inherits the mask. The handlers are put
    off as well: any other thread may take a signal, and they would still run in the main one.
    """
    resource_tracker.ensure_running()  # its start, which the first process brings, ends the mask
    if threading.current_thread() is not threading.main_thread():
        with _masked():
            yield
        return
    held: list[int] = []
    handlers = {number: signal.signal(number, lambda got, _: held.append(got)) for number in _STOPS}
    try:
        with _masked():
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for got in dict.fromkeys(held):
            signal.raise_signal(got)


@contextlib.contextmanager
def _masked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
