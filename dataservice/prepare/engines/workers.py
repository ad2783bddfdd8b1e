"""Tasks → their answers, from spawned worker processes of which any may be killed at any moment.

Each worker has a pipe of its own and one task at a time. Its death is the end of its pipe, in the
middle of a result too, and says whose death it was. The standard library's executors share queues
and locks among their workers: one that is killed while it writes a result, or while another one
starts, leaves the rest waiting for ever.
"""

import contextlib
import multiprocessing
import pickle
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from dataservice.prepare.engines.base import MAX_DEATHS, Failed, attempt, unwrapped, worker_died
from shards.cli.child import follow_parent, starting

_AT_ONCE: Final = 0.0


@dataclass(eq=False, slots=True)
class Task:
    """A call of a function for one unit, and what a worker answered."""

    unit: object
    call: bytes  # the function and the unit, pickled
    answer: bytes | None = None  # the result, or `Failed`, pickled
    deaths: int = 0  # of workers that had it
    cancelled: bool = False


@dataclass(eq=False, slots=True)
class _Worker:
    """A process, our end of its pipe, and the task that it has."""

    process: BaseProcess
    pipe: "Connection[bytes, bytes]"
    task: Task | None = None

    def bury(self) -> None:
        """Free what is left of a worker that is dead, or has closed its pipe and so is dying."""
        self.process.kill()
        self.end()

    def end(self) -> None:
        """Let it end, when it is done with its task, and free what is left of it."""
        self.pipe.close()
        self.process.join()
        with contextlib.suppress(ValueError):  # where SIGCHLD is ignored, ends are not told
            self.process.close()


class Workers:
    """Up to `number` processes, started as there is work for them; used from one thread."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._workers: list[_Worker] = []
        self._pending: deque[Task] = deque()

    def submit(self, function: Callable[[Any], Any], unit: object) -> Task:
        """Let a worker call the function as soon as one is free."""
        task = Task(unit, pickle.dumps((function, unit)))
        self._pending.append(task)
        self._receive(_AT_ONCE)
        self._give()
        return task

    def result(self, task: Task) -> Any:
        """The result of a task, once it is there.

        Raises:
            WorkerDiedError: when its worker died three times; whatever the function raised.
        """
        while task.answer is None:
            if task.deaths == MAX_DEATHS:
                raise worker_died(task.unit)
            assert self._has(task), "of a task that was cancelled or outlived its workers"
            self._receive(None)
            self._give()
        return unwrapped(pickle.loads(task.answer))

    def cancel(self, tasks: Iterable[Task]) -> None:
        """Let no worker begin the tasks any more, nor again when it dies of one."""
        for task in tasks:
            task.cancelled = True
        self._pending = deque(task for task in self._pending if not task.cancelled)

    def close(self) -> None:
        """Let the workers end, each when it is done with its task."""
        self._pending.clear()
        for worker in self._workers:
            worker.pipe.close()
        while self._workers:
            self._workers.pop().end()

    def _has(self, task: Task) -> bool:
        return task in self._pending or any(worker.task is task for worker in self._workers)

    def _receive(self, timeout_s: float | None) -> None:
        """Take the answers that are there; with None wait until there is one."""
        busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
        for pipe in wait(list(busy), timeout_s) if busy else ():
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            try:
                answer = pipe.recv_bytes()
            except (EOFError, OSError):
                self._lose(worker)
            else:
                assert worker.task is not None
                worker.task.answer = answer
                worker.task = None
                # the last to be free again, so that as many quick tasks as workers reach each
                self._workers.remove(worker)
                self._workers.append(worker)

    def _give(self) -> None:
        """Hand tasks to workers that are free; one that has lost a worker is run alone."""
        while self._pending:
            task = self._pending[0]
            running = [worker.task for worker in self._workers if worker.task is not None]
            if any(other.deaths for other in running) or (task.deaths and running):
                return  # so that all memory is its own
            if len(running) == self._number:
                return
            worker = self._free() or self._start()  # which may fail, and then it still waits
            worker.task = self._pending.popleft()
            try:
                worker.pipe.send_bytes(task.call)
            except OSError:
                self._lose(worker)

    def _free(self) -> _Worker | None:
        """A worker that has nothing to do; those that were killed meanwhile are buried."""
        for worker in [worker for worker in self._workers if worker.task is None]:
            if not worker.pipe.poll():
                return worker
            self._lose(worker)
        return None

    def _start(self) -> _Worker:
        # spawn: forking a process that has threads can deadlock
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with contextlib.ExitStack() as undo, theirs:
            undo.callback(ours.close)
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            with starting(), _no_arguments():
                process.start()
            undo.pop_all()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _lose(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.bury()
        if worker.task is not None:
            worker.task.deaths += 1
            if worker.task.deaths < MAX_DEATHS and not worker.task.cancelled:
                self._pending.appendleft(worker.task)


@contextlib.contextmanager
def _no_arguments() -> Iterator[None]:
    """A new process is not told those of ours.

    We keep both ends of the pipe through which it is told until all is written, so that one that
    is killed before it reads more than a pipe holds, thousands of names, would never be noticed.
    """
    before = sys.argv
    sys.argv = before[:1]
    try:
        yield
    finally:
        sys.argv = before


def _work(pipe: "Connection[bytes, bytes]") -> None:
    """The life of a worker: calls come and are answered, until the other end is closed."""
    follow_parent()
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes()))


def _answer(call: bytes) -> bytes:
    answer = attempt(_called, call)
    return answer if isinstance(answer, bytes) else _dumped(answer)


def _called(call: bytes) -> bytes:
    function, unit = pickle.loads(call)
    return pickle.dumps(function(unit))


def _dumped(failed: Failed) -> bytes:
    with contextlib.suppress(Exception):
        answer = pickle.dumps(failed)
        pickle.loads(answer)  # an error may want other arguments than it tells pickle
        return answer
    told = "".join(traceback.format_exception_only(failed.error)).strip()
    return pickle.dumps(Failed(RuntimeError(told), failed.trace))
