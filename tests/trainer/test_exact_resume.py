"""kill -9 at a random step and --resume: the same weights, bit for bit, and the same pairs."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from trainer.training.metrics import read_records

STEPS = 60
ARGUMENTS = (
    *("--d-model", "32", "--num-heads", "2", "--encoder-layers", "1", "--decoder-layers", "1"),
    *("--d-ff", "64", "--dropout", "0.2", "--batch-size", "40", "--warmup-steps", "5"),
    *("--max-steps", str(STEPS), "--save-every", "7", "--eval-every", "20", "--eval-batches", "2"),
    *("--sample-every", "25", "--cpu-threads", "1", "--no-tensorboard"),
)

LAST_STEP = STEPS - 3
# the trainer, which goes no further: whoever is to kill it may be late on a busy machine
HELD_UP = f"""
import threading
from trainer.cli import main
from trainer.training.metrics import RunLog

batch = RunLog.batch

def hold_up(log, step, *arguments):
    batch(log, step, *arguments)
    if step == {LAST_STEP}:
        threading.Event().wait()

RunLog.batch = hold_up
main()
"""


def start(
    run_dir: Path, *arguments: str, program: Sequence[str] = ("-m", "trainer")
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *arguments, "--run-dir", str(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output + errors


def steps_done(run_dir: Path) -> int:
    ledger = run_dir / "ledger.jsonl"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return len(lines)


def kill_after(run_dir: Path, step: int, *arguments: str) -> None:
    """Start a run and kill it as soon as it has made a step."""
    assert step < LAST_STEP
    process = start(run_dir, *arguments, program=("-c", HELD_UP))
    while process.poll() is None and steps_done(run_dir) < step:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "killed in the middle, not finished before"


def wait_until_gone(group: int) -> None:
    """Every process of a group ends, helpers of the interpreter included, within seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
    listed = subprocess.run(["ps", "-o", "pid,args", "-g", str(group)], capture_output=True)
    raise AssertionError(f"left behind: {listed.stdout.decode()}")


def outcome(run_dir: Path) -> tuple[bytes, list[str], dict[str, object]]:
    """Final weights, the pair ids of every step in order, and what else a checkpoint holds."""
    folder = run_dir / "checkpoints" / f"step-{STEPS:08d}"
    ids = [record["ids"] for record in read_records(run_dir / "ledger.jsonl")]
    state = json.loads((folder / "checkpoint.json").read_text())["state"]
    del state["settings"]
    return (folder / "model.safetensors").read_bytes(), ids, state


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        ("--amp", "off"),
        ("--amp", "fp16", "--grad-checkpointing", "on", "--grad-accum", "2", "--batch-size", "12"),
        ("--amp", "bf16", "--direction", "both", "--batch-tokens", "1500"),
        ("--amp", "off", "--num-workers", "2"),
    ],
    ids=" ".join,
)
def test_a_killed_and_resumed_run_ends_bit_for_bit_as_an_undisturbed_one(
    pairs_url: str, tmp_path: Path, variant: tuple[str, ...]
) -> None:
    arguments = ("train", "--data", pairs_url, *ARGUMENTS, *variant)
    finish(start(tmp_path / "whole", *arguments))
    step = random.SystemRandom().randint(8, STEPS - 10)
    killed = tmp_path / "killed"
    kill_after(killed, step, *arguments)
    told = finish(start(killed, "--resume"))
    assert "resuming from" in told
    whole, resumed = outcome(tmp_path / "whole"), outcome(killed)
    assert len(whole[1]) == STEPS
    assert resumed[1] == whole[1], f"killed after step {step}: other pairs came"
    assert resumed[2] == whole[2], f"killed after step {step}: another state"
    assert resumed[0] == whole[0], f"killed after step {step}: other weights"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, "0"), (signal.SIGINT, "0"), (signal.SIGINT, "2")]
)
def test_a_signal_writes_a_checkpoint_and_exits_cleanly_leaving_no_process(
    pairs_url: str, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    arguments = ("train", "--data", pairs_url, *ARGUMENTS, "--max-steps", "100000", "--json")
    process = start(tmp_path, *arguments, "--num-workers", workers)
    while process.poll() is None and steps_done(tmp_path) < 10:
        pass
    os.killpg(process.pid, number)  # as a terminal does: to the whole process group
    output, errors = process.communicate(timeout=120)
    wait_until_gone(process.pid)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    result = json.loads(output)
    assert result["outcome"] == "interrupted"
    assert (Path(result["checkpoint"]) / "checkpoint.json").exists()
    assert result["step"] == steps_done(tmp_path)
    assert not list(tmp_path.rglob(".tmp-*"))
