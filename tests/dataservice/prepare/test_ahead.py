"""Sources → what they hold, in order, while what was read before is worked on."""

import functools
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dataservice.errors import SourceError
from dataservice.prepare.ahead import read_sources
from dataservice.prepare.journal import Journal
from dataservice.prepare.reading import Ingested
from dataservice.prepare.sources import Chunk
from dataservice.settings import BuildSettings
from shards.cli.console import silent
from tests.dataservice.prepare.builds import small, write_rows
from tests.dataservice.prepare.readers import Note, Read, read_by

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


def read_all(settings: BuildSettings, folder: Path, told: list[int] | None = None) -> Ingested:
    def report(stage: str, done: int, total: int | None) -> None:
        assert (stage, total) == ("read", SOURCES if done == SOURCES else None)
        if told is not None:
            told.append(done)

    with Journal(folder) as journal:
        return whole(read_sources(settings, folder, journal, report))


def whole(parts: Iterable[Ingested]) -> Ingested:
    return functools.reduce(Ingested.joined, parts, Ingested((), (), ()))


def next_source(parts: Iterator[Ingested]) -> Ingested:
    """All parts of the next source, of which the last one names its files."""
    source = part = next(parts)
    while not part.inputs:
        part = next(parts)
        source = source.joined(part)
    assert part.chunks, "the next source is begun before the last chunk is given"
    return source


class Reading:
    """Stands in for the reading of sources: says which have begun, and waits before each ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = [threading.Event() for _ in range(SOURCES)]
        self.may_end = [threading.Event() for _ in range(SOURCES)]
        read_by(self._read, monkeypatch)

    def _read(self, number: int, read: Read, note: Note) -> Ingested:
        self.begun[number].set()
        assert self.may_end[number].wait(60)
        return read(note)


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
            source = next_source(parts)
            assert [chunk.input for chunk in source.chunks] == [number]
            if number + 1 < SOURCES:
                assert reading.begun[number + 1].wait(60)
        assert list(parts) == []


def test_reading_ends_once_nobody_waits_for_it(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    readers: list[threading.Thread] = []

    def endless(number: int, read: Read, note: Note) -> Ingested:
        readers.append(threading.current_thread())
        found = read(note)
        while number:
            begun.set()
            note(found.chunks[0])
        return found

    read_by(endless, monkeypatch)
    with Journal(folder) as journal:
        with closing(read_sources(settings, folder, journal, silent)) as parts:
            next_source(parts)
            assert begun.wait(60)
        assert [reader.is_alive() for reader in readers] == [False, False]
        assert not journal.knows("read", "1")


def test_what_an_earlier_run_read_is_not_read_again(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    first = read_all(settings, folder, told)
    assert sorted(set(told)) == [1, 2, 3]
    assert [info.file for info in first.inputs] == [f"{number}.jsonl" for number in range(SOURCES)]
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
        next_source(parts)
        with pytest.raises(SourceError, match=r"1\.jsonl"):
            next(parts)
    Path(settings.sources[1].locations[0]).write_text('{"ru": "да", "en": "yes"}\n')
    assert len(read_all(settings, folder).inputs) == SOURCES


class Pausing:
    """Stands in for reading: a source has four chunks, of which two wait for a word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.go_on = threading.Event()
        self.readers: list[threading.Thread] = []
        self.error = error
        read_by(self._read, monkeypatch)

    def _read(self, number: int, read: Read, note: Note) -> Ingested:
        del number
        self.readers.append(threading.current_thread())
        chunks: list[Chunk] = []
        found = read(chunks.append)
        chunks *= 4
        for chunk in chunks[:2]:
            note(chunk)
        assert self.go_on.wait(60)
        for chunk in chunks[2:]:
            note(chunk)
        if self.error:
            raise self.error
        return Ingested(tuple(chunks), found.inputs, found.spilled)


def test_chunks_of_a_source_are_given_while_the_rest_of_it_is_read(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pausing = Pausing(monkeypatch)
    with (
        Journal(folder) as journal,
        closing(read_sources(settings, folder, journal, silent)) as parts,
    ):
        begin = next(parts)
        assert (len(begin.chunks), begin.inputs) == (1, ())
        assert not journal.knows("read", "0")
        pausing.go_on.set()
        source = begin.joined(next_source(parts))
        assert (len(source.chunks), len(source.inputs)) == (4, 1)
        assert journal.knows("read", "0")


def test_a_damaged_source_is_told_before_all_that_was_read_of_it_is_worked_on(
    settings: BuildSettings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pausing = Pausing(monkeypatch, SourceError("cut"))
    with (
        Journal(folder) as journal,
        closing(read_sources(settings, folder, journal, silent)) as parts,
    ):
        assert len(next(parts).chunks) == 1
        pausing.go_on.set()
        pausing.readers[0].join(60)
        with pytest.raises(SourceError, match="cut"):
            next(parts)
