"""A function and its units of work → their results, in the order of the units.

Units depend on the input alone, never on the number of processes, so that the results do not
either. Data goes through files; what crosses a process boundary is small.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Self, TypeVar

from dataservice.errors import BuildError
from shards.cli.child import follow_parent

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class Engine:
    """Maps functions over units, in this process or in a pool of spawned ones."""

    def __init__(self, processes: int = 0) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.processes > 1:
            # spawn: forking a process that has threads can deadlock
            context = multiprocessing.get_context("spawn")
            resource_tracker.ensure_running()  # its start undoes what _submit does
            self._pool = ProcessPoolExecutor(
                self.processes, mp_context=context, initializer=follow_parent
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
        """Results in unit order; units are taken a few ahead of the results, never all at once.

        Raises:
            BuildError: when a worker process dies; whatever `function` raises otherwise.
        """
        if self._pool is None:
            yield from map(function, units)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for unit in units:
                waiting.append(_submit(self._pool, function, unit))
                if len(waiting) > 2 * self.processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise BuildError(
                "a worker process died (out of memory, or killed); nothing was published; run the "
                "same command again, with fewer --processes if memory is short"
            ) from error


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Unit], Result], unit: Unit
) -> Future[Result]:
    """Submit a unit; Ctrl-C waits until the workers that this starts are whole.

    They inherit the mask, so Ctrl-C is ours from their birth. The handler is put off as well: any
    other thread may take the signal, and the handler would still run in this one.
    """
    if threading.current_thread() is not threading.main_thread():
        return pool.submit(function, unit)
    held: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(function, unit)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)
