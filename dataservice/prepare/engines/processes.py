"""A function and its units → results in unit order, from this process or a pool of spawned ones."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self

from dataservice.prepare.engines.base import MAX_DEATHS, Result, Unit, worker_died
from shards.cli.child import follow_parent, starting


class ProcessEngine:
    """Maps functions over units; with one process it works in ours, and dies as we do."""

    def __init__(self, processes: int = 0) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None
        self._alone: ProcessPoolExecutor | None = None
        self._running: set[Future[Any]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pool in (self._pool, self._alone):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._alone = None

    def warm(self, function: Callable[[int], None]) -> None:
        """Start the pool, a call for each of its processes; see `Engine.warm`."""
        if self.processes > 1:
            for number in range(self.processes):
                self._start(function, number)

    def map(self, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
        """Results in unit order; see `Engine.map`."""
        if self.processes == 1:
            yield from map(function, units)
            return
        waiting: deque[tuple[Unit, Future[Result]]] = deque()
        for unit in units:
            waiting.append((unit, self._start(function, unit)))
            if len(waiting) > 2 * self.processes:
                yield self._result(function, *waiting.popleft())
        while waiting:
            yield self._result(function, *waiting.popleft())

    def _start(self, function: Callable[[Unit], Result], unit: Unit) -> Future[Result]:
        if self._pool is None:
            self._pool = _new_pool(self.processes)
        try:
            future = _submit(self._pool, function, unit)
        except BrokenProcessPool:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = _new_pool(self.processes)
            future = _submit(self._pool, function, unit)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def _result(
        self, function: Callable[[Unit], Result], unit: Unit, future: Future[Result]
    ) -> Result:
        """A unit's result; one whose pool broke is run again, alone.

        A pool does not tell whose worker died, and the others' units must not be blamed for it.
        """
        try:
            result = future.result()
        except BrokenProcessPool:
            return self._run_alone(function, unit)
        if self._alone is not None:  # the units that were in doubt are all done
            self._alone.shutdown()
            self._alone = None
        return result

    def _run_alone(self, function: Callable[[Unit], Result], unit: Unit) -> Result:
        wait(tuple(self._running))  # so that memory is all its own
        died: BrokenProcessPool | None = None
        for _ in range(MAX_DEATHS):
            if self._alone is None:
                self._alone = _new_pool(1)
            try:
                return _submit(self._alone, function, unit).result()
            except BrokenProcessPool as error:
                died = error
                self._alone.shutdown()
                self._alone = None
        raise worker_died(unit) from died


def _new_pool(processes: int) -> ProcessPoolExecutor:
    # spawn: forking a process that has threads can deadlock
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=follow_parent)


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Unit], Result], unit: Unit
) -> Future[Result]:
    """Submit a unit, which may start a worker."""
    with starting():
        return pool.submit(function, unit)
