"""Lists of ids end to end: taken, prefixed and joined as lists would be."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataservice.prepare.ragged import Ragged

LISTS = st.lists(st.lists(st.integers(0, 2**16 - 1), max_size=6), max_size=8)


def ragged(lists: list[list[int]]) -> Ragged:
    values = np.array([value for one in lists for value in one], np.uint16)
    return Ragged(values, np.array([len(one) for one in lists], np.int64))


def lists_of(found: Ragged) -> list[list[int]]:
    starts = found.starts.tolist()
    return [found.values[a:b].tolist() for a, b in itertools.pairwise(starts)]


@given(LISTS, st.data())
def test_taken_rows_are_those_lists(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=12)) if lists else []
    found = ragged(lists).take(np.array(rows, np.int64))
    assert lists_of(found) == [lists[row] for row in rows]


@given(LISTS, st.integers(0, 3))
def test_a_prefix_stands_before_its_own_list(lists: list[list[int]], width: int) -> None:
    prefixes = np.arange(len(lists) * width, dtype=np.uint16).reshape(len(lists), width)
    expected = [[*row, *one] for row, one in zip(prefixes.tolist(), lists, strict=True)]
    found = ragged(lists).after(prefixes)
    assert lists_of(found) == expected
    assert found.values.dtype == np.uint16


@given(st.lists(LISTS, min_size=1, max_size=4))
def test_joined_parts_follow_each_other(parts: list[list[list[int]]]) -> None:
    found = Ragged.join([ragged(part) for part in parts])
    assert lists_of(found) == [one for part in parts for one in part]
    assert len(found) == sum(map(len, parts))
