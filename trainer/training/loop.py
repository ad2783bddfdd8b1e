"""A run, set up → a trained model: steps, evaluations, samples and checkpoints, in that order."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal, Protocol

import torch

from shards.errors import PrometheusError, ShardError
from trainer.config import TrainSettings
from trainer.errors import TrainingError
from trainer.stream.background import prefetch
from trainer.stream.batching import Batch
from trainer.stream.dataset import StreamConfig
from trainer.stream.loader import to_device
from trainer.stream.mix import advance, read_mixture
from trainer.training.checkpoint import prune_checkpoints, save_checkpoint
from trainer.training.evaluate import evaluate, sample_texts
from trainer.training.metrics import RunLog, peak_memory_bytes
from trainer.training.optim import learning_rate, set_learning_rate
from trainer.training.setup import Run, capture

Outcome = Literal["complete", "stopped early", "interrupted"]


@dataclass(slots=True)
class Interval:
    """Sums since the last metric line."""

    started: float = field(default_factory=time.perf_counter)
    steps: int = 0
    tokens: int = 0
    samples: int = 0
    wait_s: float = 0.0
    losses: list[torch.Tensor] = field(default_factory=list)
    grad_norms: list[torch.Tensor] = field(default_factory=list)


class Observer(Protocol):
    """Somebody who watches a run."""

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        """The values of a metric line."""
        ...

    def samples(self, rows: list[dict[str, str]]) -> None:
        """Translations of a few sentences: source, reference, output."""
        ...


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """SIGTERM or Ctrl-C sets the event; a second one ends the program at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def train(run: Run, log: RunLog, stop: threading.Event, observer: Observer) -> Outcome:
    """Train until max_steps, a signal, or `patience` evaluations without a best.

    Raises:
        TrainingError: when the loss is no number any more; checkpoints before it are kept.
        ShardError: when data cannot be had; the steps made until then are saved first.
    """
    settings, state = run.settings, run.state
    streams = [
        source.stream(stream_config(run), progress.cursor)
        for source, progress in zip(run.sources, state.progress, strict=True)
    ]
    weights = [source.weight for source in run.sources]
    mixture = read_mixture(streams, weights, state.progress, settings.num_workers)
    # ahead in a thread of its own, so that a signal is heard while a dead server is waited for
    batches = prefetch(mixture, depth=2, stop=stop)
    interval = Interval()
    saver = _Saver(run, log)
    run.model.train()
    while state.step < settings.max_steps and not _out_of_patience(run):
        asked = time.perf_counter()
        with saver.before(PrometheusError):
            item = next(batches, None)
        if item is None:
            break
        number, batch = item
        interval.wait_s += time.perf_counter() - asked
        train_step(run, batch, interval)
        progress = advance(state.progress[number], batch, streams[number])
        state.step += 1
        state.progress[number] = progress
        log.batch(state.step, batch, number)
        if state.step % settings.log_every == 0 or state.step == settings.max_steps:
            values = interval_metrics(run, interval)
            log.event("train", state.step, values)
            observer.metrics(state.step, values)
            interval = Interval()
        paused = time.perf_counter()
        with saver.before(ShardError):
            is_best = _evaluate_and_sample(run, log, stop, observer)
        if is_best or _due(state.step, settings.save_every):
            saver.save()
        interval.started += time.perf_counter() - paused
        if stop.is_set():
            break
    saver.save()
    if state.step >= settings.max_steps:
        return "complete"
    return "interrupted" if stop.is_set() else "stopped early"


def _out_of_patience(run: Run) -> bool:
    patience = run.settings.patience
    return bool(patience) and run.state.evaluations_since_best >= patience


def stream_config(run: Run) -> StreamConfig:
    """The stream that a run trains on."""
    return make_stream_config(run.settings)


def make_stream_config(settings: TrainSettings) -> StreamConfig:
    """The stream that a run with these settings trains on."""
    return StreamConfig(
        budget=settings.budget,
        seed=settings.seed,
        window_samples=settings.window_samples,
        direction=settings.direction,
    )


def train_step(run: Run, batch: Batch, interval: Interval) -> None:
    """One optimizer update: the gradient of the mean loss a token over the global batch.

    Micro-steps add up to that same gradient, however many there are.
    """
    settings, state = run.settings, run.state
    rate = learning_rate(
        state.step,
        peak=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        decay_steps=settings.decay_steps or settings.max_steps,
        min_ratio=settings.min_lr_ratio,
    )
    set_learning_rate(run.optimizer, rate)
    data = to_device(batch, run.device)
    total = torch.zeros((), device=run.device)
    for micro in range(settings.grad_accum):
        with run.autocast():
            outputs = run.model(
                data.input_ids[micro :: settings.grad_accum],
                data.target_ids[micro :: settings.grad_accum],
                label_smoothing=settings.label_smoothing,
            )
        loss = outputs.loss_sum / batch.global_target_tokens
        run.scaler.scale(loss).backward()
        total += loss.detach()
    run.scaler.unscale_(run.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), settings.clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    state.tokens += batch.global_target_tokens
    interval.losses.append(total)
    interval.grad_norms.append(norm)
    interval.steps += 1
    interval.tokens += batch.global_target_tokens
    interval.samples += len(batch.global_pair_ids)


def interval_metrics(run: Run, interval: Interval) -> dict[str, Any]:
    """The values of one metric line; reading them waits for the device.

    Raises:
        TrainingError: when a loss is not finite and its step was not skipped.
    """
    losses, norms = torch.stack(interval.losses), torch.stack(interval.grad_norms)
    usable = torch.isfinite(losses) & torch.isfinite(norms)
    elapsed = time.perf_counter() - interval.started
    # With a loss scale, a step that overflows is skipped and the scale lowered: no harm is done.
    if not usable.all() and (not run.scaler.is_enabled() or not usable.any()):
        raise _no_number(run, "the loss or its gradient")
    cursor = run.state.progress[0].cursor
    return {
        "loss": losses[usable].mean().item(),
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        "grad_norm": norms[usable][-1].item(),
        "skipped_steps": int((~usable).sum()),
        "loss_scale": run.scaler.get_scale(),
        "tokens_per_s": interval.tokens / elapsed,
        "samples_per_s": interval.samples / elapsed,
        "data_wait_share": interval.wait_s / elapsed,
        "peak_memory_bytes": peak_memory_bytes(run.device),
        "tokens": run.state.tokens,
        "epoch": cursor.epoch,
        "window": cursor.window,
        "batch": cursor.batch,
        "epochs": [part.cursor.epoch for part in run.state.progress],
    }


def _no_number(run: Run, subject: str) -> TrainingError:
    return TrainingError(
        f"{subject} is no finite number at step {run.state.step}; this step is not saved, and the "
        "checkpoints before it are kept; resume with a lower --learning-rate, or with --amp off"
    )


def _due(step: int, every: int) -> bool:
    return step % every == 0


def _evaluate_and_sample(run: Run, log: RunLog, stop: threading.Event, observer: Observer) -> bool:
    """Whether this step's evaluation is the best so far."""
    settings, state = run.settings, run.state
    last = state.step == settings.max_steps
    if not any(source.samples("val") for source in run.sources):
        return False
    if settings.num_samples and (last or _due(state.step, settings.sample_every)):
        rows = sample_texts(run, stop)
        log.text(state.step, rows)
        observer.samples(rows)
    if not (last or _due(state.step, settings.eval_every)):
        return False
    values = evaluate(run, stop)
    if values is None:
        return False
    if not math.isfinite(values["loss"]):
        raise _no_number(run, "the validation loss")
    is_best = state.best_loss is None or values["loss"] < state.best_loss
    if is_best:
        state.best_loss, state.best_step = values["loss"], state.step
        state.evaluations_since_best = 0
    else:
        state.evaluations_since_best += 1
    log.event("eval", state.step, {**values, "best": is_best})
    return is_best


class _Saver:
    """Saves a run, each of its steps once at most."""

    def __init__(self, run: Run, log: RunLog) -> None:
        self._run = run
        self._log = log
        self._step = run.state.step

    def save(self) -> None:
        if self._step != self._run.state.step:
            save(self._run, self._log)
            self._step = self._run.state.step

    @contextmanager
    def before(self, error: type[Exception]) -> Iterator[None]:
        """Save before such an error ends the run: data that cannot be had costs no step."""
        try:
            yield
        except error:
            self.save()
            raise


def save(run: Run, log: RunLog) -> None:
    """Write a checkpoint of this moment, and only then remove those that are not kept.

    Raises:
        TrainingError: when a weight is not finite; then nothing is written or removed.
    """
    if not all(bool(torch.isfinite(weights).all()) for weights in run.model.parameters()):
        raise _no_number(run, "a weight")
    files, state = capture(run)
    folder = save_checkpoint(run.checkpoints, run.state.step, files, state)
    log.event("checkpoint", run.state.step, {"folder": folder.name})
    prune_checkpoints(run.checkpoints, run.settings.keep_last, run.state.best_step)
