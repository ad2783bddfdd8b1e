"""The command line of the trainer: one module for each command."""

import os
import sys

import typer

from shards.cli.console import run
from shards.cli.help import GroupedHelp
from trainer.cli.check import check_command
from trainer.cli.generate import generate_command
from trainer.cli.plan import plan_command
from trainer.cli.trace import trace_command
from trainer.cli.train import train_command

app = typer.Typer(
    help="Train a small translation model from a data set URL, and use it.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(
    "train",
    cls=GroupedHelp,
    epilog="Example: trainer train --data http://localhost:8000/datasets/demo",
)(train_command)
app.command(
    "plan",
    cls=GroupedHelp,
    epilog="Example: trainer plan --data http://localhost:8000/datasets/demo",
)(plan_command)
app.command(
    "check",
    cls=GroupedHelp,
    epilog="Example: trainer check --data http://localhost:8000/datasets/demo",
)(check_command)
app.command(
    "trace", cls=GroupedHelp, epilog="Example: trainer trace --run-dir runs/default --step 120"
)(trace_command)
app.command(
    "generate",
    cls=GroupedHelp,
    epilog='Example: trainer generate --checkpoint runs/default "Привет, мир!"',
)(generate_command)


def main() -> None:
    """Entry point; without a command it trains, so that `trainer --resume` goes on."""
    # Threads of torch's CPU kernels that spin while they wait make a step several times slower
    # as soon as anything else runs on the machine; read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        sys.argv.insert(1, "train")
    run(app)
