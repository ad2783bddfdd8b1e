"""Sources → what each holds, in order; the next one is being read while the last is worked on."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dataservice.errors import SourceError
from dataservice.prepare import ahead
from dataservice.prepare.ahead import read_sources
from dataservice.prepare.journal import Journal
from dataservice.prepare.reading import Ingested, ingest_source
from dataservice.settings import BuildSettings
from shards.cli.console import silent
from tests.dataservice.prepare.builds import small, write_rows

SOURCES = 3


@pytest.fixture
def settings(tmp_path: Path) -> BuildSettings:
    rows = [[{"ru": f"предложение {n}", "en": f"sentence {n}"}] * (n + 1) for n in range(SOURCES)]
    files = [write_rows(tmp_path / f"{n}.jsonl", some) for n, some in enumerate(rows)]
    return small(tmp_path, sources=[str(file) for file in files])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def read_all(
    settings: BuildSettings, folder: Path, told: list[int] | None = None
) -> list[Ingested]:
    def report(stage: str, done: int, total: int | None) -> None:
        assert (stage, total) == ("read", None)
        if told is not None:
            told.append(done)

    with Journal(folder) as journal:
        return list(read_sources(settings, folder, journal, report))


class Reading:
    """Stands in for the reading of sources: says which have begun, and waits before each ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = [threading.Event() for _ in range(SOURCES)]
        self.may_end = [threading.Event() for _ in range(SOURCES)]
        monkeypatch.setattr(ahead, "ingest_source", self.read)

    def read(
        self,
        settings: BuildSettings,
        number: int,
        before: Ingested,
        folder: Path,
        note: Callable[[], None],
    ) -> Ingested:
        self.begun[number].set()
        assert self.may_end[number].wait(10)
        return ingest_source(settings, number, before, folder, note)


def test_the_next_source_is_read_while_the_last_one_is_worked_on(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(monkeypatch)
    with (
        Journal(folder) as journal,
        closing(read_sources(settings, folder, journal, silent)) as parts,
    ):
        for number in range(SOURCES):
            reading.may_end[number].set()
            part = next(parts)
            assert [chunk.input for chunk in part.chunks] == [number]
            if number + 1 < SOURCES:
                assert reading.begun[number + 1].wait(10)
        assert list(parts) == []


def test_reading_ends_once_nobody_waits_for_it(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def read(
        settings: BuildSettings,
        number: int,
        before: Ingested,
        folder: Path,
        note: Callable[[], None],
    ) -> Ingested:
        while number:  # a source without an end
            begun.set()
            note()
        return ingest_source(settings, number, before, folder, note)

    monkeypatch.setattr(ahead, "ingest_source", read)
    threads = threading.active_count()
    with Journal(folder) as journal:
        with closing(read_sources(settings, folder, journal, silent)) as parts:
            next(parts)
            assert begun.wait(10)
        assert threading.active_count() == threads
        assert not journal.knows("read", "1")


def test_what_an_earlier_run_read_is_not_read_again(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    first = read_all(settings, folder, told)
    assert sorted(set(told)) == [1, 2, 3]
    files = [info.file for part in first for info in part.inputs]
    assert files == [f"{number}.jsonl" for number in range(SOURCES)]
    Reading(monkeypatch)  # would wait for ever
    told.clear()
    assert read_all(settings, folder, told) == first
    assert told == []


def test_a_source_that_is_damaged_is_told_in_its_turn(
    settings: BuildSettings, folder: Path
) -> None:
    Path(settings.sources[1].locations[0]).unlink()
    with (
        Journal(folder) as journal,
        closing(read_sources(settings, folder, journal, silent)) as parts,
    ):
        next(parts)
        with pytest.raises(SourceError, match=r"1\.jsonl"):
            next(parts)
    Path(settings.sources[1].locations[0]).write_text('{"ru": "да", "en": "yes"}\n')
    assert len(read_all(settings, folder)) == SOURCES
