"""Pairs → partitions and splits: duplicates meet, and train and val never share a sentence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataservice.prepare.partition import (
    SPLITS,
    CleanUnit,
    Row,
    SplitResult,
    SplitUnit,
    clean_chunk,
    read_rows,
    sentence_key,
    split_of,
    split_partition,
)
from dataservice.prepare.sources import read_chunks
from dataservice.settings import BuildSettings
from shards.sample import pair_key
from tests.dataservice.prepare.builds import small, tagged_rows


def partitions(
    folder: Path, rows: Sequence[dict[str, Any]], number: int = 1, **values: Any
) -> list[SplitResult]:
    """Clean and split the rows in the given number of partitions."""
    settings = small(folder, rows, **values)
    chunks = list(read_chunks(settings.sources[0], folder / "chunks", []))
    cleaned = tuple(
        clean_chunk(CleanUnit(chunk, folder / f"{index}.rows", number, settings))
        for index, chunk in enumerate(chunks)
    )
    return [split_partition(SplitUnit(index, cleaned, folder, settings)) for index in range(number)]


def rows_of(results: Sequence[SplitResult], split: str | None = None) -> list[Row]:
    return [
        row
        for result in results
        for name in SPLITS
        if split in (None, name)
        for row in read_rows(result.rows_files[name])
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Да.", "да"),
        ("«Да!» — сказал он…", "да сказал он"),
        ("ЁЖ", "ёж"),
        ("a_b", "A-B"),
        ("two  words", "Two, words!"),
    ],
)
def test_case_and_punctuation_make_no_other_sentence(one: str, other: str) -> None:
    assert sentence_key(one) == sentence_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("да", "нет"), ("1 2", "12"), ("!", "?"), ("", "!"), ("еж", "ёж"), ("a b", "b a")],
)
def test_other_words_are_another_sentence(one: str, other: str) -> None:
    assert sentence_key(one) != sentence_key(other)


@given(st.text(min_size=1, max_size=20).filter(str.isalnum), st.integers(-5, 5))
def test_a_split_is_a_pure_function_of_the_folded_sentence(text: str, seed: int) -> None:
    settings = BuildSettings.model_validate({"split_seed": seed, "val_fraction": 0.5})
    assert split_of(text, settings) == split_of(text, settings)
    assert split_of(f"«{text.upper()}»", settings) == split_of(text.upper(), settings)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.9])
def test_the_fraction_is_kept_and_another_seed_is_another_split(fraction: float) -> None:
    def found(seed: int) -> list[str]:
        settings = BuildSettings.model_validate({"split_seed": seed, "val_fraction": fraction})
        return [split_of(f"предложение {number}", settings) for number in range(2000)]

    share = found(0).count("val") / 2000
    assert share == pytest.approx(fraction, abs=0.03)
    assert fraction == 0 or found(0) != found(1)


def test_exact_duplicates_are_dropped_and_counted_by_their_source(tmp_path: Path) -> None:
    rows = tagged_rows(50)
    again = [{**row, "source": "copies", "author": "Другой"} for row in rows[:20]]
    (result,) = partitions(tmp_path, rows + again)
    assert result.dropped == {("copies", "duplicate"): 20}
    kept = rows_of([result])
    assert len(kept) == 50
    assert all(row.author != "Другой" for row in kept)  # the first one read stays


def test_what_cleaning_makes_equal_is_a_duplicate(tmp_path: Path) -> None:
    rows = [
        {"ru": "Привет, мир", "en": "Hello, world"},
        {"ru": " Привет,  <b>мир</b>", "en": "Hello,\u00a0world"},
        {"ru": "Привет, мир", "en": "Hello world"},
    ]
    (result,) = partitions(tmp_path, rows)
    assert len(rows_of([result])) == 2
    assert result.dropped.total() == 1


@pytest.mark.parametrize("number", [1, 2, 7, 64])
def test_any_number_of_partitions_keeps_the_same_pairs_and_splits(
    tmp_path: Path, number: int
) -> None:
    rows = tagged_rows(300) + tagged_rows(40)
    one = partitions(tmp_path / "one", rows)
    many = partitions(tmp_path / "many", rows, number)
    for split in SPLITS:
        assert sorted(rows_of(one, split)) == sorted(rows_of(many, split))
    assert sum(result.dropped.total() for result in many) == 40


def test_pairs_of_one_source_sentence_meet_in_one_partition_and_split(tmp_path: Path) -> None:
    rows = [
        {"ru": ru, "en": f"{en} {index}"}
        for index in range(40)
        for ru, en in (
            (f"предложение {index}", "sentence"),
            (f"«Предложение {index}!»", "phrase"),
            (f"ПРЕДЛОЖЕНИЕ, {index}…", "words"),
        )
    ]
    results = partitions(tmp_path, rows, 8, val_fraction=0.5)
    places: dict[int, set[tuple[int, str]]] = {}
    for index, result in enumerate(results):
        for split in SPLITS:
            for row in read_rows(result.rows_files[split]):
                places.setdefault(sentence_key(row.ru), set()).add((index, split))
    assert len(places) == 40
    assert all(len(found) == 1 for found in places.values())
    assert len({split for ((_, split),) in places.values()}) == 2


def test_rows_of_a_split_stand_in_the_order_of_their_keys(tmp_path: Path) -> None:
    rows = tagged_rows(100)
    (forward,) = partitions(tmp_path / "forward", rows)
    (backward,) = partitions(tmp_path / "backward", rows[::-1])
    for split in SPLITS:
        found = read_rows(forward.rows_files[split])
        assert [row.key for row in found] == sorted(row.key for row in found)
        assert found == read_rows(backward.rows_files[split])
        assert all(row.key == pair_key(row.ru, row.en).hex() for row in found)


def test_what_a_partition_reports_is_true(tmp_path: Path) -> None:
    (result,) = partitions(tmp_path, tagged_rows(200))
    train = rows_of([result], "train")
    assert result.train_bytes == sum(len((row.ru + row.en).encode()) for row in train)
    assert {kind: counter.total() for kind, counter in result.tags.items()} == {
        "author": 200,
        "city": 200,
        "year": 200,
    }
    for split in SPLITS:
        targets = np.load(result.targets_files[split])
        keys = {sentence_key(row.en) for row in rows_of([result], split)}
        assert targets.tolist() == sorted(keys)


def test_text_that_looks_like_the_files_between_the_stages_survives(tmp_path: Path) -> None:
    rows = [
        {"ru": 'кавычки "и" \\ черта', "en": 'quotes "and" \\ slash'},
        {"ru": "[1, 2] строка\\n", "en": "[1, 2] line\\n"},
        {"ru": "emoji 🙂 слово", "en": "emoji 🙂 word"},
    ]
    found = rows_of(partitions(tmp_path, rows))
    assert sorted((row.ru, row.en) for row in found) == sorted((r["ru"], r["en"]) for r in rows)
