"""A full disk, a real one, ends a run with one line and leaves a checkpoint to go on from."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainer.test_exact_resume import ARGUMENTS
from trainer.training.checkpoint import newest_checkpoint


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.geteuid():
        pytest.skip("mounting a tmpfs of 2 MiB needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_run_goes_on_elsewhere(
    pairs_url: str, small_disk: Path, tmp_path: Path
) -> None:
    run_dir = small_disk / "run"
    arguments = [sys.executable, "-m", "trainer"]
    options = ["--data", pairs_url, "--run-dir", str(run_dir), *ARGUMENTS, "--keep-last", "99"]
    full = subprocess.run([*arguments, *options], capture_output=True, text=True, check=False)
    assert full.returncode == 1
    (line,) = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert "no space left" in line.lower()
    assert "Traceback" not in full.stderr
    checkpoint, problems = newest_checkpoint(run_dir / "checkpoints")
    assert checkpoint.step % 7 == 0
    assert not problems, "nothing half-written is taken for a checkpoint"
    shutil.copytree(run_dir, tmp_path / "larger")
    resumed = subprocess.run(
        [*arguments, "--resume", "--run-dir", str(tmp_path / "larger")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"step {checkpoint.step} of 60" in resumed.stderr
