"""A real build, killed at every durable step and at random → the version of an undisturbed one."""

import os
import random
import signal
import subprocess
from itertools import islice
from pathlib import Path

import pytest

from tests.dataservice.prepare.kills import (
    build_command,
    build_version,
    reporting_program,
    running_build,
    versions_after_kills,
)

_DEMO = ("--demo-pairs", "400", "--vocab-size", "900")
_PARTS = ("--demo-pairs", "4000", "--vocab-size", "900", "--partition-bytes", "65536")
_KILL_SHARE = 0.4
_MOST_KILLS = 2  # a third could be the third of one unit, which would be named and end the build

pytestmark = pytest.mark.slow


def test_a_kill_at_any_durable_step_ends_in_the_clean_runs_version(tmp_path: Path) -> None:
    options = (*_DEMO, "--processes", "1")
    clean = build_version(tmp_path / "clean", *options)
    after = versions_after_kills(tmp_path, *options)
    assert len(after) > 20
    assert {step: version for step, version in after.items() if version != clean} == {}


def lose_workers(seed: int) -> str:
    """Code that kills workers at random while the build goes on."""
    return f"""
import atexit, random, threading
from multiprocessing import active_children

chosen, kills = random.Random({seed}), []
atexit.register(lambda: print("killed", len(kills)))

def heard(stage):
    if kills:
        kills[-1].join()
    workers = active_children()
    if workers and len(kills) < {_MOST_KILLS} and chosen.random() < {_KILL_SHARE}:
        kills.append(threading.Thread(target=chosen.choice(workers).kill))
        kills[-1].start()
"""


def test_workers_killed_at_random_change_nothing(tmp_path: Path) -> None:
    clean = build_version(tmp_path / "clean", *_PARTS, "--processes", "1")
    options = (*_PARTS, "--processes", "2")
    for seed in range(3):
        folder = tmp_path / f"data-{seed}"
        program = reporting_program(lose_workers(seed))
        command = build_command(folder, *options, "--progress", "json", program=program)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"killed {_MOST_KILLS}"
        assert f"version: {clean}" in done.stdout.splitlines()
        assert build_version(folder, *options) == clean


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
