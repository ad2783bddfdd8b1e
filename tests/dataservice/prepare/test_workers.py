"""Workers that are killed at any moment → the same results, and nobody who waits for ever."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataservice.errors import WorkerDiedError
from dataservice.prepare.engines.base import RaisedOnWorkerError
from dataservice.prepare.engines.workers import Task, Workers

_WAIT_S = 60
_MANY_BYTES = 1 << 24  # more than a pipe holds


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(2)
    yield pool
    pool.close()


def pid_of(_: int) -> int:
    return os.getpid()


def arguments(_: int) -> list[str]:
    return sys.argv


def many_bytes(number: int) -> bytes:
    return bytes([number]) * _MANY_BYTES


def end_at_once(folder: Path) -> None:
    """Not by a signal: as a library does that calls exit()."""
    (folder / f"{os.getpid()}").touch()
    os._exit(0)


def note_others(folder: Path) -> list[str]:
    """Whether others are at work; the first try kills its worker while another one is."""
    others = sorted(path.name for path in folder.glob("*.running"))
    if not (folder / "tried").exists():
        (folder / "tried").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return others


def run_until_tried(folder: Path) -> str:
    """At work until the other unit has been tried once."""
    running = folder / f"{os.getpid()}.running"
    running.touch()
    while not (folder / "tried").exists():
        os.sched_yield()
    running.unlink()
    return "done"


def unpicklable(_: int) -> object:
    return threading.Lock()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_a_worker_that_is_killed_in_the_middle_of_its_answer_is_replaced(workers: Workers) -> None:
    torn, other = (workers.submit(many_bytes, number) for number in (1, 2))
    for worker in workers._workers:
        assert worker.pipe.poll(_WAIT_S), "it has begun to answer, and waits for a reader"
        assert worker.process.pid is not None
        kill(worker.process.pid)
    assert [workers.result(torn), workers.result(other)] == [many_bytes(1), many_bytes(2)]
    assert (torn.deaths, other.deaths) == (1, 1)


def test_a_worker_that_is_killed_while_it_has_nothing_to_do_is_no_units_fault(
    workers: Workers,
) -> None:
    for _ in range(5):
        victim = workers.result(workers.submit(pid_of, 0))
        process = next(each.process for each in workers._workers if each.process.pid == victim)
        kill(victim)
        process.join(_WAIT_S)
        task = workers.submit(pid_of, 1)
        assert workers.result(task) != victim
        assert task.deaths == 0


def test_workers_that_are_killed_while_they_start_are_replaced(
    workers: Workers, tmp_path: Path
) -> None:
    tasks = [workers.submit(run_until_tried, tmp_path) for _ in range(2)]
    for worker in workers._workers:
        assert worker.process.pid is not None
        kill(worker.process.pid)
    (tmp_path / "tried").touch()
    assert [workers.result(task) for task in tasks] == ["done", "done"]
    assert [task.deaths for task in tasks] == [1, 1]


def test_a_worker_is_not_told_more_than_its_pipe_holds_before_it_reads(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = ["build", *(f"/corpus/part-{number:05}.jsonl.zst" for number in range(5000))]
    monkeypatch.setattr(sys, "argv", ours)
    assert workers.result(workers.submit(arguments, 0)) == ["build"]
    assert sys.argv is ours


def test_as_many_tasks_as_workers_reach_each_however_quick_they_are(
    workers: Workers, tmp_path: Path
) -> None:
    started = [workers.submit(run_until_tried, tmp_path) for _ in range(2)]
    (tmp_path / "tried").touch()
    assert [workers.result(task) for task in started] == ["done", "done"]
    for _ in range(5):
        assert len({workers.result(workers.submit(pid_of, number)) for number in range(2)}) == 2


def test_a_unit_that_ends_every_worker_is_named_after_the_third(
    workers: Workers, tmp_path: Path
) -> None:
    with pytest.raises(WorkerDiedError, match=f"{tmp_path.name}.* died 3 times"):
        workers.result(workers.submit(end_at_once, tmp_path))
    assert len(list(tmp_path.iterdir())) == 3
    assert workers.result(workers.submit(pid_of, 0)) > 0


def test_a_unit_that_lost_its_worker_is_run_with_no_other_beside_it(
    workers: Workers, tmp_path: Path
) -> None:
    beside = workers.submit(run_until_tried, tmp_path)
    suspect = workers.submit(note_others, tmp_path)
    after = [workers.submit(run_until_tried, tmp_path) for _ in range(3)]
    assert workers.result(suspect) == []
    assert suspect.deaths == 1
    assert [workers.result(task) for task in (beside, *after)] == ["done"] * 4


def test_what_no_pickle_can_hold_is_an_error_and_costs_no_worker(workers: Workers) -> None:
    with pytest.raises(TypeError, match="cannot pickle") as caught:
        workers.result(workers.submit(unpicklable, 0))
    assert isinstance(caught.value.__cause__, RaisedOnWorkerError)
    assert "unpicklable" not in str(caught.value)
    with pytest.raises(TypeError, match="cannot pickle"):
        workers.submit(pid_of, threading.Lock())
    assert workers.result(workers.submit(pid_of, 0)) > 0


def test_tasks_that_are_cancelled_are_not_begun(workers: Workers, tmp_path: Path) -> None:
    waits = [workers.submit(run_until_tried, tmp_path) for _ in range(2)]
    cancelled: list[Task] = [workers.submit(end_at_once, tmp_path) for _ in range(3)]
    workers.cancel(cancelled)
    (tmp_path / "tried").touch()
    assert [workers.result(task) for task in waits] == ["done", "done"]
    assert [task.answer for task in cancelled] == [None] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["tried"]


def test_a_task_that_is_cancelled_is_not_begun_again(workers: Workers, tmp_path: Path) -> None:
    begun = workers.submit(run_until_tried, tmp_path)
    victim = workers._workers[0].process
    workers.cancel([begun])
    assert victim.pid is not None
    kill(victim.pid)
    victim.join(_WAIT_S)
    (tmp_path / "tried").touch()
    assert workers.result(workers.submit(pid_of, 0)) > 0
    assert begun.deaths == 1
    assert begun.answer is None


def test_a_worker_that_cannot_be_started_costs_no_task(workers: Workers, tmp_path: Path) -> None:
    task = workers.submit(run_until_tried, tmp_path)
    victim = workers._workers[0].process
    assert victim.pid is not None
    kill(victim.pid)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            workers.result(task)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    (tmp_path / "tried").touch()
    assert workers.result(task) == "done"


def test_workers_end_where_the_ends_of_children_are_not_told() -> None:
    program = """
import os, signal
from dataservice.errors import WorkerDiedError
from dataservice.prepare.engines.workers import Workers

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as it is inherited from some who start programs
workers = Workers(2)
print(workers.result(workers.submit(abs, -1)))
try:
    workers.result(workers.submit(os._exit, 0))
except WorkerDiedError:
    print("died")
workers.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("1\ndied\n", "")


def test_nobody_waits_for_a_task_that_is_given_up(workers: Workers, tmp_path: Path) -> None:
    begun = [workers.submit(run_until_tried, tmp_path) for _ in range(2)]
    cancelled, waiting = (workers.submit(pid_of, number) for number in range(2))
    workers.cancel([cancelled])
    (tmp_path / "tried").touch()
    with pytest.raises(AssertionError, match="cancelled"):
        workers.result(cancelled)
    workers.close()
    for task in (waiting, *begun):
        with pytest.raises(AssertionError, match="outlived its workers"):
            workers.result(task)
