"""Ranks and micro-steps add up to one gradient; a run proves every epoch, resumed or not."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.training.test_loop import TINY, Silent
from trainer.config import TrainSettings
from trainer.stream.batching import Batch
from trainer.stream.mix import read_mixture
from trainer.stream.order import Cursor
from trainer.stream.proof import LostSamplesError, Progress
from trainer.training.checkpoint import list_checkpoints, newest_checkpoint
from trainer.training.loop import Interval, stream_config, train, train_step
from trainer.training.metrics import RunLog
from trainer.training.setup import Run, set_up


@pytest.fixture
def settings(pairs_url: str, tmp_path: Path) -> TrainSettings:
    values = {
        "data": pairs_url,
        "run_dir": tmp_path / "run",
        "batch_size": 48,
        "window_samples": 300,
        "max_steps": 30,
        "eval_every": 1000,
        "save_every": 7,
        "keep_last": 50,
        "num_samples": 0,
        "dropout": 0.0,
        "cpu_threads": 1,
        "tensorboard": False,
        **TINY,
    }
    return TrainSettings.model_validate(values)


def gradients(settings: TrainSettings, batch: Batch) -> list[torch.Tensor]:
    """The gradient of each parameter in a first step on a batch, before it is used."""
    run = set_up(settings.model_copy(update={"clip_norm": 1e9}))
    captured: list[torch.Tensor] = []

    def keep(*_: object) -> None:
        for parameter in run.model.parameters():
            assert parameter.grad is not None, "a rank without rows has a gradient, too: zeros"
            captured.append(parameter.grad.clone())

    run.optimizer.register_step_pre_hook(keep)
    train_step(run, batch, Interval())
    return captured


def parts_of(settings: TrainSettings, ranks: int, batch: int) -> list[Batch]:
    """What each rank sees of one of the first batches."""
    run = set_up(settings)
    stream = run.sources[0].stream(stream_config(run))
    parts = [stream.at(Cursor(), rank=rank, world_size=ranks) for rank in range(ranks)]
    return [next(itertools.islice(part, batch, None)) for part in parts]


@pytest.mark.parametrize(
    ("ranks", "micro_steps"), [(1, 4), (2, 2), (4, 1), (3, 2), (8, 1), (2, 40)], ids=str
)
@pytest.mark.parametrize("batch_size", [48, 3])
def test_ranks_and_micro_steps_add_up_to_the_gradient_of_the_global_batch(
    settings: TrainSettings, ranks: int, micro_steps: int, batch_size: int
) -> None:
    settings = settings.model_copy(update={"batch_size": batch_size})
    (whole,) = parts_of(settings, 1, 0)
    expected = gradients(settings, whole)
    accumulated = settings.model_copy(update={"grad_accum": micro_steps})
    parts = parts_of(settings, ranks, 0)
    assert sum(len(part.input_ids) for part in parts) == batch_size
    of_ranks = [gradients(accumulated, part) for part in parts]
    for one, *shares in zip(expected, *of_ranks, strict=True):
        torch.testing.assert_close(sum(shares), one, rtol=1e-3, atol=1e-6)


def run_losing(run: Run, monkeypatch: pytest.MonkeyPatch, lost_step: int | None) -> None:
    """Train; the batch of one step, counted from the start of this process, lacks a pair."""

    def losing(*arguments: Any) -> Iterator[tuple[int, Batch]]:
        for step, (number, batch) in enumerate(read_mixture(*arguments), start=1):
            if step == lost_step:
                batch = batch._replace(global_pair_ids=batch.global_pair_ids[1:])
            yield number, batch

    monkeypatch.setattr("trainer.training.loop.read_mixture", losing)
    log = RunLog(run.settings.run_dir, step=run.state.step, tensorboard=False)
    with contextlib.closing(log):
        train(run, log, threading.Event(), Silent())


@pytest.mark.slow
def test_a_lost_pair_ends_a_run_and_nothing_behind_its_last_checkpoint_is_kept(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = set_up(settings)
    stream = run.sources[0].stream(stream_config(run)).at(Cursor(), rank=0, world_size=1)
    end = next(step for step, batch in enumerate(stream, start=1) if batch.cursor.window == 2)
    with pytest.raises(LostSamplesError, match=r"^window 1 .* is missing;"):
        run_losing(run, monkeypatch, end)
    saved = [folder.name for folder in list_checkpoints(run.checkpoints)]
    every = settings.save_every
    assert saved == [f"step-{step:08d}" for step in range((end - 1) // every * every, 0, -every)]
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    again = set_up(settings, checkpoint)
    run_losing(again, monkeypatch, None)
    assert again.state.step == 30, "done again, nothing is missing"


@pytest.mark.slow
def test_a_checkpoint_carries_the_counts_and_a_resume_proves_the_whole_epoch(
    settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = settings.model_copy(update={"max_steps": 14})
    run = set_up(short)
    run_losing(run, monkeypatch, None)
    checkpoint, _ = newest_checkpoint(run.checkpoints)
    (told,) = checkpoint.state["progress"]
    progress = Progress.load(told)
    assert progress == run.state.progress[0]
    assert progress.cursor.window > 0
    assert progress.epoch.samples == progress.drawn > progress.window.samples > 0
    resumed = set_up(settings, checkpoint)
    run_losing(resumed, monkeypatch, None)
    assert resumed.state.progress[0].cursor.epoch == 1, "the epoch ended, and was whole"
    # had the first part of the run lost a pair of a window that seemed whole, it would be told
    told["epoch"][0] -= 1
    with pytest.raises(LostSamplesError, match=r"^epoch 0 of "):
        run_losing(set_up(settings, checkpoint), monkeypatch, None)
