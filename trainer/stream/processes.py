"""A function and its arguments → results, each made in a new process."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from shards.cli.child import follow_parent, starting, uninterrupted
from shards.errors import PrometheusError
from trainer.errors import TrainingError

Result = TypeVar("Result")

_IMPORTED: Final = "trainer.stream.check"
_PATIENCE_S: Final = 10.0
_MOMENT_S: Final = 0.01


def in_new_processes(
    function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], num_processes: int
) -> Iterator[Result]:
    """What the function returns for each of the arguments, as they end; some at a time.

    Every call has a process to itself, forked from one that has imported this package and has
    done nothing else: as new as one that is started, without the seconds of an import.

    Raises:
        PrometheusError: what the first function that fails raises; the other processes are ended.
        TrainingError: when a process ends without a result.
    """
    context = multiprocessing.get_context("forkserver")
    _start_server()
    running: dict[Connection, BaseProcess] = {}
    waiting = list(reversed(arguments))
    try:
        while waiting or running:
            while waiting and len(running) < num_processes:
                receiver, sender = context.Pipe(duplex=False)
                # no daemon: it may have loader workers of its own
                process = context.Process(target=_work, args=(function, waiting.pop(), sender))
                with starting():
                    process.start()
                    running[receiver] = process
                sender.close()
            ready = wait(list(running))
            for receiver in [one for one in running if one in ready]:
                yield _result(receiver, running.pop(receiver))
    finally:
        with uninterrupted():
            for left in running.values():
                left.terminate()
            for left in running.values():
                _end(left)


def _start_server() -> None:
    """Start what new processes are forked from, if it is not running yet."""
    forkserver.set_forkserver_preload([_IMPORTED])
    # else it would look for the package in the working directory first, and find any other
    told = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        with starting():
            forkserver.ensure_running()
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if told is not None:
            os.environ["PYTHONSAFEPATH"] = told


def _work(function: Callable[..., object], arguments: tuple[Any, ...], sender: Connection) -> None:
    follow_parent()
    # ended early, it still ends its loader workers and gives back what they share
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: sys.exit(1))
    sys.unraisablehook = _exit_again
    try:
        sender.send(function(*arguments))
    except PrometheusError as error:
        sender.send(error)


def _exit_again(lost: "sys.UnraisableHookArgs") -> None:
    """Exit in a moment, where an exit came while an object was finalized, which nothing can end."""
    if issubclass(lost.exc_type, SystemExit):
        signal.setitimer(signal.ITIMER_REAL, _MOMENT_S)
    else:
        sys.__unraisablehook__(lost)


def _end(process: BaseProcess) -> None:
    """Wait for a process that has nothing left to do; one that hangs all the same is killed."""
    process.join(_PATIENCE_S)
    process.kill()
    process.join()


def _result(receiver: Connection, process: BaseProcess) -> Any:
    try:
        found = receiver.recv()
    except EOFError as error:
        _end(process)
        raise TrainingError(
            f"a process ended with status {process.exitcode} before it had a result; what it said "
            "stands above; if that is nothing, look for a lack of memory"
        ) from error
    finally:
        receiver.close()
    _end(process)
    if isinstance(found, PrometheusError):
        raise found
    return found
