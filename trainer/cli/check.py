"""`trainer check`: settings → whether the stream of a data set is restored exactly, proven here."""

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    from trainer.stream.check import Checked, Layout
    from trainer.training.data import Source


@settings_options(TrainSettings)
def check_command(
    overrides: Mapping[str, Any],
    snapshots: Annotated[
        str,
        typer.Option(
            "--snapshots", help="How many are restored, or all: behind every step.", metavar="N|all"
        ),
    ] = "8",
    tail: Annotated[
        int,
        typer.Option(
            "--tail", help="Steps compared from each snapshot; 0: all that follow.", metavar="N"
        ),
    ] = 50,
    steps: Annotated[
        int,
        typer.Option(
            "--steps",
            help="Steps read; 0: to the first end of an epoch, and the tail.",
            metavar="N",
        ),
    ] = 0,
    ranks: Annotated[
        list[int] | None,
        typer.Option(
            "--ranks", help="Restore as so many ranks; may be given several times.", metavar="N"
        ),
    ] = None,
    workers: Annotated[
        list[int] | None,
        typer.Option(
            "--workers",
            help="Restore with so many loader processes; may be given several times.",
            metavar="N",
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Prove that a run on this data goes on exactly, wherever it is resumed. Nothing is trained.

    The stream is read as `train` reads it, and every step written down as hashes. Then snapshots
    are restored, each in a new process, and what follows is compared: the arrays of every batch,
    and the state that a checkpoint would hold. The first difference is told, with exit status 1.

    Restored are the states before and behind the last batch of an epoch, behind the first batch,
    in the middle, at the beginning, and others at random. It takes the options of `train`.
    """
    # imported here: --help need not wait for torch
    from trainer.stream.check import Layout, Reading, check_stream
    from trainer.training.data import open_sources
    from trainer.training.loop import make_stream_config

    settings = load_settings(
        TrainSettings,
        prefix=ENV_PREFIX,
        consequence="nothing was checked",
        config=config,
        overrides=overrides,
    )
    count = _count(snapshots)
    if min(tail, steps, *(workers or [0])) < 0 or min(ranks or [1]) < 1:
        raise ConfigurationError(
            "--tail, --steps and --workers are 0 or more, and --ranks 1 or more; nothing was read"
        )
    layouts = [
        Layout(one, others)
        for one in ranks or [1]
        for others in (workers or [settings.num_workers])
    ]
    with tempfile.TemporaryDirectory() as folder, progress_bars() as report:
        # what a filter finds is kept in the run's folder, and this is no run
        apart = settings.model_copy(update={"run_dir": Path(folder)})
        sources = open_sources(apart, report=report, to_train=False)
        stream_config = make_stream_config(settings)
        checked = check_stream(
            Reading(
                tuple(source.stream(stream_config) for source in sources),
                tuple(source.weight for source in sources),
            ),
            steps=steps,
            snapshots=count,
            tail=tail or None,
            written=Layout(1, settings.num_workers),
            restored=layouts,
            seed=settings.seed,
            report=report,
        )
    print_result(_result(sources, checked, layouts), as_json=json, title="Exact")


def _count(snapshots: str) -> int | None:
    if snapshots == "all":
        return None
    if not snapshots.isdecimal() or not int(snapshots):
        raise ConfigurationError(
            f"--snapshots {snapshots} is no number of snapshots; give 1 or more, or all"
        )
    return int(snapshots)


def _result(
    sources: "tuple[Source, ...]", checked: "Checked", layouts: "list[Layout]"
) -> dict[str, Any]:
    return {
        "data": [{"url": one.url, "version": one.dataset.version} for one in sources],
        "layouts": [dataclasses.asdict(layout) for layout in layouts],
        **dataclasses.asdict(checked),
        "snapshots": "all" if len(checked.snapshots) == checked.steps else checked.snapshots,
        "outcome": "no difference",
    }
