"""What a program has to say → stdout for results, stderr for progress and errors."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from shards.errors import PrometheusError

_INTERRUPTED: Final = 130
_LOG_EVERY_S: Final = 10.0


class Report(Protocol):
    """Called as work goes on: the stage, what is done of it and, where known, of how much."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


def silent(stage: str, done: int, total: int | None) -> None:
    """A report that tells nobody."""


@contextmanager
def progress_bars() -> Iterator[Report]:
    """A report that draws one bar for each stage on stderr; where that is a log, see `LogLines`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield LogLines()
        return
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                end(progress.tasks[:-1])  # of two stages one may begin before the other ends
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        def end(stages: Sequence[Task]) -> None:
            for stage in stages:
                progress.update(stage.id, total=stage.total or stage.completed)
                progress.stop_task(stage.id)

        yield report
        end(progress.tasks)


class LogLines:
    """A report for logs: where work has got to, a line every ten seconds, none if it is quick."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told = clock()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = self._clock()
        if now - self._told >= _LOG_EVERY_S:
            self._told = now
            say(f"{stage}: {done:,}" + (f" of {total:,}" if total is not None else ""))


def json_lines(stage: str, done: int, total: int | None) -> None:
    """A report for programs: one JSON object a line on stderr."""
    sys.stderr.write(json.dumps({"stage": stage, "done": done, "total": total}) + "\n")
    sys.stderr.flush()


def say(text: str) -> None:
    """One line for a person, on stderr, so that stdout holds results alone."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def print_result(result: Mapping[str, Any], *, as_json: bool, title: str) -> None:
    """The result of a command: JSON for programs, a table on a terminal, plain lines in a log."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        return
    console = Console(highlight=False)
    rows = {
        name.replace("_", " "): value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
        for name, value in result.items()
    }
    if not console.is_terminal:
        sys.stdout.writelines(f"{name}: {text}\n" for name, text in rows.items())
        return
    console.print(Text(title, "italic"))
    width = max(map(len, rows))
    for name, text in rows.items():
        # no table: an id or a path can be copied from a terminal that is too narrow for it
        console.print(Text.assemble((name.ljust(width), "bold"), "  ", text), soft_wrap=True)


def run(app: Callable[[], None], *, again: str = "run the same command again") -> NoReturn:
    """Run a command line: what a user can mend is one line and exit status 1, no traceback.

    `again` says what to do after Ctrl-C.
    """
    try:
        app()
    except PrometheusError as error:
        _fail(str(error), 1)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            told = f"interrupted; what was not finished was not published; {again}"
            _fail(told, _INTERRUPTED)
        raise
    except ModuleNotFoundError as error:
        program = Path(sys.argv[0]).stem
        _fail(
            f"the package {error.name} is not installed, which {program} needs; install its own "
            f"packages: pip install 'prometheusgpt-mini[dataservice]' or [trainer]",
            1,
        )
    except BrokenPipeError:
        # the reader of our output has gone, as `head` does: nobody is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}:{where}; check the path, its permissions and disk", 1)
    sys.exit(0)


def _fail(message: str, status: int) -> NoReturn:
    say(f"error: {message}")
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": message}, ensure_ascii=False) + "\n")
    sys.exit(status)
