"""`trainer trace`: a step of a run → the pairs that it was trained on."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from shards.cli.console import print_result, say
from shards.cli.settings import JsonOption


def trace_command(
    step: Annotated[int, typer.Option("--step", help="Which step, counted from 1.")],
    run_dir: Annotated[Path, typer.Option(help="Folder of the run")] = Path("runs/default"),
    data: Annotated[
        str | None,
        typer.Option(help="Where the data lies now, if not where the run had it", metavar="URL"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what one step was trained on: ids, sources, tags and texts of its pairs.

    Found from the run's ledger and the data set alone; batches are not stored. A line begins with
    the pair's id: lines of this output in a file are what `trainer train --skip-ids` takes.
    """
    # imported here: --help need not wait for torch
    from trainer.trace import trace_step

    traced = trace_step(run_dir, step, data)
    if json:
        print_result(dataclasses.asdict(traced), as_json=True, title="")
        return
    epoch, window, batch = traced.cursor
    say(
        f"step {step}: {len(traced.pairs)} pairs, batch {batch} of window {window} of epoch "
        f"{epoch} of {traced.data}"
    )
    for pair in traced.pairs:
        tags = " ".join(f"{kind}={name}" for kind, name in pair.tags.items() if name)
        sides = (pair.tgt, pair.src) if pair.reversed else (pair.src, pair.tgt)
        sys.stdout.write("\t".join((pair.id, pair.source, tags, " → ".join(sides))) + "\n")
