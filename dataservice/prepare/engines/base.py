"""What every engine promises, and what is said of a unit that kills its workers.

Units depend on the input alone, never on the number of workers, so that the results do not
either. Data goes through files; what crosses a process boundary is small.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from dataservice.errors import WorkerDiedError

Unit = TypeVar("Unit")
Result = TypeVar("Result")

MAX_DEATHS: Final = 3
_LABEL_CHARS: Final = 120


class Engine(AbstractContextManager["Engine"], Protocol):
    """Maps functions over units; workers live as long as its context."""

    def warm(self, function: Callable[[int], None]) -> None:
        """Let workers that have to be started run a function, while the caller does other work.

        It is given the worker's number. That it fails is told to nobody: a unit would say so.
        """
        ...

    def map(self, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
        """Results in unit order; units are taken a few ahead of the results, never all at once.

        A worker that dies is replaced and its unit run again. The function may run twice for one
        unit, so what it writes must be the same each time and be put in place by a rename.

        Raises:
            WorkerDiedError: when a unit's worker died three times; whatever `function` raises.
        """
        ...


@dataclass(frozen=True, slots=True)
class Failed:
    """An error of the function on its way from a worker, and where on it that happened."""

    error: Exception
    trace: str


class RaisedOnWorkerError(Exception):
    """Where on the worker it happened: the cause of an error, for those who read tracebacks."""


def attempt(function: Callable[[Unit], Result], unit: Unit) -> Result | Failed:
    """On a worker: the result of a unit, or the error that the driver is to raise."""
    try:
        return function(unit)
    except Exception as error:  # noqa: BLE001  # raised again by the driver
        return Failed(error, traceback.format_exc())


def unwrapped(result: Result | Failed) -> Result:
    """A result as it came from a worker; raises the error of one that failed."""
    if isinstance(result, Failed):
        raise result.error from RaisedOnWorkerError(result.trace)
    return result


def label_of(unit: object) -> str:
    """What people are told of a unit: its own `label`, or how it prints, cut."""
    label = getattr(unit, "label", None)
    text = label if isinstance(label, str) else repr(unit)
    return text if len(text) <= _LABEL_CHARS else f"{text[: _LABEL_CHARS - 1]}…"


def worker_died(unit: object) -> WorkerDiedError:
    """The error for a unit whose worker died once too often."""
    return WorkerDiedError(
        f"the worker of {label_of(unit)} died {MAX_DEATHS} times (out of memory, killed, or "
        "crashed in a library); nothing was published; give the machine more memory or take that "
        "text out, and run the same command again: what was finished is not done again"
    )
