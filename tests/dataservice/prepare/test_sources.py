"""Sources in every format and compression → the same pairs, and what is known of them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataservice.prepare.sources import CHUNK_BYTES, parse_chunk, read_chunks, write_demo_source
from dataservice.source_settings import SourceSettings
from shards.manifest import InputInfo
from tests.dataservice.prepare.source_files import (
    PACKERS,
    PAIRS,
    jsonl,
    read,
    texts,
    tsv,
    write,
    zstd,
)

Packer = tuple[str, Callable[[bytes], bytes]]
packers = pytest.mark.parametrize("packer", PACKERS.values(), ids=PACKERS)


def changes_of_form(data: bytes) -> dict[str, bytes]:
    """The same lines as other programs would write them."""
    return {
        "as it is": data,
        "CRLF": data.replace(b"\n", b"\r\n"),
        "byte order mark": b"\xef\xbb\xbf" + data,
        "no final newline": data.removesuffix(b"\n"),
        "CRLF without the last": data.replace(b"\n", b"\r\n").removesuffix(b"\r\n"),
    }


FORMS = list(changes_of_form(b""))


@packers
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("make", [jsonl, tsv])
def test_a_file_of_pairs_reads_the_same_in_every_form(
    tmp_path: Path, packer: Packer, form: str, make: Callable[[Any], bytes]
) -> None:
    suffix, pack = packer
    path = write(
        tmp_path / f"pairs.{make.__name__}{suffix}", pack(changes_of_form(make(PAIRS))[form])
    )
    found = read(SourceSettings(path=path), tmp_path)
    assert texts(found) == PAIRS
    assert {pair.source for pair in found} == {"pairs"}


@packers
@pytest.mark.parametrize("form", FORMS)
def test_parallel_files_read_the_same_in_every_form(
    tmp_path: Path, packer: Packer, form: str
) -> None:
    suffix, pack = packer
    sides = ["".join(f"{pair[side]}\n" for pair in PAIRS).encode() for side in (0, 1)]
    paths = [
        write(tmp_path / f"{name}.txt{suffix}", pack(changes_of_form(data)[form]))
        for name, data in zip(("ru", "en"), sides, strict=True)
    ]
    found = read(SourceSettings(src=paths[0], tgt=paths[1]), tmp_path)
    assert texts(found) == PAIRS
    assert {pair.source for pair in found} == {"ru"}


def test_empty_lines_between_records_are_no_records(tmp_path: Path) -> None:
    for make in (jsonl, tsv):
        data = make(PAIRS).replace(b"\n", b"\n\n  \n") + b"\n\n"
        path = write(tmp_path / f"gaps.{make.__name__}", b"\n" + data)
        inputs: list[InputInfo] = []
        assert texts(read(SourceSettings(path=path), tmp_path / make.__name__, inputs)) == PAIRS
        assert [info.pairs for info in inputs] == [len(PAIRS)]


def test_an_empty_line_of_parallel_files_is_an_empty_side(tmp_path: Path) -> None:
    ru = write(tmp_path / "ru.txt", "один\n\nтри\n\n".encode())
    en = write(tmp_path / "en.txt", b"one\ntwo\n\n\n")
    found = texts(read(SourceSettings(src=ru, tgt=en), tmp_path))
    assert found == [("один", "one"), ("", "two"), ("три", ""), ("", "")]


@pytest.mark.parametrize("packed", ["plain", "gz", "zst"])
def test_an_empty_file_holds_no_pairs(tmp_path: Path, packed: str) -> None:
    suffix, pack = PACKERS[packed]
    path = write(tmp_path / f"empty.jsonl{suffix}", pack(b""))
    inputs: list[InputInfo] = []
    assert read(SourceSettings(path=path), tmp_path, inputs) == []
    assert [(info.file, info.pairs) for info in inputs] == [(path.name, 0)]


@packers
def test_an_input_is_recorded_as_it_lies_on_the_disk(tmp_path: Path, packer: Packer) -> None:
    suffix, pack = packer
    path = write(tmp_path / f"pairs.jsonl{suffix}", pack(jsonl(PAIRS)))
    inputs: list[InputInfo] = []
    read(SourceSettings(path=path), tmp_path, inputs)
    data = path.read_bytes()
    (info,) = inputs
    assert info.sha256 == hashlib.sha256(data).hexdigest()
    assert (info.file, info.bytes, info.pairs) == (path.name, len(data), 3)


def test_lines_longer_than_a_read_are_whole(tmp_path: Path) -> None:
    pairs = [("я" * 700_000, "I" * 10), ("да", "y" * 1_300_000)] * 2
    for suffix, pack in (("", bytes), (".zst", zstd)):
        path = write(tmp_path / f"long.tsv{suffix}", pack(tsv(pairs)))
        assert texts(read(SourceSettings(path=path), tmp_path / f"w{suffix}")) == pairs


def test_a_large_file_comes_in_chunks_that_know_their_lines(tmp_path: Path) -> None:
    pairs = [(f"строка {number} " + "я" * 500, f"line {number}") for number in range(9000)]
    path = write(tmp_path / "large.tsv", tsv(pairs))
    chunks = list(read_chunks(SourceSettings(path=path), tmp_path / "chunks", []))
    assert len(chunks) == 3
    assert all(chunk.num_bytes >= CHUNK_BYTES for chunk in chunks[:-1])
    assert sum(chunk.num_bytes for chunk in chunks) == path.stat().st_size
    found = [parse_chunk(chunk) for chunk in chunks]
    assert [pair for part in found for pair in zip(part.src, part.tgt or [], strict=True)] == pairs
    first_lines = [1, 1 + len(found[0]), 1 + len(found[0]) + len(found[1])]
    assert [chunk.first for chunk in chunks] == first_lines


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, (None, None, None, "corpus")),
        ({"author": "А. Блок"}, ("А. Блок", None, None, "corpus")),
        ({"city": "Омск", "year": 1999}, (None, "Омск", "1999", "corpus")),
        ({"year": "1999"}, (None, None, "1999", "corpus")),
        ({"year": 0}, (None, None, "0", "corpus")),
        ({"author": None, "city": "", "year": None}, (None, None, None, "corpus")),
        ({"source": "letters"}, (None, None, None, "letters")),
        ({"source": ""}, (None, None, None, "corpus")),
        ({"unknown": [1, {"deep": 2}]}, (None, None, None, "corpus")),
    ],
)
def test_a_record_brings_its_own_tags(
    tmp_path: Path, row: dict[str, Any], expected: tuple[str | None, ...]
) -> None:
    line = json.dumps({"ru": "да", "en": "yes", **row}).encode()
    (pair,) = read(SourceSettings(path=write(tmp_path / "corpus.jsonl", line)), tmp_path)
    assert (pair.author, pair.city, pair.year, pair.source) == expected


def test_a_tsv_line_may_end_with_tags(tmp_path: Path) -> None:
    lines = "да\tyes\nда\tyes\tАнна\nда\tyes\t\tОмск\t1999\tletters\n"
    found = read(SourceSettings(path=write(tmp_path / "c.tsv", lines.encode())), tmp_path)
    assert [(p.author, p.city, p.year, p.source) for p in found] == [
        (None, None, None, "c"),
        ("Анна", None, None, "c"),
        (None, "Омск", "1999", "letters"),
    ]


def test_a_source_has_tags_for_pairs_that_bring_none(tmp_path: Path) -> None:
    rows = [{"ru": "да", "en": "yes"}, {"ru": "нет", "en": "no", "author": "Анна", "year": 5}]
    path = write(tmp_path / "c.jsonl", "\n".join(map(json.dumps, rows)).encode())
    source = SourceSettings(path=path, name="mine", author="Пётр", city="Омск", year=2001)
    found = read(source, tmp_path)
    assert [(p.author, p.city, p.year, p.source) for p in found] == [
        ("Пётр", "Омск", "2001", "mine"),
        ("Анна", "Омск", "5", "mine"),
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("corpus.jsonl", "corpus"),
        ("corpus.tsv.gz", "corpus"),
        ("my.corpus.jsonl.zst", "my.corpus"),
        (".jsonl", ".jsonl"),
    ],
)
def test_a_source_is_called_like_its_file(name: str, label: str) -> None:
    assert SourceSettings(path=Path("folder") / name).label == label


def test_the_demo_corpus_takes_the_path_of_any_other(tmp_path: Path) -> None:
    source = write_demo_source(tmp_path / "demo.jsonl", 500, 0)
    found = read(source, tmp_path)
    assert len(found) == 500
    assert {pair.source for pair in found} == {"demo-written", "demo-generated"}
