"""What stands in for the reading of sources in tests of what goes on meanwhile."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from dataservice.prepare import ahead
from dataservice.prepare.reading import Ingested, ingest_source
from dataservice.prepare.sources import Chunk
from dataservice.settings import BuildSettings

Note = Callable[[Chunk], None]
Read = Callable[[Note], Ingested]
Reader = Callable[[int, Read, Note], Ingested]
"""The number of a source, its true reading, and whom to tell of its chunks → what was read."""


def read_by(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have builds read their sources by it."""

    def ingest(
        settings: BuildSettings, number: int, before: Ingested, folder: Path, note: Note
    ) -> Ingested:
        read = functools.partial(ingest_source, settings, number, before, folder)
        return reader(number, read, note)

    monkeypatch.setattr(ahead, "ingest_source", ingest)
