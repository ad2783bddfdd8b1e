"""Counts of partitions add up to those of the whole, however the partitions are grouped."""

from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataservice.prepare.counts import (
    LENGTH_EDGES,
    MAX_EXAMPLE_CHARS,
    MAX_EXAMPLES,
    RATIO_EDGES,
    Example,
    PointCounts,
    SplitCounts,
    StageCounts,
    TextCounts,
    count_bins,
    merge_splits,
    merge_stages,
)
from tests.dataservice.prepare.lines import text_of
from tests.dataservice.prepare.reports import PAIR, split_counts

texts = st.text(  # of one line each, as all that is cleaned
    st.characters(exclude_categories=["Cs"], exclude_characters="\n"), min_size=1, max_size=12
)
pairs = st.lists(st.tuples(texts, texts), max_size=8)
drops = st.lists(st.tuples(st.sampled_from(["too_long", "duplicate"]), texts, texts), max_size=9)


def plain(value: Any) -> Any:
    """Something that == compares, whatever arrays are in it."""
    if isinstance(value, SplitCounts | StageCounts | PointCounts):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def stage(dropped: list[tuple[str, str, str]], source: str) -> StageCounts:
    counts = StageCounts()
    counts.read[source] += len(dropped)
    counts.changed["markup"] += len(dropped)
    counts.num_changed += len(dropped)
    counts.groups["duplicate"] = Counter({2: len(dropped)})
    for reason, src, tgt in dropped:
        counts.drop(reason, source, src, tgt)
    return counts


@settings(max_examples=40)
@given(st.lists(drops, min_size=3, max_size=3))
def test_stages_merge_alike_however_they_are_grouped(parts: list[Any]) -> None:
    one, two, three = (stage(part, source) for part, source in zip(parts, "abc", strict=True))
    left = merge_stages([merge_stages([one, two]), three])
    right = merge_stages([one, merge_stages([two, three])])
    assert plain(left) == plain(right) == plain(merge_stages([one, two, three]))
    assert left.dropped.total() == sum(map(len, parts))


@settings(max_examples=40)
@given(st.lists(pairs, min_size=3, max_size=3))
def test_splits_merge_to_the_counts_of_all_their_texts(parts: list[Any]) -> None:
    one, two, three = (split_counts(part, PAIR) for part in parts)
    left = merge_splits([merge_splits([one, two]), three])
    right = merge_splits([one, merge_splits([two, three])])
    assert plain({**plain(left), "lengths": 0}) == plain({**plain(right), "lengths": 0})
    whole = split_counts([pair for part in parts for pair in part], PAIR)
    for name in ("sources", "points", "pieces", "char_lengths", "ratios"):
        assert plain(getattr(left, name)) == plain(getattr(whole, name)), name
    told = [text for part in parts for pair in part for text in pair]
    points = left.points_of("ru", "en")
    assert points.num_chars == sum(map(len, told))
    assert points.num_bytes == sum(len(text.encode()) for text in told)


@pytest.mark.parametrize(
    ("length", "edge"),
    [(0, 0), (1, 1), (7, 7), (8, 8), (9, 8), (10, 10), (19, 16), (20, 20), (250_000, 220_464)],
)
def test_a_length_lies_in_the_bin_that_begins_below_it(length: int, edge: int) -> None:
    found = count_bins(np.array([length]), LENGTH_EDGES)
    assert (LENGTH_EDGES[int(found.argmax())], int(found.sum())) == (edge, 1)


@pytest.mark.parametrize(("ratio", "edge"), [(0.01, 0.0), (0.125, 0.125), (1.0, 1.0), (900.0, 8.0)])
def test_a_ratio_lies_in_the_bin_that_begins_below_it(ratio: float, edge: float) -> None:
    assert RATIO_EDGES[int(count_bins(np.array([ratio]), RATIO_EDGES).argmax())] == edge


def test_edges_rise() -> None:
    assert (np.diff(LENGTH_EDGES) > 0).all()
    assert (np.diff(RATIO_EDGES) > 0).all()


def test_the_first_examples_of_a_reason_are_kept_in_order() -> None:
    parts = [stage([("too_long", f"{part}{n}", "x")] * 1, "s") for part in "ab" for n in range(4)]
    shown = merge_stages(parts).examples["too_long"]
    assert [one.src for one in shown] == ["a0", "a1", "a2", "a3", "b0"]
    assert len(shown) == MAX_EXAMPLES


def test_an_example_is_shown_once() -> None:
    parts = [stage([("duplicate", text, "x") for text in texts], "s") for texts in ("aab", "bca")]
    merged = merge_stages(parts)
    assert [one.src for one in merged.examples["duplicate"]] == ["a", "b", "c"]
    assert merged.dropped["s", "duplicate"] == 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("я" * MAX_EXAMPLE_CHARS, "я" * MAX_EXAMPLE_CHARS),
        ("я" * (MAX_EXAMPLE_CHARS + 1), "я" * (MAX_EXAMPLE_CHARS - 1) + "…"),
        ("half \ud800 a character", "half ? a character"),
    ],
)
def test_an_example_is_clipped_to_what_can_be_shown(text: str, shown: str) -> None:
    counts = StageCounts()
    counts.drop("too_long", "s", text, "")
    assert counts.examples == {"too_long": [Example(shown, "", "s")]}


def test_words_are_what_spaces_part() -> None:
    counts = SplitCounts()
    counts.sources["s"] = 2
    counts.add_texts({"de": TextCounts.of(text_of(["ein Haus", "drei alte Häuser"]))})
    assert counts.num_words("de") == 5
    assert not counts.ratios.any()
