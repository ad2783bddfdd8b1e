"""Texts → those that cleaning may change; of all others it is certain that it does not.

Cleaning costs microseconds a text, and nine texts of ten are clean already. A look at each code
point in a table tells them for a hundredth of that.
"""

import functools
import re
import unicodedata
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.text.characters import changed_by, every_char, is_category
from dataservice.prepare.text.clean import (
    QUOTED_CAPITALS,
    QUOTES,
    STRANGE,
    clean,
    may_be_markup,
    strip_invisible,
)
from dataservice.prepare.text.points import NUM_POINTS, CodePoints

# Scripts whose composed letters are told by the tables below; the rest is cleaned one by one.
_KNOWN: Final = ((0x20, 0x2500), (0x3000, 0xA48D), (0xAC00, 0xD7A4), (0xFF01, 0xFFEF))
Rows = npt.NDArray[np.int64]

_DOUBTFUL: Final = 1  # cleaning may do something about it wherever it stands
_QUOTE: Final = 2  # a wrong decoding may hold it between two of _CAPITAL, else it is innocent
_CAPITAL: Final = 3
_OPENING: Final = 4  # markup may begin here; most of what does so is none
_SPACE: Final = 5  # a space of another kind; all that cleaning does is to write one space


def clean_all(texts: list[str]) -> tuple[list[str], CodePoints, list[int]]:
    """Every text cleaned, their code points, and the rows that were changed."""
    points = CodePoints.of(texts)
    rows, opened, spaced = doubtful(points)
    marked = [row for row in opened.tolist() if may_be_markup(texts[row])]
    rows = np.union1d(rows, np.array(marked, np.int64))
    changed = {row: text for row in rows.tolist() if (text := clean(texts[row])) != texts[row]}
    # all that is wrong with these is their spaces
    spaced = np.setdiff1d(spaced, rows, assume_unique=True)
    changed |= {row: " ".join(texts[row].split()) for row in spaced.tolist()}
    if not changed:
        return texts, points, []
    texts = texts.copy()
    for row, text in changed.items():
        texts[row] = text
    rows = np.array(sorted(changed), np.int64)
    return texts, points.replace(rows, [texts[row] for row in rows.tolist()]), rows.tolist()


def doubtful(points: CodePoints) -> tuple[Rows, Rows, Rows]:
    """Rows of the texts that `clean` may change, each kind sorted.

    Those of the second kind it changes if they may be markup, those of the third in their spaces.
    """
    kinds = _kinds().take(points.points)
    found = np.flatnonzero(kinds == _DOUBTFUL)
    quotes = np.flatnonzero(kinds == _QUOTE)
    quotes = quotes[(quotes > 0) & (quotes < len(kinds) - 1)]
    inside = (kinds[quotes - 1] == _CAPITAL) & (kinds[quotes + 1] == _CAPITAL)
    rows = _rows_of(np.concatenate([found, quotes[inside]]), points)
    opened = _rows_of(np.flatnonzero(kinds == _OPENING), points)
    return rows, opened, _rows_of(_spaces(points, kinds), points)


def _rows_of(places: Rows, points: CodePoints) -> Rows:
    return np.unique(np.searchsorted(points.starts, places, side="right") - 1)


def _spaces(points: CodePoints, kinds: npt.NDArray[np.uint8]) -> Rows:
    """Where a space is not the one between two words."""
    is_space = points.points == 0x20
    filled = points.starts[:-1][np.diff(points.starts) > 0]
    ends = np.concatenate([filled, points.starts[1:][np.diff(points.starts) > 0] - 1])
    doubled = np.flatnonzero(is_space[1:] & is_space[:-1]) + 1
    return np.concatenate([doubled, ends[is_space[ends]], np.flatnonzero(kinds == _SPACE)])


@functools.cache
def _kinds() -> npt.NDArray[np.uint8]:
    table = np.full(NUM_POINTS, _DOUBTFUL, np.uint8)
    for begin, end in _KNOWN:
        table[begin:end] = 0
    marks = np.flatnonzero(is_category("M")).tolist()
    table[[point for point in marks if unicodedata.combining(chr(point))]] = _DOUBTFUL
    table[ord("\u1100") : ord("\u11ff") + 1] = _DOUBTFUL  # Hangul letters join to syllables
    for change in (strip_invisible, partial(unicodedata.normalize, "NFC")):
        table[list(changed_by(change))] = _DOUBTFUL
    for begin, end in _KNOWN:
        spaces = [point for point in range(begin, end) if chr(point).isspace()]
        table[spaces] = _SPACE
    table[list(map(ord, " &<"))] = (0, _OPENING, _OPENING)
    every = every_char()[0x80:0xD800]
    for classes, kind in ((QUOTES, _QUOTE), (QUOTED_CAPITALS, _CAPITAL), (STRANGE, _DOUBTFUL)):
        points = np.array(list(map(ord, re.findall(f"[{classes}]", every))))
        table[points] = np.where(table[points] == _DOUBTFUL, _DOUBTFUL, kind)
    table[_seconds()] = _DOUBTFUL
    table[list(map(ord, "\t\n\v\f\r"))] = _SPACE
    return table


def _seconds() -> list[int]:
    """Characters that NFC may join to the one before."""
    parts = map(str.split, filter(None, map(unicodedata.decomposition, every_char())))
    return sorted({int(two[1], 16) for two in parts if len(two) == 2 and two[0][0] != "<"})
