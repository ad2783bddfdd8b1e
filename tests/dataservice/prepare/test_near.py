"""Bands of longer pairs → the ids of all that resemble an earlier one, and of no first one."""

from pathlib import Path

import numpy as np
import pytest

from dataservice.prepare.near import NearUnit, find_near, join_near, write_bands
from dataservice.settings import BuildSettings

WORDS = [
    "один",
    "два",
    "три",
    "четыре",
    "пять",
    "шесть",
    "семь",
    "восемь",
    "девять",
    "десять",
    "сто",
    "тысяча",
]
LONG = " ".join(WORDS * 3)
OTHER = " ".join(reversed(WORDS)) + " и ещё " + " ".join(sorted(WORDS)) + " конец предложения здесь"
SETTINGS = BuildSettings(near_duplicates="minhash", minhash_min_words=10)


def near_ids(folder: Path, chunks: list[list[tuple[int, str]]], num_units: int) -> list[int]:
    """The ids found for chunks of (id, text)."""
    for name in ("clean", "near"):
        (folder / name).mkdir(parents=True)
    for number, rows in enumerate(chunks):
        ids = np.array([pair for pair, _ in rows], np.uint64)
        write_bands(folder, number, [text for _, text in rows], ids, SETTINGS)
    results = [
        find_near(NearUnit(unit, num_units, len(chunks), folder)) for unit in range(num_units)
    ]
    found: list[int] = np.load(join_near(folder, results).under(folder)).tolist()
    return found


CHUNKS = [
    [(7, LONG), (3, OTHER), (9, "коротко"), (1, LONG)],
    [(5, LONG.upper()), (7, LONG), (2, OTHER), (8, "коротко")],
]


@pytest.mark.parametrize("num_units", [1, 2, 16])
def test_pairs_that_resemble_an_earlier_one_are_found_across_chunks(
    tmp_path: Path, num_units: int
) -> None:
    assert near_ids(tmp_path, CHUNKS, num_units) == [1, 2, 5]


def test_an_exact_copy_does_not_drop_the_pair_itself(tmp_path: Path) -> None:
    assert near_ids(tmp_path, [[(7, LONG), (7, LONG)], [(7, LONG)]], 2) == []


def test_short_texts_are_not_compared(tmp_path: Path) -> None:
    assert near_ids(tmp_path, [[(1, "коротко"), (2, "коротко")], []], 1) == []
