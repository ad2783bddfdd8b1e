"""The run's files are appended to, survive a cut line, and give each step once."""

import json
from pathlib import Path

from trainer.training.metrics import LEDGER, METRICS, RunLog, read_records


def steps(path: Path) -> list[tuple[int, str | None]]:
    return [(record["step"], record.get("event")) for record in read_records(path)]


def test_steps_done_again_after_a_restart_count_once(tmp_path: Path) -> None:
    log = RunLog(tmp_path, step=0, tensorboard=False)
    for step in (10, 20, 30):
        log.event("train", step, {"loss": 1.0})
    log.event("eval", 30, {"loss": 1.0})
    log.close()
    log = RunLog(tmp_path, step=20, tensorboard=False)
    log.event("start", 20, {})
    log.event("train", 30, {"loss": 2.0})
    log.close()
    path = tmp_path / METRICS
    assert steps(path) == [(10, "train"), (20, "train"), (20, "start"), (30, "train")]
    assert len(path.read_text().splitlines()) == 6, "nothing is lost from the file"
    assert list(read_records(path))[-1]["loss"] == 2.0


def test_a_line_cut_by_a_kill_is_closed_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / LEDGER
    path.write_text(json.dumps({"step": 1}) + "\n" + '{"step": 2, "ids": "ab')
    RunLog(tmp_path, step=1, tensorboard=False).close()
    with path.open("a") as file:
        file.write(json.dumps({"step": 2}) + "\n")
    assert steps(path) == [(1, None), (2, None)]


def test_tensorboard_gets_the_numbers(tmp_path: Path) -> None:
    log = RunLog(tmp_path, step=0, tensorboard=True)
    log.event("train", 10, {"loss": 1.5, "device": "cpu"})
    log.text(10, [{"source": "да", "reference": "yes", "output": "yes"}])
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"train/loss" in events.read_bytes()
