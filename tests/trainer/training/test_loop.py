"""One step is one gradient of the global batch, however it is split, cast or checkpointed."""

import contextlib
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from shards.dataset import Dataset
from shards.errors import StoreUnavailableError
from shards.manifest import BlobInfo
from trainer.config import TrainSettings
from trainer.errors import CheckpointError, TrainingError
from trainer.stream.batching import Batch
from trainer.training.checkpoint import list_checkpoints, newest_checkpoint
from trainer.training.evaluate import evaluate, sample_texts
from trainer.training.loop import Interval, interval_metrics, stream_config, train, train_step
from trainer.training.metrics import METRICS, RunLog, read_records
from trainer.training.setup import Run, choose_amp, choose_device, set_up

TINY = {"d_model": 32, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1, "d_ff": 64}


class Silent:
    """An observer that remembers, and may ask for a stop at the first metric line."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.rows: list[dict[str, str]] = []
        self._stop = stop

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        assert step > 0
        assert values["tokens_per_s"] > 0
        if self._stop is not None:
            self._stop.set()

    def samples(self, rows: list[dict[str, str]]) -> None:
        self.rows = rows


@pytest.fixture
def settings(pairs_url: str, tmp_path: Path) -> TrainSettings:
    values = {
        "data": pairs_url,
        "run_dir": tmp_path / "run",
        "batch_size": 32,
        "max_steps": 12,
        "warmup_steps": 2,
        "learning_rate": 3e-3,
        "log_every": 4,
        "eval_every": 4,
        "eval_batches": 2,
        "save_every": 5,
        "sample_every": 6,
        "keep_last": 2,
        "cpu_threads": 1,
        "tensorboard": False,
        **TINY,
    }
    return TrainSettings.model_validate(values)


def run_training(run: Run, *, stop: bool = False) -> tuple[str, Silent]:
    log = RunLog(run.settings.run_dir, step=run.state.step, tensorboard=False)
    event = threading.Event()
    observer = Silent(event if stop else None)
    with contextlib.closing(log):
        return train(run, log, event, observer), observer


def gradients(settings: TrainSettings) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The loss and the gradients of the first step, before they are used."""
    run = set_up(settings)
    captured: list[torch.Tensor] = []

    def keep(*_: object) -> None:
        parameters = list(run.model.parameters())
        captured.extend(p.grad.clone() for p in parameters if p.grad is not None)
        assert len(captured) == len(parameters)

    run.optimizer.register_step_pre_hook(keep)
    interval = Interval()
    train_step(run, next(iter(run.sources[0].stream(stream_config(run)))), interval)
    return interval.losses[0], captured


@pytest.mark.parametrize("grad_accum", [2, 3, 32, 40])
def test_accumulation_gives_the_gradient_of_the_whole_batch(
    settings: TrainSettings, grad_accum: int
) -> None:
    still = settings.model_copy(update={"dropout": 0.0})
    loss, whole = gradients(still)
    split_loss, split = gradients(still.model_copy(update={"grad_accum": grad_accum}))
    assert split_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    for left, right in zip(whole, split, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-6)


def test_gradient_checkpointing_changes_nothing_with_dropout_on(settings: TrainSettings) -> None:
    loss, plain = gradients(settings.model_copy(update={"grad_checkpointing": "off"}))
    again, recomputed = gradients(settings.model_copy(update={"grad_checkpointing": "on"}))
    assert loss.item() == again.item()
    for left, right in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("amp", ["off", "fp16", "bf16"])
def test_training_lowers_the_loss_in_every_precision(settings: TrainSettings, amp: str) -> None:
    run = set_up(settings.model_copy(update={"amp": amp, "max_steps": 16}))
    outcome, _ = run_training(run)
    records = list(read_records(settings.run_dir / METRICS))
    losses = [record["loss"] for record in records if record["event"] == "train"]
    assert outcome == "complete"
    assert losses[-1] < losses[0] - 0.3
    scales = {record["loss_scale"] for record in records if record["event"] == "train"}
    assert (max(scales) > 1) == (amp == "fp16")


def test_a_run_evaluates_samples_saves_and_keeps_what_it_should(settings: TrainSettings) -> None:
    run = set_up(settings)
    outcome, observer = run_training(run)
    records = list(read_records(settings.run_dir / METRICS))
    evaluated = [record["step"] for record in records if record["event"] == "eval"]
    saved = [record["step"] for record in records if record["event"] == "checkpoint"]
    assert (outcome, evaluated) == ("complete", [4, 8, 12])
    assert {5, 10, 12} <= set(saved)
    kept = {int(folder.name.removeprefix("step-")) for folder in list_checkpoints(run.checkpoints)}
    assert kept == {*sorted(saved)[-2:], run.state.best_step}
    assert len(observer.rows) == settings.num_samples
    assert all(row["source"] and row["reference"] for row in observer.rows)
    assert not any("<author" in text for row in observer.rows for text in row.values())


def test_evaluation_and_samples_leave_dropout_and_weights_alone(settings: TrainSettings) -> None:
    run = set_up(settings)
    before = torch.get_rng_state()
    weights = [parameter.clone() for parameter in run.model.parameters()]
    first = evaluate(run)
    sample_texts(run)
    assert evaluate(run) == first
    assert first is not None
    assert torch.equal(torch.get_rng_state(), before)
    assert run.model.training
    assert all(map(torch.equal, weights, run.model.parameters()))
    assert first["loss"] == pytest.approx(math.log(500), rel=0.5), "an untrained model guesses"


def test_a_stop_signal_saves_the_step_it_came_in(settings: TrainSettings) -> None:
    run = set_up(settings)
    outcome, _ = run_training(run, stop=True)
    assert outcome == "interrupted"
    assert newest_checkpoint(run.checkpoints)[0].step == run.state.step == 4


def test_data_that_cannot_be_had_costs_no_step_that_was_made(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = set_up(settings)
    batches = [next(iter(run.sources[0].stream(stream_config(run))))] * 3

    def broken(*_: object) -> Iterator[tuple[int, Batch]]:
        yield from ((0, batch) for batch in batches)
        raise StoreUnavailableError("the service is down")

    monkeypatch.setattr("trainer.training.loop.read_mixture", broken)
    with pytest.raises(StoreUnavailableError):
        run_training(run)
    assert newest_checkpoint(run.checkpoints)[0].step == 3


class _Hiding:
    """A store in which the val split is away: an error, or a wait until it is let go."""

    root = "hiding"

    def __init__(self, dataset: Dataset, let_go: threading.Event | None = None) -> None:
        self._store = dataset.store
        self._hidden = {shard.path for shard in dataset.manifest.splits["val"].shards}
        self._let_go = let_go
        self.asked = threading.Event()

    def read(self, path: str) -> bytes:
        return self._store.read(path)

    def read_blob(self, info: BlobInfo) -> bytes:
        if info.path not in self._hidden:
            return self._store.read_blob(info)
        self.asked.set()
        if self._let_go is not None:
            self._let_go.wait()
        raise StoreUnavailableError("the service is down")


def hide_val(run: Run, let_go: threading.Event | None = None) -> _Hiding:
    (source,) = run.sources
    store = _Hiding(source.dataset, let_go)
    run.sources = (replace(source, dataset=replace(source.dataset, store=store)),)
    return store


@pytest.mark.parametrize(
    ("every", "step"), [({"eval_every": 4}, 4), ({"eval_every": 100, "sample_every": 3}, 3)]
)
def test_val_data_that_cannot_be_had_costs_no_step_that_was_made(
    settings: TrainSettings, every: dict[str, int], step: int
) -> None:
    run = set_up(settings.model_copy(update=every))
    hide_val(run)
    with pytest.raises(StoreUnavailableError):
        run_training(run)
    assert newest_checkpoint(run.checkpoints)[0].step == step


@pytest.mark.parametrize("every", [{"eval_every": 4}, {"eval_every": 100, "sample_every": 3}])
def test_a_stop_signal_is_heard_while_val_data_does_not_come(
    settings: TrainSettings, every: dict[str, int]
) -> None:
    run, let_go, stop = (
        set_up(settings.model_copy(update=every)),
        threading.Event(),
        threading.Event(),
    )
    store = hide_val(run, let_go)

    def signal_when_it_waits() -> None:
        store.asked.wait()
        stop.set()

    signaller = threading.Thread(target=signal_when_it_waits)
    signaller.start()
    with contextlib.closing(RunLog(settings.run_dir, step=0, tensorboard=False)) as log:
        assert train(run, log, stop, Silent()) == "interrupted"
    let_go.set()
    signaller.join()
    assert newest_checkpoint(run.checkpoints)[0].step == run.state.step
    assert not [one for one in read_records(settings.run_dir / METRICS) if one["event"] == "eval"]


def test_patience_ends_a_run_that_no_longer_gets_better(settings: TrainSettings) -> None:
    frozen = {"learning_rate": 1e-30, "patience": 2, "eval_every": 1, "weight_decay": 0.0}
    run = set_up(settings.model_copy(update=frozen))
    outcome, _ = run_training(run)
    assert outcome == "stopped early"
    assert run.state.step == 3


@pytest.mark.parametrize("every", ["log_every", "eval_every", "save_every"])
def test_weights_that_are_no_numbers_are_never_saved(settings: TrainSettings, every: str) -> None:
    run_training(set_up(settings), stop=True)
    good, _ = newest_checkpoint(settings.run_dir / "checkpoints")
    rare = {"log_every": 1000, "eval_every": 1000, "save_every": 1000, every: 1}
    broken = {"learning_rate": 1e30, "warmup_steps": 0, **rare}
    run = set_up(settings.model_copy(update=broken), good)
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        run_training(run)
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    weights = checkpoint.tensors("model.safetensors").values()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights)
    lines = (settings.run_dir / METRICS).read_text()
    assert "NaN" not in lines
    assert "Infinity" not in lines


def test_with_a_loss_scale_an_overflow_is_a_skipped_step(settings: TrainSettings) -> None:
    run = set_up(settings.model_copy(update={"amp": "fp16"}))
    interval = Interval()
    batch = next(iter(run.sources[0].stream(stream_config(run))))
    train_step(run, batch, interval)
    train_step(run, batch, interval)
    interval.grad_norms[0].fill_(float("inf"))
    assert interval_metrics(run, interval)["skipped_steps"] == 1


def test_a_signal_is_heard_while_data_is_waited_for(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = set_up(settings)
    batches = [next(iter(run.sources[0].stream(stream_config(run))))] * 6
    never = threading.Event()

    def stalled(*_: object) -> Iterator[tuple[int, Batch]]:
        yield from ((0, batch) for batch in batches)
        never.wait(60)

    monkeypatch.setattr("trainer.training.loop.read_mixture", stalled)
    outcome, _ = run_training(run, stop=True)
    assert outcome == "interrupted"
    assert newest_checkpoint(run.checkpoints)[0].step == run.state.step >= 4
    never.set()


def test_a_run_that_stopped_early_stays_stopped(settings: TrainSettings) -> None:
    frozen = {"learning_rate": 1e-30, "patience": 2, "eval_every": 1, "weight_decay": 0.0}
    changed = settings.model_copy(update=frozen)
    run_training(set_up(changed))
    checkpoint, _ = newest_checkpoint(settings.run_dir / "checkpoints")
    run = set_up(changed, checkpoint)
    assert run_training(run)[0] == "stopped early"
    assert run.state.step == checkpoint.step


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"d_model": 64}, "d_model 32"),
        ({"batch_size": 16}, "batch_size 32"),
        ({"seed": 1}, "seed 0"),
    ],
)
def test_a_resume_that_would_change_batches_or_model_is_refused(
    settings: TrainSettings, change: dict[str, int], told: str
) -> None:
    run_training(set_up(settings), stop=True)
    checkpoint, _ = newest_checkpoint(settings.run_dir / "checkpoints")
    with pytest.raises(CheckpointError, match=told):
        set_up(settings.model_copy(update=change), checkpoint)


def test_a_resume_with_another_tokenizer_is_refused(
    settings: TrainSettings, other_tokenizer_url: str
) -> None:
    run_training(set_up(settings), stop=True)
    checkpoint, _ = newest_checkpoint(settings.run_dir / "checkpoints")
    from shards.dataset import open_dataset

    checkpoint.state["data"][0]["version"] = open_dataset(other_tokenizer_url).version
    with pytest.raises(CheckpointError, match="trained with tokenizer"):
        set_up(settings.model_copy(update={"data": other_tokenizer_url}), checkpoint)


def test_a_resume_stays_on_its_version_though_a_newer_one_is_latest(
    settings: TrainSettings, pairs_url: str
) -> None:
    run = set_up(settings)
    run_training(run, stop=True)
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    resumed = set_up(settings, checkpoint)
    assert resumed.sources[0].dataset.version == run.sources[0].dataset.version
    wrong = f"{pairs_url}/versions/{'0' * 64}"
    with pytest.raises(CheckpointError, match="was trained on version"):
        set_up(settings.model_copy(update={"data": wrong}), checkpoint)


def test_devices_and_precisions_are_chosen_or_refused_by_name() -> None:
    assert choose_amp("auto", torch.device("cpu")) is None
    assert choose_amp("fp16", torch.device("cpu")) is torch.float16
    with pytest.raises(TrainingError, match="unknown"):
        choose_device("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what happens without a GPU")
def test_cuda_without_a_gpu_is_refused_with_a_remedy() -> None:
    with pytest.raises(TrainingError, match="--device cpu"):
        choose_device("cuda")
