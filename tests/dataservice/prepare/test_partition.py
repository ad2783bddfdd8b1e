"""Pairs → partitions and splits: duplicates meet, and train and val never share a sentence."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from dataservice.prepare import rows as rows_module
from dataservice.prepare.counts import MAX_EXAMPLES
from dataservice.prepare.model import TrainTexts
from dataservice.prepare.partition import split_units, validates
from dataservice.prepare.rows import (
    NUM_BUCKETS,
    BucketFile,
    RowBuffer,
    RowKeys,
    bodies,
    buckets_of,
    read_starts,
)
from dataservice.prepare.split_file import SPLITS, SplitFile
from dataservice.prepare.text.keys import Keys, fold_keys
from dataservice.prepare.text.points import CodePoints
from dataservice.settings import BuildSettings
from shards.sample import pair_id, pair_key
from tests.dataservice.prepare.builds import tagged_rows, text_key
from tests.dataservice.prepare.stages import run_stages


def keys_of(number: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    letters = [chr(0x430 + n % 32) + chr(0x430 + n // 32) for n in range(number)]
    return fold_keys(CodePoints.of([f"предложение {two}" for two in letters]))


def settings(**values: Any) -> BuildSettings:
    return BuildSettings.model_validate(values)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_the_fraction_is_kept_and_another_seed_is_another_split(fraction: float) -> None:
    keys = keys_of(1024)
    found = [validates(keys, settings(val_fraction=fraction, split_seed=seed)) for seed in (0, 1)]
    assert found[0].mean() == pytest.approx(fraction, abs=0.05)
    assert fraction == 0 or found[0].tolist() != found[1].tolist()


def test_a_larger_fraction_only_adds_to_val() -> None:
    keys = keys_of(1024)
    smaller, larger = (validates(keys, settings(val_fraction=share)) for share in (0.1, 0.3))
    assert not (smaller & ~larger).any()


NEAR = [
    {"ru": "Открыть файл 1", "en": "Open file 1"},
    {"ru": "открыть файл: 25…", "en": "open file 25"},
    {"ru": "Открыть файл", "en": "Open the file"},
    {"ru": "ОТКРЫТЬ «ФАЙЛ» 1", "en": "Open file, 1"},
]
CHUNKS = pytest.mark.parametrize("chunk_rows", [None, 50, 7, 1], ids=lambda n: f"by {n or 'all'}")


@CHUNKS
def test_exact_duplicates_are_dropped_and_counted_by_their_source(
    tmp_path: Path, chunk_rows: int | None
) -> None:
    rows = tagged_rows(50)
    again = [{**row, "source": "copies", "author": "Другой"} for row in rows[:20]]
    stages = run_stages(tmp_path, rows + again, chunk_rows=chunk_rows)
    assert stages.funnel.dropped == {("copies", "duplicate"): 20}
    shown = stages.funnel.examples["duplicate"]
    assert {(one.src, one.tgt, one.source) for one in shown} < {
        (row["ru"], row["en"], "copies") for row in again
    }
    assert len(shown) == MAX_EXAMPLES
    kept = stages.all_rows()
    assert len(kept) == 50
    assert all(row.labels.author != "Другой" for row in kept)  # the first one read stays


@CHUNKS
def test_groups_of_copies_are_counted_by_their_size(tmp_path: Path, chunk_rows: int | None) -> None:
    rows = tagged_rows(9)
    copied = [*rows, *rows[:5], *rows[:5], *rows[:2]]
    stages = run_stages(tmp_path, copied, chunk_rows=chunk_rows)
    assert stages.funnel.groups["duplicate"] == {4: 2, 3: 3}


@CHUNKS
def test_groups_of_near_duplicates_are_counted_without_their_copies(
    tmp_path: Path, chunk_rows: int | None
) -> None:
    rows = [*NEAR, NEAR[0], NEAR[0]]
    stages = run_stages(tmp_path, rows, chunk_rows=chunk_rows, near_duplicates="normalized")
    assert stages.funnel.groups == {"duplicate": {3: 1}, "near_duplicate": {3: 1}}


@CHUNKS
def test_other_pairs_of_one_id_are_collisions_and_no_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int | None
) -> None:
    def of_one_id(digests: Sequence[bytes], *keys: Keys) -> npt.NDArray[np.void]:
        rows = make_rows(digests, *keys)
        rows["id"], rows["src"] = 7, 7
        return rows

    make_rows = RowKeys.of
    monkeypatch.setattr(RowKeys, "of", of_one_id)
    one, *others = tagged_rows(3)
    stages = run_stages(tmp_path, [one, one, *others, one], chunk_rows=chunk_rows)
    counts = Counter[str]()
    for (_, reason), number in stages.funnel.dropped.items():
        counts[reason] += number
    assert counts == {"duplicate": 2, "id_collision": 2}
    assert stages.funnel.groups["duplicate"] == {3: 1}


def test_copies_within_a_chunk_are_one_row_of_a_partition(tmp_path: Path) -> None:
    row, other = tagged_rows(2)
    stages = run_stages(tmp_path, [*[row] * 1000, other], chunk_rows=250)
    assert [cleaned.num_rows for cleaned in stages.cleaned] == [1, 1, 1, 1, 1]
    assert stages.funnel.dropped.total() == 999


def test_what_cleaning_makes_equal_is_a_duplicate(tmp_path: Path) -> None:
    rows = [
        {"ru": "Привет, мир", "en": "Hello, world"},
        {"ru": " Привет,  <b>мир</b>", "en": "Hello,\u00a0world"},
        {"ru": "Привет, мир", "en": "Hello world"},
    ]
    stages = run_stages(tmp_path, rows)
    assert len(stages.all_rows()) == 2
    assert set(stages.funnel.dropped.values()) == {1}


@pytest.mark.parametrize(
    ("setting", "kept", "dropped"),
    [
        ("normalized", {"Открыть файл 1", "Открыть файл"}, 2),
        ("off", {row["ru"] for row in NEAR}, 0),
    ],
)
def test_near_duplicates_are_told_by_both_sides_folded(
    tmp_path: Path, setting: str, kept: set[str], dropped: int
) -> None:
    stages = run_stages(tmp_path, NEAR, near_duplicates=setting)
    assert {row.src for row in stages.all_rows()} == kept
    assert stages.funnel.dropped.total() == dropped
    assert {reason for _, reason in stages.funnel.dropped} <= {"near_duplicate"}


@pytest.mark.parametrize("number", [1, 2, 7, 64, NUM_BUCKETS])
def test_partitions_take_all_buckets_and_each_once(number: int) -> None:
    ranges = [buckets_of(partition, number) for partition in range(number)]
    assert [begin for begin, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
    assert ranges[-1][1] == NUM_BUCKETS
    assert all(begin < end for begin, end in ranges)


@pytest.mark.parametrize("number", [1, 2, 7, 64])
def test_any_number_of_partitions_keeps_the_same_pairs_and_splits(
    tmp_path: Path, number: int
) -> None:
    rows = tagged_rows(300) + tagged_rows(40)
    one = run_stages(tmp_path / "one", rows)
    many = run_stages(tmp_path / "many", rows, number)
    for split in SPLITS:
        assert sorted(one.all_rows(split)) == sorted(many.all_rows(split))
    assert many.funnel.dropped.total() == 40


def test_pairs_of_one_source_sentence_meet_in_one_partition_and_split(tmp_path: Path) -> None:
    names = [f"{one}{other}" for one in "абвгде" for other in "жзиклмн"]
    rows = [
        {"ru": ru, "en": f"{en} of {name}"}
        for name in names
        for ru, en in (
            (f"предложение {name}", "sentence"),
            (f"«Предложение {name}!»", "phrase"),
            (f"ПРЕДЛОЖЕНИЕ, {name} 7…", "words 7"),
            (f"ПРЕДЛОЖЕНИЕ, {name} 8…", "words 8"),
        )
    ]
    stages = run_stages(tmp_path, rows, 8, val_fraction=0.5)
    places: dict[int, set[tuple[int, str]]] = {}
    for partition in range(8):
        for split in SPLITS:
            for row in stages.rows(split, partition):
                places.setdefault(text_key(row.src), set()).add((partition, split))
    assert len(places) == 2 * len(names)  # with a digit, and without
    assert all(len(found) == 1 for found in places.values())
    assert len({split for ((_, split),) in places.values()}) == 2


def test_rows_of_a_split_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = tagged_rows(100)
    forward = run_stages(tmp_path / "forward", rows)
    backward = run_stages(tmp_path / "backward", rows[::-1])
    for split in SPLITS:
        found = forward.rows(split, 0)
        assert [row.pair_id for row in found] == sorted(row.pair_id for row in found)
        assert found == backward.rows(split, 0)
        assert all(row.pair_id == pair_id(pair_key(row.src, row.tgt)) for row in found)


def test_what_a_partition_reports_is_true(tmp_path: Path) -> None:
    stages = run_stages(tmp_path, tagged_rows(200))
    (result,) = stages.split
    train = stages.all_rows("train")
    assert result.train_bytes == sum(len(f"{row.src}\n{row.tgt}\n".encode()) for row in train)
    assert result.num_val == len(stages.all_rows("val")) > 0
    for kind, counter in result.tags.items():
        assert counter == Counter(getattr(row.labels, kind) for row in stages.all_rows())
    for split in SPLITS:
        rows = stages.rows(split, 0)
        with SplitFile(stages.folder, 0, split).open() as file:
            targets, lengths, counted = file.targets(), file.lengths(), file.points()
        assert targets.tolist() == [text_key(row.tgt) for row in rows]
        sides = [row.src for row in rows], [row.tgt for row in rows]
        assert lengths.tolist() == [list(map(len, side)) for side in sides]
        for side, points in zip(sides, counted, strict=True):
            told = dict(zip(map(chr, points.points.tolist()), points.counts.tolist(), strict=True))
            assert told == Counter("".join(side))


def test_a_chunk_without_a_pair_and_a_partition_without_a_row_do_no_harm(tmp_path: Path) -> None:
    stages = run_stages(tmp_path, [{"ru": "", "en": ""}, {"ru": "да, так", "en": "yes, so"}], 64)
    assert len(stages.all_rows()) == 1
    assert sum(part.num_rows for part in stages.cleaned) == 1


@pytest.mark.parametrize("tgt_lang", ["en", ""])
def test_a_sample_of_train_has_every_text_once_and_no_empty_one(
    tmp_path: Path, tgt_lang: str
) -> None:
    stages = run_stages(tmp_path, tagged_rows(60), 3, tgt_lang=tgt_lang)
    texts = TrainTexts(tmp_path, [part.train_bytes for part in stages.split])
    train = stages.all_rows("train")
    expected = [text for row in train for text in (row.src, row.tgt) if text]
    assert list(texts.sample(1 << 30)) == expected
    assert len(expected) == len(train) * (2 if tgt_lang else 1)


def test_text_that_looks_like_the_files_between_the_stages_survives(tmp_path: Path) -> None:
    rows = [
        {"ru": 'кавычки "и" \\ черта', "en": 'quotes "and" \\ slash'},
        {"ru": "[1, 2] строка\\n", "en": "[1, 2] line\\n"},
        {"ru": "emoji 🙂 слово", "en": "emoji 🙂 word"},
        {"ru": "знак\x1fраздела\tи строка\x1e", "en": "a unit\x1fseparator\tand\x0ba line"},
    ]
    found = run_stages(tmp_path, rows).all_rows()
    expected = [(row["ru"], row["en"]) for row in rows[:3]]
    expected.append(("знак раздела и строка", "a unit separator and a line"))
    assert sorted((row.src, row.tgt) for row in found) == sorted(expected)


@pytest.mark.parametrize("number", [1, 2, 63, 64, 127, 128, 1000, 4096])
def test_every_partition_is_split_once_a_few_at_a_time(number: int) -> None:
    units = split_units(number)
    assert [partition for unit in units for partition in unit] == list(range(number))
    assert max(map(len, units)) <= 4
    assert len(units) >= min(number, 64)


def test_partitions_that_are_read_together_are_those_that_are_read_alone(tmp_path: Path) -> None:
    rows = tagged_rows(400)
    each = [range(number, number + 1) for number in range(200)]
    assert split_units(200) != each
    together = run_stages(tmp_path / "together", rows, 200).all_rows()
    assert together == run_stages(tmp_path / "alone", rows, 200, each).all_rows()
    assert sorted(together) == sorted(run_stages(tmp_path / "whole", rows).all_rows())


@pytest.mark.parametrize("most", [1, 7, None])
def test_rows_are_whole_however_little_a_read_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    rows, together = tagged_rows(60), [range(3)]
    expected = run_stages(tmp_path / "plain", rows, 3, together).all_rows()
    read, reads = os.preadv, 0

    def read_little(file: int, rooms: Sequence[memoryview], place: int) -> int:
        nonlocal reads
        reads += 1
        first = next(room for room in rooms if room)
        return read(file, [first[:most]] if most else rooms, place)

    monkeypatch.setattr(os, "preadv", read_little)
    assert run_stages(tmp_path / "little", rows, 3, together).all_rows() == expected
    assert (reads == 2) == (most is None)  # of keys and of texts, for all partitions at once


def test_rows_that_were_cut_are_an_error_and_not_fewer_rows(tmp_path: Path) -> None:
    run_stages(tmp_path, tagged_rows(20))
    file = BucketFile.of_chunk(tmp_path, 0)
    starts = read_starts(tmp_path / "starts", [0, NUM_BUCKETS], 1)[:, 0]
    rows, size = starts[-1].tolist()
    file.read_into(starts, rows, [RowBuffer(rows, size)])
    path = tmp_path / file.path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EOFError, match="shorter than it was"):
        file.read_into(starts, rows, [RowBuffer(rows, size)])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EOFError, match="shorter than it was"):
        file.read_starts(0, NUM_BUCKETS)


@pytest.mark.parametrize("most", [1, 1000, 1 << 20])
def test_starts_of_all_chunks_are_those_of_each_however_many_are_joined_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(rows_module, "_MOST_STARTS", most)
    run_stages(tmp_path, tagged_rows(30), chunk_rows=10)
    found = read_starts(tmp_path / "starts", range(NUM_BUCKETS + 1), 3)
    for chunk in range(3):
        own = BucketFile.of_chunk(tmp_path, chunk).read_starts(0, NUM_BUCKETS + 1)
        assert np.array_equal(found[:, chunk], own)
    assert found[-1, :, 0].tolist() == [10, 10, 10]


def test_a_text_of_several_lines_is_never_written() -> None:
    assert bodies([], []) == []
    assert bodies([""], [""]) == [b"\x1f"]
    with pytest.raises(ValueError, match="end of line"):
        bodies(["a\n"], ["b"])
