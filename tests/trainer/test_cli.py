"""The trainer's command line: it teaches, resumes, generates, and tells mistakes in one line."""

import fcntl
import json
import shutil
import sys
from pathlib import Path

import pytest

from shards.cli.settings import ConfigurationError, load_settings
from tests.ports import closed_port
from tests.trainer.conftest import Trainer
from tests.trainer.stream.test_check import OffByOne
from trainer.cli import main
from trainer.cli.plan import in_bytes
from trainer.config import ENV_PREFIX, TrainSettings

TINY = (
    *("--d-model", "32", "--num-heads", "2", "--encoder-layers", "1", "--decoder-layers", "1"),
    *("--d-ff", "64", "--batch-size", "32", "--max-steps", "4", "--save-every", "2"),
    *("--eval-every", "2", "--eval-batches", "1", "--sample-every", "4", "--cpu-threads", "1"),
    "--no-tensorboard",
)


@pytest.fixture(scope="module")
def run_dir(pairs_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["trainer", "train", "--data", pairs_url, "--run-dir", str(folder), *TINY]
        patch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
    return folder


@pytest.mark.parametrize("command", ["train", "plan", "check", "generate"])
def test_every_command_teaches_with_an_example(trainer: Trainer, command: str) -> None:
    status, output, _ = trainer(command, "--help")
    assert status == 0
    assert f"Example: trainer {command}" in output


@pytest.mark.slow
def test_the_plan_of_a_run_is_what_it_then_trains(
    trainer: Trainer, pairs_url: str, tmp_path: Path
) -> None:
    options = ("--data", pairs_url, "--batch-size", "300", "--window-samples", "500")
    status, output, _ = trainer("plan", *options, "--json")
    assert status == 0
    (plan,) = json.loads(output)["data"]
    (epoch,) = plan["epochs"]
    quiet = ("--eval-every", "99", "--save-every", "99", "--num-samples", "0")
    run = ("--run-dir", str(tmp_path), *TINY, *quiet, "--max-steps", str(epoch["steps"]), *options)
    _, output, errors = trainer("train", *run, "--json")
    assert json.loads(output)["epochs"] == [1]
    assert f"is {epoch['steps']} steps and {epoch['target_tokens']:,} target tokens" in errors
    assert "the run is 1.00 epochs of it" in errors
    ledger = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [line["next"] for line in ledger].index([1, 0, 0]) + 1 == epoch["steps"]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (4.2e5, "420 kB"), (1.2e12, "1.2 TB")],
)
def test_a_size_is_shown_as_people_read_it(number: float, text: str) -> None:
    assert in_bytes(number) == text


@pytest.mark.parametrize("filters", [(), ("--min-tokens", "12")])
def test_a_plan_is_a_table_for_people_and_leaves_nothing_behind(
    trainer: Trainer,
    pairs_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    filters: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    mixture = f"3*{pairs_url} 1*{pairs_url}"
    status, output, _ = trainer("plan", "--data", mixture, "--epochs", "2", *filters)
    assert status == 0
    lines = output.splitlines()
    assert sum(line.startswith(pairs_url) for line in lines) == 2
    for name in ("samples", "steps", "target tokens", "padding", "to fetch", "memory"):
        assert sum(line.startswith(name) for line in lines) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_check_tells_what_was_compared_and_leaves_nothing_behind(
    trainer: Trainer, authored_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--data", authored_url, "--batch-size", "40", "--author", "Anna", "--tail", "9")
    layouts = ("--ranks", "1", "--ranks", "3", "--snapshots", "5")
    status, output, errors = trainer("check", *options, *layouts, "--json")
    assert status == 0, errors
    told = json.loads(output)
    (end, *_) = told["epoch_ends"]
    assert {1, end - 1, end} <= set(told["snapshots"])
    assert (told["restores"], len(told["layouts"])) == (10, 2)
    assert told["steps"] == end + 9
    status, output, errors = trainer("check", *options, "--snapshots", "all", "--steps", "4")
    assert (status, errors) == (0, "")
    assert "outcome: no difference" in output
    assert "snapshots: all" in output
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_check_fails_with_one_line_that_names_the_first_difference(
    trainer: Trainer, pairs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.training.data.BatchStream", OffByOne)
    status, output, errors = trainer("check", "--data", pairs_url, "--batch-size", "40")
    assert (status, output) == (1, "")
    assert errors.startswith("error: step ")
    assert len(errors.splitlines()) == 1


def test_a_bare_resume_trains_further(trainer: Trainer, run_dir: Path) -> None:
    status, output, errors = trainer(
        "--resume", "--run-dir", str(run_dir), "--max-steps", "6", "--json"
    )
    assert status == 0
    assert "resuming from" in errors
    assert json.loads(output)["step"] == 6


def test_a_complete_run_says_so_and_can_be_extended(trainer: Trainer, run_dir: Path) -> None:
    status, output, errors = trainer("--resume", "--run-dir", str(run_dir), "--json")
    done = json.loads(output)["step"]
    assert status == 0
    assert "the run is complete" in errors
    _, output, _ = trainer("--resume", "--run-dir", str(run_dir), "--extend-steps", "3", "--json")
    assert json.loads(output)["step"] == done + 3


def test_a_damaged_checkpoint_is_named_and_the_run_goes_on(
    trainer: Trainer, pairs_url: str, tmp_path: Path
) -> None:
    trainer("--data", pairs_url, "--run-dir", str(tmp_path), *TINY)
    model = tmp_path / "checkpoints" / "step-00000004" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\7")
    status, output, errors = trainer("--resume", "--run-dir", str(tmp_path), "--json")
    assert status == 0
    assert "step-00000004: model.safetensors has sha256" in " ".join(errors.split())
    assert "step-00000002, step 2 of 4" in errors
    assert json.loads(output)["step"] == 4


def test_a_copied_run_goes_on_in_its_own_folder(
    trainer: Trainer, run_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    before = sorted(run_dir.rglob("*"))
    arguments = ("--resume", "--run-dir", str(copy), "--extend-steps", "2", "--json")
    status, output, errors = trainer(*arguments)
    assert status == 0, errors
    assert json.loads(output)["checkpoint"].startswith(str(copy))
    assert sorted(run_dir.rglob("*")) == before


def test_a_second_trainer_on_a_run_folder_is_refused(trainer: Trainer, run_dir: Path) -> None:
    with (run_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, _, errors = trainer("--resume", "--run-dir", str(run_dir))
    assert status == 1
    assert "another trainer is at work" in errors


def test_generate_says_which_checkpoint_it_passes_over(
    trainer: Trainer, run_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    newest = max((copy / "checkpoints").glob("step-*"))
    (newest / "model.safetensors").write_bytes(b"")
    status, output, errors = trainer("generate", "--checkpoint", str(copy), "код")
    assert status == 0
    assert len(output.splitlines()) == 1
    assert f"warning: checkpoint {newest}" in errors


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--strategy", "beam", "--beam-size", "3"),
        ("--strategy", "sample", "--temperature", "0.8", "--top-k", "20", "--top-p", "0.9"),
        ("--best", "--author", "Somebody"),
    ],
    ids=" ".join,
)
def test_generate_prints_a_line_for_every_text(
    trainer: Trainer, run_dir: Path, options: tuple[str, ...]
) -> None:
    arguments = ("generate", "--checkpoint", str(run_dir), "--max-tokens", "8", *options)
    status, output, _ = trainer(*arguments, "новый сервер", "код")
    assert status == 0
    assert len(output.splitlines()) == 2
    assert "<author" not in output
    _, output, _ = trainer(*arguments, "новый сервер", "--json")
    (row,) = json.loads(output)["translations"]
    assert (row["source"], row["to"]) == ("новый сервер", "en")


MISTAKES = {
    "device that is not trained on": (
        ("--data", "{data}", "--device", "meta"),
        "is not trained on",
    ),
    "seed beyond 63 bits": (("--seed", "99999999999999999999"), "setting --seed"),
    "temperature of no use": (
        ("generate", "--checkpoint", "{run}", "--temperature", "1e-50", "да"),
        "temperature",
    ),
    "data set that is not there": (("--data", "{tmp}/nothing"), "there is no data set 'nothing'"),
    "service that is down": (
        ("--data", "http://127.0.0.1:{port}/datasets/x"),
        "check that the service is up",
    ),
    "unknown setting in YAML": (("--config", "{tmp}/bad.yaml"), "did you mean 'batch_size'?"),
    "YAML that is none": (("--config", "{tmp}/broken.yaml"), "broken.yaml cannot be read"),
    "missing YAML": (("--config", "{tmp}/no.yaml"), "is not there"),
    "value out of range": (("--dropout", "1.5"), "setting --dropout = '1.5'"),
    "unknown choice": (("--direction", "sideways"), "setting --direction = 'sideways'"),
    "no run to resume": (("--resume", "--run-dir", "{tmp}/none"), "no checkpoint to go on from"),
    "odd heads": (("--d-model", "36", "--num-heads", "4"), "twice num_heads"),
    "no checkpoint to generate with": (
        ("generate", "--checkpoint", "{tmp}", "да"),
        "holds no checkpoint",
    ),
    "run that is there already": (
        ("--data", "{data}", "--run-dir", "{run}"),
        "go on with --resume",
    ),
    "plan of no data set": (("plan", "--data", "{tmp}/nothing"), "there is no data set 'nothing'"),
    "check of no snapshots": (("check", "--data", "{data}", "--snapshots", "0"), "or all"),
    "check of some snapshots": (("check", "--data", "{data}", "--snapshots", "few"), "or all"),
    "check by no rank": (("check", "--data", "{data}", "--ranks", "0"), "--ranks 1 or more"),
    "check by fewer workers than none": (
        ("check", "--data", "{data}", "--workers", "-1"),
        "--workers are 0 or more",
    ),
    "check of no data set": (("check", "--data", "{tmp}/nothing"), "there is no data set"),
    "plan of no epochs": (("plan", "--data", "{data}", "--epochs", "0"), "give 1 or more"),
    "plan of what is filtered away": (
        ("plan", "--data", "{data}", "--min-tokens", "60000"),
        "no samples left after the filters",
    ),
    "bad strategy": (("generate", "--checkpoint", "{run}", "--strategy", "best", "да"), "strategy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(
    trainer: Trainer,
    tmp_path: Path,
    run_dir: Path,
    pairs_url: str,
    mistake: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bad.yaml").write_text("batch_sise: 3\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    monkeypatch.setattr("shards.http.RetryPolicy.wait_s", lambda *_: 0.0)
    arguments, told = MISTAKES[mistake]
    with closed_port() as port:
        places = {"tmp": tmp_path, "port": port, "run": run_dir, "data": pairs_url}
        status, output, errors = trainer(*(argument.format(**places) for argument in arguments))
    assert status == 1
    assert not output
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1
    assert told in errors


def test_an_unknown_environment_variable_is_refused(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER_BATCHSIZE", "3")
    status, _, errors = trainer("train")
    assert status == 1
    assert "TRAINER_BATCHSIZE: unknown setting 'batchsize'; did you mean 'batch_size'?" in errors


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("Bob", "authors=('Bob',)"),
        ('["Bob", "Ann, Ivan"]', "authors=('Bob', 'Ann, Ivan')"),
        ("[Bob]", "setting TRAINER_AUTHORS = '[Bob]': it is no list in JSON (Expecting value"),
        ("[1]", "setting TRAINER_AUTHORS.0 = 1: give text; nothing was trained"),
    ],
)
def test_a_list_in_the_environment_is_one_item_or_json(
    monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    monkeypatch.setenv("TRAINER_AUTHORS", value)
    try:
        settings = load_settings(
            TrainSettings, prefix=ENV_PREFIX, consequence="nothing was trained"
        )
        assert told in str(settings.pair_filter)
    except ConfigurationError as error:
        assert str(error).startswith(told)


def test_the_command_line_wins_over_the_environment_and_that_over_yaml(
    trainer: Trainer, pairs_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {pairs_url}\nseed: 1\nlog_every: 1\nkeep_last: 1\n")
    monkeypatch.setenv("TRAINER_LOG_EVERY", "2")
    monkeypatch.setenv("TRAINER_KEEP_LAST", "2")
    run_dir = tmp_path / "run"
    arguments = ("--config", str(config), "--run-dir", str(run_dir), *TINY, "--keep-last", "3")
    status, _, errors = trainer(*arguments)
    assert status == 0, errors
    effective = (run_dir / "config.yaml").read_text()
    assert "seed: 1\n" in effective
    assert "log_every: 2\n" in effective
    assert "keep_last: 3\n" in effective
