"""A real build, killed at every durable step and at random → the version of an undisturbed one."""

import contextlib
import os
import random
import signal
from itertools import islice
from pathlib import Path

import pytest

from tests.dataservice.prepare.kills import build_version, running_build, versions_after_kills

_DEMO = ("--demo-pairs", "400", "--vocab-size", "900")
_PARTS = ("--demo-pairs", "4000", "--vocab-size", "900", "--partition-bytes", "65536")
_KILL_SHARE = 0.2
_MOST_KILLS = 2  # a third could be the third of one unit, which would be named and end the build

pytestmark = pytest.mark.slow


def test_a_kill_at_any_durable_step_ends_in_the_clean_runs_version(tmp_path: Path) -> None:
    options = (*_DEMO, "--processes", "1")
    clean = build_version(tmp_path / "clean", *options)
    after = versions_after_kills(tmp_path, *options)
    assert len(after) > 20
    assert {step: version for step, version in after.items() if version != clean} == {}


def children_of(pid: int) -> list[int]:
    """The workers of a build that is at work."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue  # the thread has just ended
    return found


def is_worker(pid: int) -> bool:
    """Whether a child is one of the pool, not the tracker of its resources."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_workers_killed_at_random_change_nothing(tmp_path: Path) -> None:
    clean = build_version(tmp_path / "clean", *_PARTS, "--processes", "1")
    options = (*_PARTS, "--processes", "2")
    chosen = random.Random(0)
    killed = 0
    for number in range(3):
        folder = tmp_path / f"data-{number}"
        left = _MOST_KILLS
        with running_build(folder, *options) as (pid, lines):
            for _ in lines:
                workers = [worker for worker in children_of(pid) if is_worker(worker)]
                if workers and left and chosen.random() < _KILL_SHARE:
                    with contextlib.suppress(ProcessLookupError):  # it has just ended
                        os.kill(chosen.choice(workers), signal.SIGKILL)
                        left -= 1
        killed += _MOST_KILLS - left
        assert build_version(folder, *options) == clean
    assert killed >= 3


def test_a_build_killed_at_random_goes_on_and_ends_in_the_same_version(tmp_path: Path) -> None:
    clean = build_version(tmp_path / "clean", *_PARTS, "--processes", "1")
    options = (*_PARTS, "--processes", "2")
    chosen = random.Random(1)
    folders = set()
    for _ in range(4):
        with running_build(tmp_path / "data", *options) as (pid, lines):
            list(islice(lines, chosen.randrange(2, 12)))
            os.kill(pid, signal.SIGKILL)
        folders |= {path.name for path in (tmp_path / "data" / "work").glob("build-*")}
    assert len(folders) == 1  # each run found the folder of the one before
    assert build_version(tmp_path / "data", *options) == clean
