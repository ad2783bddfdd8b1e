"""`trainer plan`: settings → what training on a data set will be, before anything is trained."""

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from shards.cli.console import print_result, progress_bars
from shards.cli.settings import (
    ConfigOption,
    ConfigurationError,
    JsonOption,
    load_settings,
    settings_options,
)
from trainer.config import ENV_PREFIX, TrainSettings

if TYPE_CHECKING:
    from trainer.plan import EpochPlan, SourcePlan

_UNITS = ("B", "kB", "MB", "GB", "TB")


@settings_options(TrainSettings)
def plan_command(
    overrides: Mapping[str, Any],
    epochs: Annotated[
        int, typer.Option("--epochs", help="Epochs to plan: the first ones of a run.")
    ] = 1,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Tell steps, tokens, padding and bytes of each epoch, before the first step.

    It takes the options of `train`. No shard is fetched, unless there is a filter.
    """
    if epochs < 1:
        raise ConfigurationError(f"--epochs {epochs} plans nothing; give 1 or more")
    # imported here: --help need not wait for torch
    from trainer.plan import plan_run
    from trainer.training.data import open_sources
    from trainer.training.loop import make_stream_config

    settings = load_settings(
        TrainSettings,
        prefix=ENV_PREFIX,
        consequence="nothing was planned",
        config=config,
        overrides=overrides,
    )
    with tempfile.TemporaryDirectory() as folder, progress_bars() as report:
        # what a filter finds is kept in the run's folder, and this is no run
        apart = settings.model_copy(update={"run_dir": Path(folder)})
        sources = open_sources(apart, report=report)
        plans = plan_run(sources, make_stream_config(settings), settings.max_steps, epochs)
    if json:
        print_result(
            {"max_steps": settings.max_steps, "data": [_as_json(plan) for plan in plans]},
            as_json=True,
            title="",
        )
        return
    for plan in plans:
        _show(plan, settings)


def _as_json(plan: "SourcePlan") -> dict[str, Any]:
    return {
        "url": plan.url,
        "version": plan.version,
        "samples": plan.epochs[0].samples,
        "max_steps_epochs": plan.run_epochs,
        "epochs": [
            {**dataclasses.asdict(epoch), "padding_share": epoch.padding_share}
            for epoch in plan.epochs
        ],
    }


def _show(plan: "SourcePlan", settings: TrainSettings) -> None:
    console = Console(highlight=False, soft_wrap=True)
    first = plan.epochs[0]
    console.print(f"{plan.url}, version {plan.version[:12]}", markup=False)
    table = Table(box=None, pad_edge=False, show_header=len(plan.epochs) > 1)
    table.add_column("epoch")
    for epoch in plan.epochs:
        table.add_column(str(epoch.epoch), justify="right")
    for name, cells in _rows(plan.epochs).items():
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        f"{settings.max_steps:,} steps (--max-steps) are {plan.run_epochs:,.2f} epochs of it; a "
        f"batch has up to {first.largest_batch:,} cells, padding included",
        markup=False,
    )


def _rows(epochs: "Sequence[EpochPlan]") -> dict[str, list[str]]:
    """What the table says of each epoch."""
    return {
        "samples": [f"{epoch.samples:,}" for epoch in epochs],
        "steps": [f"{epoch.steps:,}" for epoch in epochs],
        "input tokens": [f"{epoch.input_tokens:,}" for epoch in epochs],
        "target tokens": [f"{epoch.target_tokens:,}" for epoch in epochs],
        "padding": [f"{epoch.padding_share:.2%}" for epoch in epochs],
        "to fetch, at most": [in_bytes(epoch.fetch_bytes) for epoch in epochs],
        "windows": [f"{epoch.windows:,}" for epoch in epochs],
        "memory, about": [in_bytes(epoch.memory_bytes) for epoch in epochs],
    }


def in_bytes(number: float) -> str:
    """A size as people read it, in powers of 1,000: 1.2 MB."""
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.3g} {unit}"


def in_short(plan: "SourcePlan") -> str:
    """The plan in one line, for the moment before the first step."""
    epoch = plan.epochs[0]
    return (
        f"an epoch of {plan.url} is {epoch.steps:,} steps and {epoch.target_tokens:,} target "
        f"tokens, {epoch.padding_share:.1%} padding, {in_bytes(epoch.fetch_bytes)} to fetch; the "
        f"run is {plan.run_epochs:,.2f} epochs of it"
    )
