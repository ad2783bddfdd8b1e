"""Units that write files, fail and kill their workers as they are told to, and say how often."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from dataservice.errors import BuildError, SourceError
from dataservice.prepare.work.spill import SpillFile, spill
from shards.manifest import BlobInfo
from shards.store import LocalStore


@dataclass(frozen=True)
class Toy:
    """A unit: `deaths` of its first tries end with its worker."""

    number: int
    folder: Path  # tries are noted here
    deaths: int = 0
    names_itself: bool = True

    @property
    def label(self) -> str | None:
        return f"toy {self.number}" if self.names_itself else None


@dataclass(frozen=True)
class Made:
    """A result: a number, and the files that hold it."""

    number: int
    spilled: tuple[SpillFile, ...] = ()

    def files(self) -> tuple[SpillFile, ...]:
        return self.spilled


def tries(folder: Path, number: int) -> int:
    """How often a unit was begun."""
    return len(list((folder / "tries").glob(f"{number}-*")))


def note_try(unit: Toy) -> int:
    """Note that a unit is begun, and say how often it was before."""
    folder = unit.folder / "tries"
    folder.mkdir(exist_ok=True)
    before = tries(unit.folder, unit.number)
    (folder / f"{unit.number}-{before}-{os.getpid()}").touch()
    return before


def note_worker(folder: Path, number: int) -> None:
    (folder / str(number)).touch()


def square(unit: Toy) -> Made:
    """The square of a unit's number."""
    if note_try(unit) < unit.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return Made(unit.number**2)


def write_square(unit: Toy) -> Made:
    """The square, in a file of the work folder as well."""
    made = square(unit)
    data = b"%d " % made.number * (100 + unit.number)
    return Made(made.number, (spill(unit.folder, f"square-{unit.number}", data),))


def store_square(unit: Toy) -> Made:
    """The square, in a blob of a store."""
    made = square(unit)
    blob = store_of(unit.folder).put_blob(b"%d" % made.number, ".txt")
    return Made(made.number, (SpillFile.of_blob(blob),))


def store_of(folder: Path) -> LocalStore:
    """The store that units of a folder write to."""
    return LocalStore(folder.parent / "store")


def blob_of(made: Made) -> BlobInfo:
    """The blob that `store_square` stored."""
    return BlobInfo(
        sha256=made.spilled[0].digest.removeprefix("sha256:"),
        bytes=made.spilled[0].num_bytes,
        suffix=".txt",
    )


class KeywordError(BuildError):
    """An error with a keyword of its own, as some libraries have."""

    def __init__(self, text: str, *, place: str) -> None:
        super().__init__(text)
        self.place = place

    def __reduce__(self) -> tuple[object, ...]:
        return _keyword_error, (str(self), self.place)


def _keyword_error(text: str, place: str) -> KeywordError:
    return KeywordError(text, place=place)


def fail_at_three(unit: Toy) -> Made:
    """An error that a user can mend, from the third unit."""
    if unit.number == 3:
        raise SourceError("line 3 is broken")
    return square(unit)


def fail_with_keyword(unit: Toy) -> Made:
    """An error whose class wants a keyword."""
    raise KeywordError("broken", place=f"unit {unit.number}")
