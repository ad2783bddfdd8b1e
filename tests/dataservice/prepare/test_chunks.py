"""Where chunks end depends on the text alone, and records together are what each is alone."""

import json
import pickle
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataservice.errors import SourceError
from dataservice.prepare.sources import CHUNK_BYTES, parse_chunk, read_chunks
from dataservice.source_settings import Reading, SourceSettings
from tests.dataservice.prepare.source_files import PACKERS, Pair, jsonl, read, write

SKIP = Reading(damaged="skip")


def lines(number: int, seed: int, longest: int = 2000) -> list[str]:
    """Lines of very different lengths."""
    order = random.Random(seed)
    return [f"{index} {'я' * order.choice((1, 20, 300, longest))}" for index in range(number)]


@pytest.mark.parametrize("packer", [*PACKERS.values()][1:], ids=[*PACKERS][1:])
def test_chunks_end_at_the_same_lines_however_a_file_is_packed(
    tmp_path: Path, packer: tuple[str, Callable[[bytes], bytes]]
) -> None:
    suffix, pack = packer
    data = "".join(f"{line}\tline\n" for line in lines(6000, 1)).encode()
    if "members" in str(pack) or "frames" in str(pack):
        data = data[: 1 << 16]  # ten bytes in each
    plain, packed = (
        list(read_chunks(SourceSettings(path=path), tmp_path / path.name[:5], []))
        for path in (
            write(tmp_path / "plain.tsv", data),
            write(tmp_path / f"other.tsv{suffix}", pack(data)),
        )
    )
    assert [chunk.num_bytes for chunk in plain] == [chunk.num_bytes for chunk in packed]
    for one, other in zip(plain, packed, strict=True):
        assert one.columns[0].read_bytes() == other.columns[0].read_bytes()
        assert one.first == other.first


@pytest.mark.parametrize("seed", range(3))
def test_parallel_files_are_cut_at_the_same_lines(tmp_path: Path, seed: int) -> None:
    src, tgt = lines(6000, seed, 4000 * (seed != 1)), lines(6000, seed + 9, 9000 * (seed != 0))
    source = SourceSettings(
        src=write(tmp_path / "a.txt", "\n".join(src).encode()),
        tgt=write(tmp_path / "b.txt.zst", PACKERS["zst"][1]("\n".join(tgt).encode())),
    )
    chunks = list(read_chunks(source, tmp_path / "chunks", []))
    assert len(chunks) > 3
    assert max(chunk.num_bytes for chunk in chunks) < 2 * CHUNK_BYTES
    parts = [parse_chunk(chunk) for chunk in chunks]
    assert [text for part in parts for text in part.src] == src
    assert [text for part in parts for text in part.tgt or []] == tgt
    starts = [1 + sum(map(len, parts[:number])) for number in range(len(parts))]
    assert [chunk.first for chunk in chunks] == starts


def test_a_parallel_file_that_was_cut_ends_the_other_where_it_ends(tmp_path: Path) -> None:
    rows = "\n".join(lines(3000, 4)).encode()
    packed = PACKERS["gz"][1](rows)
    source = SourceSettings(
        src=write(tmp_path / "a.txt", rows), tgt=write(tmp_path / "b.txt.gz", packed[:-9])
    )
    lost: Counter[tuple[str, str]] = Counter()
    found = read(source, tmp_path, reading=SKIP, damaged=lost)
    assert 2000 < len(found) <= 3000
    assert all(pair.src == pair.tgt for pair in found)
    assert lost == {("a", "damaged_archive"): 1}


def test_a_chunk_is_small_to_send(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", jsonl([("да", "yes")]))
    (chunk,) = read_chunks(SourceSettings(path=path), tmp_path / "chunks", [])
    assert len(pickle.dumps(chunk)) < 1000
    assert pickle.loads(pickle.dumps(chunk)) == chunk


def test_a_long_line_is_left_out_wherever_it_stands(tmp_path: Path) -> None:
    limit = 1 << 20
    reading = Reading(damaged="skip", max_line_bytes=limit)
    for size in (limit + 1, 3 * limit, CHUNK_BYTES, 2 * CHUNK_BYTES + limit):
        good = ["да\tyes"] * 70_000
        rows = [*good[:66_000], "x" * size, *good[:3], "x" * size, "x" * size, *good[66_003:]]
        path = write(tmp_path / "c.tsv", "\n".join(rows).encode())
        lost: Counter[tuple[str, str]] = Counter()
        assert len(read(SourceSettings(path=path), tmp_path, None, reading, lost)) == len(good)
        assert lost == {("c", "damaged_line"): 3}
        with pytest.raises(SourceError, match=r"c.tsv:66001: a line of more than 1048576 bytes"):
            read(SourceSettings(path=path), tmp_path, None, Reading(max_line_bytes=limit))


NAMES = st.none() | st.sampled_from(["", "Анна", "0", " "]) | st.integers(-5, 5)
TEXTS = st.text("аb \t\r\x0b\u2028\xa0", max_size=6)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("ru", "en", "src", "tgt"), TEXTS | st.none()),
        **dict.fromkeys(("author", "year"), NAMES | st.booleans()),
        "translation": st.fixed_dictionaries({"ru": TEXTS}, optional={"en": TEXTS}) | TEXTS,
    },
)


def together_and_alone(folder: Path, name: str, rows: list[bytes]) -> tuple[object, object]:
    """What is read of all rows in one file, and of each in a file of its own."""

    def one(part: list[bytes]) -> tuple[list[Pair], Counter[tuple[str, str]]]:
        lost: Counter[tuple[str, str]] = Counter()
        path = write(folder / name, b"\n".join(part) + b"\n")
        return read(SourceSettings(path=path), folder, None, SKIP, lost), lost

    pairs: list[Pair] = []
    lost: Counter[tuple[str, str]] = Counter()
    for row in rows:
        found, damaged = one([row])
        pairs += found
        lost += damaged
    return one(rows), (pairs, lost)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(RECORDS.map(json.dumps) | st.sampled_from(["", " ", "[]", "{", "\x0b"])))
def test_json_lines_together_are_what_each_would_be_alone(tmp_path: Path, rows: list[str]) -> None:
    together, alone = together_and_alone(tmp_path, "c.jsonl", [row.encode() for row in rows])
    assert together == alone


FIELDS = st.text("аb \x0b\u2028\xa0", max_size=3).map(str.encode) | st.just(b"\xff")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(st.lists(FIELDS, max_size=8).map(b"\t".join)))
def test_tab_separated_lines_together_are_what_each_would_be_alone(
    tmp_path: Path, rows: list[bytes]
) -> None:
    together, alone = together_and_alone(tmp_path, "c.tsv", rows)
    assert together == alone


@pytest.mark.parametrize(
    ("path", "module", "extra"),
    [("c.parquet", "pyarrow", "parquet"), ("hf://some/set", "huggingface_hub", "hub")],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "c.parquet", b"x")
    with pytest.raises(SourceError, match=f"needs the package {module}") as caught:
        read(SourceSettings(path=path), tmp_path)
    assert f"prometheusgpt-mini[{extra}]" in str(caught.value)
