"""Sources with a fault → one error that names file, line and remedy; nothing is skipped."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dataservice.errors import SourceError
from dataservice.prepare.sources import CHUNK_BYTES
from dataservice.source_settings import SourceSettings
from tests.dataservice.prepare.source_files import (
    PAIRS,
    jsonl,
    read,
    texts,
    tsv,
    write,
    zstd,
    zstd_frames,
)


def fails(tmp_path: Path, source: SourceSettings, *told: str) -> None:
    """Reading must fail with one line that holds all of these."""
    with pytest.raises(SourceError) as caught:
        read(source, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in told:
        assert part in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.jsonl"
    fails(tmp_path, SourceSettings(path=path), str(path), "is not there", "check its path")
    there = write(tmp_path / "ru.txt", b"")
    fails(tmp_path, SourceSettings(src=there, tgt=path), str(path))


@pytest.mark.parametrize(
    "name", ["c.csv", "c.txt", "c", "c.json", "jsonl", "c.jsonl.bz2", "c.jsonl.zip", "c.gz"]
)
def test_an_unknown_ending_is_named_with_the_known_ones(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, jsonl(PAIRS))
    if name == "jsonl":
        assert texts(read(SourceSettings(path=path), tmp_path)) == PAIRS
    else:
        fails(tmp_path, SourceSettings(path=path), name, ".jsonl", ".tsv", "SRC.txt,TGT.txt")


@pytest.mark.parametrize(("ru", "en"), [(3, 2), (2, 3), (0, 1), (1, 0), (5000, 1)])
def test_unequal_numbers_of_lines_are_both_told(tmp_path: Path, ru: int, en: int) -> None:
    source = SourceSettings(
        src=write(tmp_path / "ru.txt", "да\n".encode() * ru),
        tgt=write(tmp_path / "en.txt", b"yes\n" * en),
    )
    fails(tmp_path, source, f"ru.txt has {ru} and", f"en.txt has {en} lines", "align the files")


def test_one_line_more_without_its_end_is_a_line(tmp_path: Path) -> None:
    source = SourceSettings(
        src=write(tmp_path / "ru.txt", "да\nнет".encode()), tgt=write(tmp_path / "en.txt", b"yes\n")
    )
    fails(tmp_path, source, "ru.txt has 2", "en.txt has 1")


@pytest.mark.parametrize("line", [1, 2, 12_345])
def test_a_byte_that_is_no_utf8_is_found_at_its_line(tmp_path: Path, line: int) -> None:
    rows = ["да\tyes".encode()] * 12_500
    rows[line - 1] = b"ok \xff\tyes"
    path = write(tmp_path / "c.tsv", b"\n".join(rows))
    fails(tmp_path, SourceSettings(path=path), f"{path}:{line}: byte 4 (0xff)", "iconv")


def test_a_bad_byte_beyond_the_first_chunk_is_found_at_its_line(tmp_path: Path) -> None:
    rows = [f"строка {number} {'я' * 500}\tline".encode() for number in range(9000)]
    assert len(b"\n".join(rows[:8000])) > CHUNK_BYTES
    rows[8000] = b"\xd0\tline"
    path = write(tmp_path / "c.tsv.zst", zstd(b"\n".join(rows)))
    fails(tmp_path, SourceSettings(path=path), f"{path}:8001: byte 1 (0xd0)")


def test_a_bad_byte_of_a_parallel_file_names_that_file(tmp_path: Path) -> None:
    ru = write(tmp_path / "ru.txt", "да\nнет\n".encode())
    en = write(tmp_path / "en.txt", "yes\nнет\n".encode("cp1251"))
    fails(tmp_path, SourceSettings(src=ru, tgt=en), f"{en}:2: byte 1")


@pytest.mark.parametrize("name", ["c.jsonl", "c.tsv.gz", "c.parquet", "c.TMX"])
def test_a_file_of_both_sides_is_no_side_of_a_pair_of_files(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"one\n")
    other = write(tmp_path / "en.txt", b"two\n")
    fails(tmp_path, SourceSettings(src=other, tgt=path), str(path), "give it alone")


def test_another_encoding_of_unicode_is_no_utf8(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32", "cp1251"):
        path = write(tmp_path / "c.tsv", tsv(PAIRS).decode().encode(encoding, "replace"))
        fails(tmp_path, SourceSettings(path=path), f"{path}:1:", "not valid UTF-8")


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            '{"ru": "да", "en": "yes"',
            "broken JSON (EOF while parsing an object at column 26); mend",
        ),
        ("{'ru': 'да', 'en': 'yes'}", "broken JSON"),
        ('{"ru": "да", "en": "yes"} extra', "broken JSON"),
        ('{"ru": "да",\t"en": "a\tb"}', "broken JSON"),
        ("text", "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ('{"ru": "да", "en": "yes", "x": ' + "[" * 5000 + "]" * 5000 + "}", "broken JSON"),
        ('{"ru": "да", "en": "yes", "year": ' + "9" * 5000 + "}", "broken JSON"),
        ('["да", "yes"]', "list instead of a JSON object"),
        ("1", "int instead of a JSON object"),
        ("null", "NoneType instead of a JSON object"),
        ("NaN", "float instead of a JSON object"),
        ("{}", "'ru' is missing"),
        ('{"ru": "да"}', "'en' is missing"),
        ('{"ru": 1, "en": "yes"}', "'ru' is not a string"),
        ('{"ru": "да", "en": null}', "'en' is missing"),
        ('{"ru": "да", "en": NaN}', "'en' is not a string"),
        ('{"ru": ["да"], "en": "yes"}', "'ru' is not a string"),
        ('{"ru": "\\ud800", "en": "yes"}', "broken JSON"),
        ('{"ru": "да", "en": "a\\udc00b"}', "broken JSON"),
        ('{"ru": "да", "en": "yes", "author": {}}', "'author'"),
        ('{"ru": "да", "en": "yes", "city": ["Омск"]}', "'city'"),
        ('{"ru": "да", "en": "yes", "year": NaN}', "'year'"),
        ('{"ru": "да", "en": "yes", "year": 2025.5}', "'year'"),
        ('{"ru": "да", "en": "yes", "year": true}', "'year'"),
        ('{"ru": "да", "en": "yes", "source": 1e400}', "'source'"),
        ('{"ru": "да", "en": "yes", "author": "\\ud800"}', "broken JSON"),
        ('{"ru": "да", "en": "yes", "source": "x\\udfff"}', "broken JSON"),
    ],
)
def test_a_record_that_cannot_be_is_found_at_its_line(tmp_path: Path, row: str, told: str) -> None:
    good = json.dumps({"ru": "да", "en": "yes"})
    path = write(tmp_path / "c.jsonl", f"{good}\n\n{row}\n{good}\n".encode())
    fails(tmp_path, SourceSettings(path=path), f"{path}:3: {told}", "mend")


@pytest.mark.parametrize(("row", "number"), [("одна колонка", 1), ("\t" * 6, 7), ("a\t" * 9, 10)])
def test_a_tsv_line_of_another_shape_is_found(tmp_path: Path, row: str, number: int) -> None:
    path = write(tmp_path / "c.tsv", f"да\tyes\n{row}x\n".encode())
    fails(tmp_path, SourceSettings(path=path), f"{path}:2: {number} tab-separated", "mend")


CUTS = {"c.jsonl.gz": gzip.compress, "c.jsonl.zst": zstd, "f.jsonl.zst": zstd_frames}


@pytest.mark.parametrize(("name", "pack"), CUTS.items())
def test_an_archive_cut_anywhere_is_never_read_as_whole(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(jsonl(PAIRS))
    # a cut between the frames of an archive gives another whole archive: nobody can tell
    frames = {len(zstd_frames(jsonl(PAIRS)[:at])) for at in range(0, len(jsonl(PAIRS)), 10)}
    for length in range(1, len(packed)):
        if name.startswith("f") and length in frames:
            continue
        path = write(tmp_path / name, packed[:length])
        fails(tmp_path, SourceSettings(path=path), str(path), "cut or damaged", "fetch it again")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("c.jsonl.zst", jsonl(PAIRS)),
        ("c.jsonl.zst", gzip.compress(jsonl(PAIRS))),
        ("c.jsonl.zst", zstd(jsonl(PAIRS)) + b"garbage behind"),
        ("c.jsonl.zst", b""),
        ("c.jsonl.gz", b""),
        ("c.jsonl.gz", jsonl(PAIRS)),
        ("c.jsonl.gz", zstd(jsonl(PAIRS))),
        ("c.jsonl.gz", gzip.compress(jsonl(PAIRS)) + b"garbage behind"),
        ("c.jsonl.gz", gzip.compress(jsonl(PAIRS))[:-8] + bytes(8)),
    ],
)
def test_what_is_no_archive_of_its_ending_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    path = write(tmp_path / name, data)
    fails(tmp_path, SourceSettings(path=path), str(path), "cut or damaged")


def test_a_flipped_byte_of_an_archive_never_changes_pairs_in_silence(tmp_path: Path) -> None:
    pairs = PAIRS * 20
    packed = gzip.compress(jsonl(pairs))
    for position in range(10, len(packed)):
        data = packed[:position] + bytes([packed[position] ^ 0x10]) + packed[position + 1 :]
        path = write(tmp_path / "c.jsonl.gz", data)
        with pytest.raises(SourceError, match=re.escape(str(path))):
            read(SourceSettings(path=path), tmp_path)


def test_a_line_without_end_is_refused_before_memory_is_full(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl.zst", zstd(b"x\n" + bytes(40 << 20)))
    fails(tmp_path, SourceSettings(path=path), f"{path}:2: a line of more than 16777216 bytes")
