"""A worker process → one that ends with its parent and leaves Ctrl-C to it."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Final

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


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
def starting() -> Iterator[None]:
    """Processes that are started here never hear Ctrl-C, and are whole before we do."""
    resource_tracker.ensure_running()  # its start, which the first process brings, ends the mask
    with uninterrupted(), _masked():
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the end; who sends one a second time need not wait.

    Handlers run in the main thread alone, so that in others there is nothing to put off.
    """
    with contextlib.ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            _put_off(stack)
        yield


def _put_off(stack: contextlib.ExitStack) -> None:
    """Hold signals until the stack is closed: then all handlers are back before the first runs."""
    held: list[int] = []
    stack.callback(_raise_all, held)

    def hold(number: int, _: object) -> None:
        if number in held:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        held.append(number)

    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    for number, handler in before.items():
        if handler is not None:  # one that Python has not set, which it could not put back
            stack.callback(signal.signal, number, handler)
            signal.signal(number, hold)


def _raise_all(held: list[int]) -> None:
    """Every kind once, though the handler of one may raise."""
    with contextlib.ExitStack() as stack:
        for number in reversed(dict.fromkeys(held)):
            stack.callback(signal.raise_signal, number)


@contextlib.contextmanager
def _masked() -> Iterator[None]:
    """Ctrl-C is blocked in this thread, and in all that is started by it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
