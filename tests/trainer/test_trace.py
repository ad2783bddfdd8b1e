"""Any step's batch is found again from the ledger and the data set alone."""

import json
import random
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from shards.dataset import Dataset, open_dataset
from shards.sample import ids_digest
from tests.trainer.test_exact_resume import ARGUMENTS, finish, kill_after, start
from tests.trainer.training.test_loop import TINY, run_training
from trainer.config import TrainSettings
from trainer.errors import TrainingError
from trainer.stream.selection import read_skip_ids
from trainer.trace import trace_step
from trainer.training.metrics import LEDGER, RunLog, read_records
from trainer.training.setup import set_up


@pytest.fixture(scope="module", params=["one", "mixed", "both", "filtered", "all"])
def run_dir(
    request: pytest.FixtureRequest, pairs_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A short run, whose epoch ends within it."""
    folder: Path = tmp_path_factory.mktemp(f"traced-{request.param}")
    changes: dict[str, dict[str, object]] = {
        "one": {},
        "mixed": {"data": f"2*{pairs_url} 1*{pairs_url}"},
        "both": {"direction": "both", "batch_tokens": 12000},
        "filtered": {"min_tokens": 20},
        "all": {"data": f"3*{pairs_url} 1*{pairs_url}", "max_tokens": 60, "direction": "both"},
    }
    change = changes[request.param]
    values = {
        "data": pairs_url,
        "run_dir": folder,
        "batch_size": 150,
        "max_steps": 14,
        "eval_every": 100,
        "save_every": 100,
        "num_samples": 0,
        "cpu_threads": 1,
        "tensorboard": False,
        "window_samples": 500,
        **TINY,
        **change,
    }
    settings = TrainSettings.model_validate(values)
    run = set_up(settings)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    log = RunLog(folder, step=0, tensorboard=False)
    log.event("start", 0, {"data": [source.describe() for source in run.sources]})
    log.close()
    run_training(run)
    return folder


def test_every_step_of_a_run_is_found_again_with_its_texts(
    run_dir: Path, pairs: Dataset, texts: dict[str, tuple[str, str]]
) -> None:
    records = list(read_records(run_dir / LEDGER))
    assert len(records) == 14
    assert any(record["next"][0] > 0 for record in records), "an epoch ends within the run"
    for record in [*records[::4], records[-1]]:
        traced = trace_step(run_dir, record["step"])
        ids = [int(pair.id, 16) for pair in traced.pairs]
        assert ids_digest(np.array(ids, np.uint64)) == record["ids"]
        assert traced.version == pairs.version
        for pair in traced.pairs[:5]:
            assert (pair.src, pair.tgt) == texts[pair.id]
            assert pair.source == "pairs"
            assert set(pair.tags) == {"author", "city", "year"}
    json.dumps(asdict(traced), ensure_ascii=False)


@pytest.fixture(scope="module")
def texts(pairs: Dataset) -> dict[str, tuple[str, str]]:
    """Every pair by its id, decoded by sentencepiece itself."""
    import sentencepiece

    model = pairs.read_blob(pairs.manifest.tokenizer)
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model)
    prefix = pairs.manifest.tags.prefix_tokens
    return {
        f"{sample.pair_id:016x}": (
            tokenizer.decode(sample.src[prefix:].tolist()),
            tokenizer.decode(sample.tgt.tolist()),
        )
        for shard in pairs.manifest.splits["train"].shards
        for block in pairs.read_shard(shard)
        for sample in block.samples()
    }


@pytest.mark.parametrize("step", [0, 15, 1000])
def test_a_step_that_the_run_does_not_have_is_refused(run_dir: Path, step: int) -> None:
    with pytest.raises(TrainingError, match=r"has steps 1 to 14"):
        trace_step(run_dir, step)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not the folder of a run"):
        trace_step(tmp_path, 1)


def test_settings_that_were_changed_since_are_noticed(run_dir: Path, tmp_path: Path) -> None:
    for name in ("metrics.jsonl", LEDGER):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**settings, "seed": 99}))
    with pytest.raises(TrainingError, match="gives other pairs at step 3 than the run saw"):
        trace_step(tmp_path, 3)


def test_the_data_may_have_moved(run_dir: Path, pairs_url: str, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(Path(pairs_url).parent)
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())
    data = settings["data"].replace(str(Path(pairs_url).parent), str(moved))
    before = set(threading.enumerate())
    assert trace_step(run_dir, 2, data).pairs == trace_step(run_dir, 2).pairs
    assert open_dataset(f"{moved}/pairs").version == trace_step(run_dir, 2, data).version
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), "no thread is left for each step traced"


def test_the_command_prints_lines_that_skip_ids_takes(run_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainer", "trace", "--run-dir", str(run_dir), "--step", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ids = [pair.id for pair in trace_step(run_dir, 2).pairs]
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ids
    (tmp_path / "skip.txt").write_text(done.stdout)
    assert read_skip_ids(tmp_path / "skip.txt") == tuple(sorted(int(one, 16) for one in ids))
    told = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert [pair["id"] for pair in json.loads(told.stdout)["pairs"]] == ids
    wrong = subprocess.run([*command[:-1], "99"], capture_output=True, text=True, check=False)
    assert wrong.returncode != 0
    assert wrong.stderr.startswith("error: ")
    assert "Traceback" not in wrong.stderr


def test_a_step_is_found_though_the_lines_before_it_are_lost_or_cut(
    run_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    lines = (run_dir / LEDGER).read_text().splitlines(keepends=True)
    for step in range(1, 15):
        cut = lines[step - 2][:-20] + "\n" if step > 1 else ""  # as a kill leaves it
        (copy / LEDGER).write_text(cut + lines[step - 1])
        assert trace_step(copy, step).pairs == trace_step(run_dir, step).pairs


def test_a_run_folder_that_was_moved_is_traced_and_nothing_is_written(
    run_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    settings = yaml.safe_load((copy / "config.yaml").read_text())
    gone = tmp_path / "gone"
    (copy / "config.yaml").write_text(yaml.safe_dump({**settings, "run_dir": str(gone)}))
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert trace_step(copy, 14).pairs == trace_step(run_dir, 14).pairs
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
    assert not gone.exists()


def assert_traced(run_dir: Path) -> list[int]:
    """Every step of a ledger is found again; its steps."""
    records = list(read_records(run_dir / LEDGER))
    for record in records:
        ids = [int(pair.id, 16) for pair in trace_step(run_dir, record["step"]).pairs]
        assert ids_digest(np.array(ids, np.uint64)) == record["ids"]
    return [record["step"] for record in records]


@pytest.mark.slow
def test_steps_of_a_run_that_was_killed_and_resumed_are_found_and_can_be_left_out(
    authored_url: str, tmp_path: Path
) -> None:
    data = f"2*{authored_url} 1*{authored_url}"
    skip = tmp_path / "skip.txt"
    skip.write_text("00000000000000ff\n")
    arguments = (
        *("train", "--data", data, *ARGUMENTS, "--exclude-author", "Vera", "--min-tokens", "12"),
        *("--skip-ids", str(skip), "--window-samples", "200"),
    )
    killed = tmp_path / "killed"
    kill_after(killed, random.SystemRandom().randint(9, 40), *arguments)
    steps = assert_traced(killed)
    assert steps == list(range(1, len(steps) + 1))
    with (killed / LEDGER).open("r+b") as ledger:  # as a kill within a line leaves it
        ledger.truncate((killed / LEDGER).stat().st_size - 17)
    assert assert_traced(killed) == steps[:-1]
    finish(start(killed, "--resume"))
    assert assert_traced(killed) == list(range(1, 61))

    traced = trace_step(killed, 33).pairs
    skip.write_text("".join(f"{pair.id}\t{pair.src}\n" for pair in traced))
    told = finish(start(tmp_path / "without", *arguments, "--max-steps", "30"))
    assert f"skipped_id {len(traced)}" in told
    left_out = {pair.id for pair in traced}
    for step in range(1, 31):
        assert not left_out & {pair.id for pair in trace_step(tmp_path / "without", step).pairs}
