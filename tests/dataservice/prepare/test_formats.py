"""Parquet, TMX, .po and .mo → the same pairs as any other source, and what is left out, counted."""

import lzma
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataservice.errors import SourceError
from dataservice.prepare.sources import read_chunks
from dataservice.source_settings import Reading, SourceSettings
from shards.manifest import InputInfo
from tests.dataservice.prepare.catalogues import mo, po, tmx
from tests.dataservice.prepare.source_files import PACKERS, PAIRS, read, texts, write

UNITS = [{"ru": ru, "en": en} for ru, en in PAIRS]
MONO = Reading(tgt_lang="")


def table(folder: Path, columns: dict[str, Any], **options: Any) -> SourceSettings:
    pq.write_table(pa.table(columns), folder / "c.parquet", **options)
    return SourceSettings(path=folder / "c.parquet")


def columns(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    return {"ru": [ru for ru, _ in pairs], "en": [en for _, en in pairs]}


def test_parquet_gives_its_pairs_and_tags(tmp_path: Path) -> None:
    rows = columns(PAIRS) | {
        "author": ["Анна", None, ""],
        "year": [1999, None, 2001],
        "x": [1.5] * 3,
    }
    found = read(table(tmp_path, rows), tmp_path)
    assert texts(found) == PAIRS
    assert [(p.author, p.year) for p in found] == [("Анна", "1999"), (None, None), (None, "2001")]


@pytest.mark.parametrize(
    "rows",
    [
        {"src": [ru for ru, _ in PAIRS], "tgt": [en for _, en in PAIRS]},
        {"translation": UNITS},
        {name: pa.array(column).dictionary_encode() for name, column in columns(PAIRS).items()},
        {name: pa.array(column, pa.large_string()) for name, column in columns(PAIRS).items()},
    ],
    ids=["src and tgt", "translation", "dictionaries", "large strings"],
)
def test_parquet_has_its_sides_in_several_ways(tmp_path: Path, rows: dict[str, Any]) -> None:
    assert texts(read(table(tmp_path, rows), tmp_path)) == PAIRS


def test_parquet_comes_in_chunks_whatever_its_row_groups_are(tmp_path: Path) -> None:
    pairs = [(f"строка {n} " + "я" * 500, f"line {n} " + str(n) * 60) for n in range(9000)]
    source = table(tmp_path, columns(pairs), row_group_size=5000, compression="zstd")
    inputs: list[InputInfo] = []
    chunks = list(read_chunks(source, tmp_path / "chunks", inputs))
    assert len(chunks) > 2
    assert max(chunk.num_bytes for chunk in chunks) < 12 << 20
    assert texts(read(source, tmp_path / "again")) == pairs
    assert [path.suffix for path in (tmp_path / "chunks").iterdir()] == [".0"] * len(chunks)


def test_a_row_of_parquet_without_a_side_is_named_or_counted(tmp_path: Path) -> None:
    source = table(tmp_path, {"ru": ["да", None, "три"], "en": ["yes", "no", "three"]})
    with pytest.raises(SourceError, match=r"c.parquet:row 2: 'ru' is missing"):
        read(source, tmp_path)
    lost: Counter[tuple[str, str]] = Counter()
    found = read(source, tmp_path, reading=Reading(damaged="skip"), damaged=lost)
    assert texts(found) == [("да", "yes"), ("три", "three")]
    assert lost == {("c", "damaged_record"): 1}


def test_other_names_of_fields_are_given_by_the_source(tmp_path: Path) -> None:
    rows = {"question": ["да"], "answer": ["yes"], "who": ["Анна"]}
    fields = {"src": "question", "tgt": "answer", "author": "who"}
    path = table(tmp_path, rows).path
    (pair,) = read(SourceSettings(path=path, fields=fields), tmp_path)
    assert (pair.src, pair.tgt, pair.author) == ("да", "yes", "Анна")
    line = '{"question": "да", "answer": "yes", "who": "Анна"}'.encode()
    path = str(write(tmp_path / "c.jsonl", line))
    (pair,) = read(SourceSettings(path=path, fields=fields), tmp_path)
    assert (pair.src, pair.tgt, pair.author) == ("да", "yes", "Анна")


@pytest.mark.parametrize(
    "data",
    [
        tmx(UNITS).encode(),
        tmx(UNITS, "lang").encode(),
        tmx([{"EN-US": en, "RU_ru": ru, "de": "x"} for ru, en in PAIRS]).encode(),
        tmx(UNITS).replace('encoding="UTF-8"', 'encoding="utf-16"').encode("utf-16"),
        b"\xef\xbb\xbf" + tmx(UNITS).encode(),
        tmx(UNITS).replace("<tu>", "<!-- <tu></tu> --><tu>").replace("</tu>", "</tu >").encode(),
        tmx(UNITS).replace("<seg>", "<seg><bpt i='1'>&lt;b&gt;</bpt><hi/>").encode(),
        lzma.compress(tmx(UNITS).encode()),
    ],
    ids=["xml:lang", "lang", "regions", "UTF-16", "BOM", "comments", "inline codes", "xz"],
)
def test_tmx_gives_its_pairs(tmp_path: Path, data: bytes) -> None:
    name = "c.tmx.xz" if data.startswith(b"\xfd7zXZ") else "c.tmx"
    assert texts(read(SourceSettings(path=write(tmp_path / name, data)), tmp_path)) == PAIRS


def test_a_large_tmx_comes_in_chunks_of_whole_units(tmp_path: Path) -> None:
    pairs = [(f"строка {n} " + "я" * 500, f"line {n}") for n in range(9000)]
    path = write(tmp_path / "c.tmx", tmx([{"ru": ru, "en": en} for ru, en in pairs]).encode())
    chunks = list(read_chunks(SourceSettings(path=path), tmp_path / "chunks", []))
    assert len(chunks) == 3
    assert texts(read(SourceSettings(path=path), tmp_path / "again")) == pairs


def test_a_unit_without_both_languages_is_counted(tmp_path: Path) -> None:
    units = [*UNITS, {"ru": "да", "de": "ja"}, {"ru": "", "en": "no"}, {}]
    lost: Counter[tuple[str, str]] = Counter()
    inputs: list[InputInfo] = []
    path = write(tmp_path / "c.tmx", tmx(units).encode())
    assert texts(read(SourceSettings(path=path), tmp_path, inputs, damaged=lost)) == PAIRS
    assert lost == {("c", "untranslated"): 3}
    assert [info.pairs for info in inputs] == [len(units)]


ENTRY = 'msgid "yes"\nmsgstr "да"\n'
PLURAL = (
    'msgid "%d file"\nmsgid_plural "%d files"\n'
    'msgstr[0] "%d файл"\nmsgstr[1] "%d файла"\nmsgstr[2] "%d файлов"\n'
)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ENTRY, [("да", "yes")]),
        ('msgctxt "menu"\n' + ENTRY, [("да", "yes")]),
        ('#: a.c:1\n#. note\n#, c-format\n#| msgid "old"\n' + ENTRY, [("да", "yes")]),
        (
            'msgid ""\n"two "\n"parts\\n"\nmsgstr "две "\n"части\\n"\n',
            [("две части\n", "two parts\n")],
        ),
        ('msgid "a\\"b\\\\"\nmsgstr "а\\"б\\\\\\t\\x41"\n', [('а"б\\\tA', 'a"b\\')]),
        (PLURAL, [("%d файл", "%d file"), ("%d файлов", "%d files")]),
        (ENTRY.replace("\n", "\r\n"), [("да", "yes")]),
        (ENTRY + ENTRY.replace("yes", "no"), [("да", "yes"), ("да", "no")]),
    ],
)
def test_po_gives_its_pairs(tmp_path: Path, entry: str, expected: list[tuple[str, str]]) -> None:
    found = read(SourceSettings(path=write(tmp_path / "c.po", po(entry))), tmp_path)
    assert texts(found) == expected
    assert {pair.author for pair in found} == {"Анна Ким"}


def test_what_is_no_translation_is_counted(tmp_path: Path) -> None:
    entries = (
        ENTRY,
        '#, fuzzy, c-format\nmsgid "no"\nmsgstr "да"\n',
        'msgid "none"\nmsgstr ""\n',
        '#, fuzzy\n#~ msgid "old"\n#~ msgstr "старое"\n',
        '#~ msgid "old 2"\n#~ msgstr "старое"\n',
        'msgid "last"\nmsgstr "последнее"\n',
    )
    lost: Counter[tuple[str, str]] = Counter()
    path = write(tmp_path / "c.po", po(*entries))
    found = read(SourceSettings(path=path), tmp_path, damaged=lost)
    assert texts(found) == [("да", "yes"), ("последнее", "last")]
    assert lost == {("c", "fuzzy"): 1, ("c", "untranslated"): 1, ("c", "obsolete"): 2}


@pytest.mark.parametrize(
    ("header", "author"),
    [
        ("Last-Translator: Jo Doe <jo@example.org>\n", "Jo Doe"),
        ("Last-Translator: FULL NAME <EMAIL@ADDRESS>\n", None),
        ("Last-Translator: jo@example.org\n", None),
        ("Last-Translator: \n", None),
        ("Project-Id-Version: x\n", None),
    ],
)
def test_the_author_is_the_last_translator_without_an_address(
    tmp_path: Path, header: str, author: str | None
) -> None:
    path = write(tmp_path / "c.po", po(ENTRY, header=header))
    (pair,) = read(SourceSettings(path=path), tmp_path)
    assert (pair.src, pair.tgt, pair.author) == ("да", "yes", author)


@pytest.mark.parametrize("charset", ["KOI8-R", "windows-1251", "iso-8859-5", "UTF-8"])
def test_a_catalogue_is_read_in_the_encoding_that_it_names(tmp_path: Path, charset: str) -> None:
    header = f"Language: ru\nLast-Translator: Анна\nContent-Type: text/plain; charset={charset}\n"
    data = po(ENTRY, header=header).decode().encode(charset)
    (pair,) = read(SourceSettings(path=write(tmp_path / "c.po", data)), tmp_path)
    assert (pair.src, pair.author) == ("да", "Анна")
    messages = {b"": header.encode(charset), b"yes": "да".encode(charset)}
    (pair,) = read(SourceSettings(path=write(tmp_path / "c.mo", mo(messages))), tmp_path)
    assert (pair.src, pair.author) == ("да", "Анна")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", ["plain", "gz", "zst"])
def test_mo_gives_its_pairs(tmp_path: Path, order: str, packed: str) -> None:
    suffix, pack = PACKERS[packed]
    messages = {
        b"": b"Language: ru\n",
        b"yes": "да".encode(),
        b"menu\x04no": "нет".encode(),
        b"%d file\0%d files": "%d файл\0%d файла\0%d файлов".encode(),
        b"none": b"",
    }
    lost: Counter[tuple[str, str]] = Counter()
    path = write(tmp_path / f"c.mo{suffix}", pack(mo(messages, order)))
    found = read(SourceSettings(path=path), tmp_path, damaged=lost)
    assert sorted(texts(found)) == [
        ("%d файл", "%d file"),
        ("%d файлов", "%d files"),
        ("да", "yes"),
        ("нет", "no"),
    ]
    assert lost == {("c", "untranslated"): 1}


def test_a_catalogue_serves_either_direction(tmp_path: Path) -> None:
    path = write(tmp_path / "c.po", po(ENTRY))
    reading = Reading(src_lang="en", tgt_lang="ru")
    assert texts(read(SourceSettings(path=path), tmp_path, reading=reading)) == [("yes", "да")]
    with pytest.raises(SourceError, match="translated into 'ru', which is neither"):
        read(SourceSettings(path=path), tmp_path, reading=Reading(src_lang="en", tgt_lang="de"))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("c.txt", "один\n\n  \nдва\n"),
        ("c.tsv", "один\tАнна\n\nдва\n"),
        ("c.jsonl", '{"text": "один"}\n{"text": "два", "author": "x"}\n'),
        ("c.jsonl", '{"ru": "один", "en": "one"}\n{"ru": "два"}\n'),
        ("c.jsonl", '{"src": "один"}\n{"text": "два"}\n'),
        ("c.po", 'msgid "one"\nmsgstr "один"\n\nmsgid "two"\nmsgstr "два"\n'),
        ("c.tmx", tmx([{"ru": "один"}, {"ru": "два", "en": "two"}])),
    ],
)
def test_text_in_one_language_has_no_target(tmp_path: Path, name: str, data: str) -> None:
    path = write(tmp_path / name, data.encode())
    (chunk,) = read_chunks(SourceSettings(path=path), tmp_path / "chunks", [], MONO)
    found = read(SourceSettings(path=path), tmp_path, reading=MONO)
    assert texts(found) == [("один", None), ("два", None)]
    assert chunk.reading == MONO


@pytest.mark.parametrize("reading", [Reading(src_lang="de", tgt_lang="fr"), Reading()])
def test_records_may_name_their_sides_in_three_ways(tmp_path: Path, reading: Reading) -> None:
    src, tgt = reading.src_lang, reading.tgt_lang
    rows = (
        f'{{"{src}": "a", "{tgt}": "b"}}',
        '{"src": "c", "tgt": "d"}',
        f'{{"translation": {{"{src}": "e", "{tgt}": "f"}}}}',
    )
    expected = [("a", "b"), ("c", "d"), ("e", "f")]
    for order in (rows, *((row,) for row in rows)):
        path = write(tmp_path / "c.jsonl", "\n".join(order).encode())
        found = texts(read(SourceSettings(path=path), tmp_path, reading=reading))
        assert found == [expected[rows.index(row)] for row in order]
