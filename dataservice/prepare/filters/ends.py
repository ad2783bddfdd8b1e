"""How the sides end → pairs of which one is a question, or goes on, and the other not."""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.filters.side import Batch, Side
from dataservice.prepare.text.points import NUM_POINTS, Mask

_MARKS: Final = ("?？؟՞፧", "!！՜", "…", ":：", ".。।॥۔።։")
_CLOSERS: Final = "\"'»”’“)]}›』」）*_ "
_ELLIPSIS: Final = 3
_STOP: Final = 5
_CLOSER: Final = 255
_MAX_CLOSERS: Final = 3


def sentence_end(batch: Batch) -> Mask:
    """The sides end in different marks of those that `match_ends` names."""
    names = batch.settings.match_ends
    if batch.tgt is None or not names:
        return batch.nothing
    ours, theirs = _ends(batch.src), _ends(batch.tgt)
    found = batch.nothing
    for mark in names:
        number = next(n for n, marks in enumerate(_MARKS, 1) if mark in marks)
        found |= (ours == number) != (theirs == number)
    return found


@cache
def _table() -> npt.NDArray[np.uint8]:
    table = np.zeros(NUM_POINTS, np.uint8)
    for number, marks in enumerate(_MARKS, 1):
        table[[ord(mark) for mark in marks]] = number
    table[[ord(closer) for closer in _CLOSERS]] = _CLOSER
    return table


def _ends(side: Side) -> npt.NDArray[np.uint8]:
    """The kind of mark with which each text ends, brackets and quotes aside [N]; 0: none."""
    starts, points = side.points.starts, side.points.points
    if not len(points):
        return np.zeros(len(side.texts), np.uint8)
    last = np.maximum(starts[1:] - 1, 0)
    for _ in range(_MAX_CLOSERS):
        last = np.where(_table()[points[last]] == _CLOSER, np.maximum(last - 1, starts[:-1]), last)
    last = np.minimum(last, len(points) - 1)
    marks = _table()[points[last]]
    dots = (marks == _STOP) & (points[np.maximum(last - 1, 0)] == ord(".")) & (last > starts[:-1])
    return np.where(dots, _ELLIPSIS, marks).astype(np.uint8)
