"""Texts ↔ one string of lines: no text is lost, shifted or joined to its neighbour."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataservice.prepare.counts import TextCounts
from dataservice.prepare.text.lines import Lines
from tests.dataservice.prepare.lines import lines_of, text_of

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=6)
rows = st.lists(st.tuples(texts, st.booleans()), max_size=8)


def listed(lines: Lines) -> list[str]:
    return [lines[row] for row in range(len(lines))]


@given(st.lists(texts, max_size=8))
def test_lines_are_the_texts_that_they_were_made_of(some: list[str]) -> None:
    lines = lines_of(some)
    again = Lines.of_lengths(lines.text, lines.lengths.astype(np.uint32))
    assert listed(lines) == listed(again) == some
    assert lines.lengths.tolist() == list(map(len, some))
    assert TextCounts.of(lines.text).lengths.tolist() == list(map(len, some))


@given(rows)
def test_what_is_taken_is_what_the_mask_keeps(some: list[tuple[str, bool]]) -> None:
    kept = np.array([keep for _, keep in some], np.bool_)
    taken = lines_of([text for text, _ in some]).take(kept)
    assert listed(taken) == [text for text, keep in some if keep]


@given(rows)
def test_characters_without_those_of_some_texts_are_those_of_the_rest(
    some: list[tuple[str, bool]],
) -> None:
    whole = TextCounts.of(text_of(text for text, _ in some)).points
    gone, left = (
        TextCounts.of(text_of(text for text, keep in some if keep is kept)).points
        for kept in (False, True)
    )
    rest = whole - gone
    assert rest.points.tolist() == left.points.tolist() == sorted({*map(ord, _joined(some))})
    assert rest.counts.tolist() == left.counts.tolist()
    assert rest.num_chars == len(_joined(some))


def _joined(some: list[tuple[str, bool]]) -> str:
    return "".join(text for text, keep in some if keep)
