"""Fixtures of the jobs' tests: a runner whose builds are a small fake program."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dataservice.jobs.runner import JobRunner
from dataservice.settings import BuildSettings

FAKE_BUILD = Path(__file__).with_name("fake_build.py")


def fake_command(settings_file: Path) -> Sequence[str]:
    return (sys.executable, str(FAKE_BUILD), str(settings_file))


@pytest.fixture
def new_runner(tmp_path: Path) -> Callable[..., JobRunner]:
    """Makes runners over the same folder, as a service that starts again does."""

    def make(**options: object) -> JobRunner:
        return JobRunner(tmp_path / "jobs", **{"command": fake_command, **options})  # type: ignore[arg-type]

    return make


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], BuildSettings]:
    """Settings whose name tells the fake program what to do."""

    def make(name: str) -> BuildSettings:
        return BuildSettings(name=name, data_dir=tmp_path)

    return make
