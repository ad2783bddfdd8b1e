"""A build that was stopped while it read → what it has cleaned is used, of the same text alone."""

import threading
from pathlib import Path

import pytest

from dataservice.prepare.build import build
from dataservice.prepare.chunks import CleanResult, CleanUnit, clean_chunk
from dataservice.prepare.reading import Ingested, text_key
from dataservice.prepare.sources import Chunk
from dataservice.prepare.stages import cleaning
from dataservice.settings import BuildSettings
from tests.dataservice.prepare.builds import small, tagged_rows, write_rows
from tests.dataservice.prepare.readers import Note, Read, read_by


class CutReading:
    """Lets builds of a file of many chunks be interrupted when two are cleaned and three read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cleaned: list[int] = []
        self._two_cleaned = threading.Event()
        monkeypatch.setattr("dataservice.prepare.sources.lines.CHUNK_BYTES", 5000)
        monkeypatch.setattr("dataservice.prepare.sources.po.CHUNK_BYTES", 5000)
        monkeypatch.setattr("dataservice.prepare.sources.po._HEADER_BYTES", 2000)
        monkeypatch.setattr(cleaning, "clean_chunk", self._clean)

    def _clean(self, unit: CleanUnit) -> CleanResult:
        self.cleaned.append(unit.number)
        return clean_chunk(unit)

    def _read(self, number: int, read: Read, note: Note) -> Ingested:
        del number
        chunks: list[Chunk] = []

        def noted(chunk: Chunk) -> None:
            note(chunk)
            chunks.append(chunk)
            if len(chunks) == 3:
                self._two_cleaned.wait(60)
                raise KeyboardInterrupt

        return read(noted)

    def _report(self, stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("clean and filter", 2):
            assert total is None
            self._two_cleaned.set()

    def interrupt(self, settings: BuildSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            read_by(self._read, patch)
            with pytest.raises(KeyboardInterrupt):
                build(settings, self._report)
        assert self.cleaned == [0, 1]
        self.cleaned.clear()


def stop_at_split(stage: str, done: int, total: int | None) -> None:
    """A report in which Ctrl-C comes when the first partition is split."""
    del done, total
    if stage == "deduplicate and split":
        raise KeyboardInterrupt


def rows_of(folder: Path) -> list[Path]:
    """Files of rows that unfinished builds have left."""
    return sorted((folder / "data" / "work").glob("build-*/clean/*"))


@pytest.mark.parametrize("damaged", [(), (0,), (1,), (0, 1)])
def test_what_was_cleaned_before_a_file_was_read_to_its_end_is_not_cleaned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: tuple[int, ...]
) -> None:
    reading = CutReading(monkeypatch)
    source = write_rows(tmp_path / "corpus.jsonl", tagged_rows(400))
    whole = build(small(tmp_path / "whole", sources=[str(source)]))
    every = list(reading.cleaned)
    reading.cleaned.clear()
    settings = small(tmp_path, sources=[str(source)])
    reading.interrupt(settings, monkeypatch)
    rows = rows_of(tmp_path)
    for number in damaged:
        rows[number].unlink()
    assert build(settings).version == whole.version
    assert reading.cleaned == [*damaged, *every[2:]]


def catalogue_by(path: Path, author: str) -> Path:
    """A catalogue whose author stands in its first chunk alone."""
    header = f'"Last-Translator: {author}\\n"\n"Language: ru\\n"\n'
    entries = (f'msgid "sentence {n} here"\nmsgstr "предложение {n} тут"\n' for n in range(400))
    path.write_text("\n".join([f'msgid ""\nmsgstr ""\n{header}', *entries]), encoding="utf-8")
    return path


def texts_of_two(folder: Path, kind: str) -> tuple[Path, Path]:
    if kind == "po":
        one, other = (catalogue_by(folder / f"{name}.po", name) for name in ("Anna K", "Olga M"))
        return one, other
    one, other = (write_rows(folder / f"{seed}.jsonl", tagged_rows(400, seed)) for seed in (0, 1))
    return one, other


def point(link: Path, target: Path) -> Path:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return link


@pytest.mark.parametrize("kind", ["jsonl", "po"])
@pytest.mark.parametrize("stage", ["clean and filter", "deduplicate and split"])
def test_a_source_that_is_another_one_when_it_is_read_again_is_not_mixed_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stage: str
) -> None:
    reading = CutReading(monkeypatch)
    first, second = texts_of_two(tmp_path, kind)
    source = point(tmp_path / f"current.{kind}", first)
    whole = build(small(tmp_path / "whole", sources=[str(source)], vocab_size=500))
    reading.cleaned.clear()
    settings = small(tmp_path, sources=[str(source)], vocab_size=500)
    # the link leads elsewhere after the build has looked at it, and back again for the next one
    key = text_key(settings)
    point(source, second)
    with monkeypatch.context() as patch:
        for asker in ("build", "stages.cleaning"):
            patch.setattr(f"dataservice.prepare.{asker}.text_key", lambda _: key)
        if stage == "clean and filter":
            reading.interrupt(settings, monkeypatch)
        else:
            with pytest.raises(KeyboardInterrupt):
                build(settings, stop_at_split)
            rows_of(tmp_path)[0].unlink()
    point(source, first)
    assert build(settings).version == whole.version


def test_rows_that_were_damaged_after_the_split_began_bring_back_the_text_they_are_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = CutReading(monkeypatch)
    source = write_rows(tmp_path / "corpus.jsonl", tagged_rows(400))
    whole = build(small(tmp_path / "whole", sources=[str(source)]))
    reading.cleaned.clear()
    settings = small(tmp_path, sources=[str(source)])
    reading.interrupt(settings, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        build(settings, stop_at_split)
    rows_of(tmp_path)[0].unlink()
    reading.cleaned.clear()
    assert build(settings).version == whole.version
    assert reading.cleaned == [0]
