"""What every stage of one build works with, and what the driver itself leaves in the journal."""

from dataclasses import dataclass
from pathlib import Path

from dataservice.prepare.engine import Engine
from dataservice.prepare.journal import Journal
from dataservice.prepare.work.spill import SpillFile
from dataservice.settings import BuildSettings
from shards.cli.console import Report


@dataclass(frozen=True, slots=True)
class BuildContext:
    """One build: what is asked, the folder through which its stages pass files, and who works."""

    settings: BuildSettings
    folder: Path
    engine: Engine
    journal: Journal
    report: Report


@dataclass(frozen=True, slots=True)
class Made:
    """A file that the driver made between two stages."""

    spilled: SpillFile

    def files(self) -> tuple[SpillFile, ...]:
        return (self.spilled,)


@dataclass(frozen=True, slots=True)
class Known:
    """That something is so, without a file."""

    def files(self) -> tuple[SpillFile, ...]:
        return ()
