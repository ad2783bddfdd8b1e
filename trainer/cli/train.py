"""`trainer train`: settings → a run, new or resumed, with its progress on the screen."""

import contextlib
import fcntl
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from shards.cli.console import print_result, progress_bars, say
from shards.cli.settings import ConfigOption, JsonOption, load_settings, settings_options
from trainer.cli.plan import in_short
from trainer.config import ENV_PREFIX, TrainSettings

if TYPE_CHECKING:
    from trainer.training.metrics import RunLog
    from trainer.training.setup import Run

_NOT_TRAINED: Final = "nothing was trained"


@settings_options(TrainSettings)
def train_command(
    overrides: Mapping[str, Any],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest whole checkpoint of --run-dir.")
    ] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Train, writing checkpoints and metrics to --run-dir; `trainer --resume` goes on."""
    # imported below: --help need not wait for torch
    settings = load_settings(
        TrainSettings,
        prefix=ENV_PREFIX,
        consequence=_NOT_TRAINED,
        config=config,
        overrides=overrides,
    )
    with _only_writer(settings.run_dir):
        _train(_prepare(settings, overrides, config, resume=resume), as_json=json)


@contextlib.contextmanager
def _only_writer(run_dir: Path) -> Iterator[None]:
    """Hold the run folder; a second trainer would take the first one's files for left-overs."""
    from trainer.errors import TrainingError

    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"another trainer is at work in {run_dir}; this one does not start, so that "
                "neither damages the other's files; wait for it, stop it, or name another --run-dir"
            ) from error
        yield


def _train(prepared: "Run", *, as_json: bool) -> None:
    """Train a run that is set up, and say what became of it."""
    from trainer.training.metrics import RunLog

    settings, state = prepared.settings, prepared.state
    (settings.run_dir / "config.yaml").write_text(
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), encoding="utf-8"
    )
    start = _start(prepared)
    say(
        f"{start['parameters'] / 1e6:.1f} M parameters on {start['device']}, amp {start['amp']}, "
        + ", ".join(
            f"{source.samples('train')} samples of {source.dataset.ref.url}"
            for source in prepared.sources
        )
    )
    _say_filters(prepared)
    _say_plans(prepared)
    log = RunLog(settings.run_dir, step=state.step, tensorboard=settings.tensorboard)
    with contextlib.closing(log), _leases(prepared):
        log.event("start", state.step, start)
        outcome = _watch(prepared, log)
        log.event("end", state.step, {"outcome": outcome})
    result = {
        "outcome": outcome,
        "step": state.step,
        "epochs": [part.cursor.epoch for part in state.progress],
        "best_val_loss": state.best_loss,
        "best_step": state.best_step,
        "checkpoint": str(prepared.checkpoints / f"step-{state.step:08d}"),
        "metrics": str(settings.run_dir / "metrics.jsonl"),
    }
    print_result(result, as_json=as_json, title="Trained")


@contextlib.contextmanager
def _leases(prepared: "Run") -> Iterator[None]:
    """Hold every version that is read, so that its service does not collect it meanwhile."""
    from shards.lease import LeaseKeeper

    holder = f"{platform.node()} {prepared.settings.run_dir}"
    with contextlib.ExitStack() as stack:
        for source in prepared.sources:
            for place in source.dataset.ref.places:
                stack.enter_context(LeaseKeeper(place.url, holder=holder, tell=say))
        yield


def _say_filters(prepared: "Run") -> None:
    """What the filters left out, for each data set and split."""
    for source in prepared.sources:
        for split, selection in source.selections.items():
            left_out = ", ".join(f"{name} {n}" for name, n in sorted(selection.dropped.items()))
            total = source.dataset.manifest.splits[split].samples
            say(
                f"filters keep {selection.samples} of {total} {split} samples of "
                f"{source.dataset.ref.url}; left out: {left_out or 'none'}"
            )


def _say_plans(prepared: "Run") -> None:
    """One line for each data set; filters would have every shard looked through once more."""
    from trainer.plan import plan_run
    from trainer.training.loop import stream_config

    if not any(source.selections for source in prepared.sources):
        for plan in plan_run(
            prepared.sources, stream_config(prepared), prepared.settings.max_steps
        ):
            say(in_short(plan))


def _start(prepared: "Run") -> dict[str, Any]:
    return {
        "parameters": sum(parameter.numel() for parameter in prepared.model.parameters()),
        "device": str(prepared.device),
        "amp": str(prepared.amp_dtype or "off").removeprefix("torch."),
        "data": [source.describe() for source in prepared.sources],
        "train_samples": [source.samples("train") for source in prepared.sources],
    }


def _watch(prepared: "Run", log: "RunLog") -> str:
    """Train with signals heard and progress shown; the outcome."""
    import torch

    from trainer.errors import TrainingError
    from trainer.training.loop import stop_signals, train

    step, max_steps = prepared.state.step, prepared.settings.max_steps
    with _screen(step, max_steps) as screen, stop_signals() as stop:
        try:
            return train(prepared, log, stop, screen)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the GPU's memory is full at step {prepared.state.step}; checkpoints are kept; "
                "resume with a larger --grad-accum or --grad-checkpointing on, or start a run "
                "with a smaller --batch-size"
            ) from error


def _prepare(
    settings: TrainSettings, overrides: Mapping[str, Any], config: Path | None, *, resume: bool
) -> "Run":
    """A run set up anew, or from its newest whole checkpoint."""
    from trainer.errors import TrainingError
    from trainer.training.checkpoint import (
        list_checkpoints,
        newest_checkpoint,
        set_damaged_aside,
    )
    from trainer.training.setup import set_up

    root = settings.run_dir / "checkpoints"
    if not resume and not (settings.auto_resume and list_checkpoints(root)):
        if list_checkpoints(root):
            raise TrainingError(
                f"{settings.run_dir} holds a run already; nothing was started, so that it is not "
                "overwritten; go on with --resume, or name another --run-dir"
            )
        with progress_bars() as report:
            return set_up(settings, report=report)
    checkpoint, problems = newest_checkpoint(root)
    settings = load_settings(
        TrainSettings,
        prefix=ENV_PREFIX,
        consequence=_NOT_TRAINED,
        config=config,
        overrides=overrides,
        # a run folder may have been moved or copied since
        base={**checkpoint.state["settings"], "run_dir": str(settings.run_dir)},
    )
    for problem in problems:
        say(f"warning: {problem}; it is set aside and the one before it is used")
    if checkpoint.step >= settings.max_steps and resume and settings.extend_steps:
        settings = settings.model_copy(
            update={
                "decay_steps": settings.decay_steps or settings.max_steps,
                "max_steps": checkpoint.step + settings.extend_steps,
            }
        )
    with progress_bars() as report:
        prepared = set_up(settings, checkpoint, report)
    set_damaged_aside(root, checkpoint.step)
    if checkpoint.step < settings.max_steps:
        say(f"resuming from {checkpoint.folder}, step {checkpoint.step} of {settings.max_steps}")
    else:
        say(
            f"resuming from {checkpoint.folder}, step {checkpoint.step}: the run is complete; to "
            "train it further, raise --max-steps above that"
        )
    return prepared


class _Screen:
    """A bar with the latest numbers on a terminal, a line for each metric line elsewhere."""

    def __init__(self, bars: Progress, step: int, max_steps: int) -> None:
        self._bars = bars
        self._max_steps = max_steps
        self._task = bars.add_task("train", total=max_steps, completed=step, numbers="")

    def metrics(self, step: int, values: dict[str, Any]) -> None:
        numbers = (
            f"loss {values['loss']:.3f}  lr {values['learning_rate']:.2e}  "
            f"{values['tokens_per_s']:,.0f} tok/s  "
            f"mem {values['peak_memory_bytes'] / 2**20:,.0f} MiB  "
            f"wait {values['data_wait_share']:.1%}"
        )
        self._bars.update(self._task, completed=step, numbers=numbers)
        if not self._bars.console.is_terminal:
            say(f"step {step}/{self._max_steps}  {numbers}")

    def samples(self, rows: list[dict[str, str]]) -> None:
        for row in rows:
            say(f"sample: {row['source']} → {row['output']}")


@contextlib.contextmanager
def _screen(step: int, max_steps: int) -> Iterator[_Screen]:
    console = Console(stderr=True)
    columns = (
        TextColumn("train"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield _Screen(bars, step, max_steps)
