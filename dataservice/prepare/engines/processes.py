"""A function and its units → results in unit order, from this process or from spawned ones."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from dataservice.prepare.engines.base import Result, Unit
from dataservice.prepare.engines.workers import Task, Workers


class ProcessEngine:
    """Maps functions over units; with one process it works in ours, and dies as we do."""

    def __init__(self, processes: int = 0) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self._workers = Workers(self.processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._workers.close()

    def warm(self, function: Callable[[int], None]) -> None:
        """Let each of the processes run a function; see `Engine.warm`."""
        if self.processes > 1:
            for number in range(self.processes):
                self._workers.submit(function, number)

    def map(self, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
        """Results in unit order; see `Engine.map`."""
        if self.processes == 1:
            yield from map(function, units)
            return
        waiting: deque[Task] = deque()
        try:
            for unit in units:
                waiting.append(self._workers.submit(function, unit))
                if len(waiting) > 2 * self.processes:
                    yield self._workers.result(waiting.popleft())
            while waiting:
                yield self._workers.result(waiting.popleft())
        finally:
            self._workers.cancel(waiting)
