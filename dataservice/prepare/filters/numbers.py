"""The digits of both sides → pairs whose numbers are not the same."""

import re
from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.filters.side import Batch, Side, confirm
from dataservice.prepare.filters.words import strip_placeholders
from dataservice.prepare.text.points import Mask

_GROUP: Final = re.compile(r"\d(?:[\d.,'’ ]*\d)?")
_RUN: Final = re.compile(r"\d+")
# 10 000, 10'000 or 10,000.5 is one number, whichever language wrote it
_SEPARATOR: Final = re.compile(r"[.,'’](?=\d)| (?=\d{3}\b)")
_WEIGHTS: Final = np.array(
    [pow(0x9E3779B97F4A7C15, digit + 1, 1 << 64) for digit in range(10)], np.uint64
)


def numbers(batch: Batch) -> Mask:
    """Of either side's numbers more than `max_lost_number_share` are not on the other side."""
    limit = batch.settings.max_lost_number_share
    if batch.tgt is None or limit >= 1:
        return batch.nothing
    src, tgt = batch.src, batch.tgt
    return confirm(
        _signature(src) != _signature(tgt),
        lambda row: lost_number_share(src.texts[row], tgt.texts[row]) > limit,
    )


def _signature(side: Side) -> npt.NDArray[np.uint64]:
    """A sum over each text's digits: equal for the same ones, in whatever script [N]."""
    positions, cuts = side.digits
    values = side.tables.digit_values[side.points.points[positions]]
    sums = np.zeros(len(positions) + 1, np.uint64)
    np.cumsum(_WEIGHTS[values], out=sums[1:])
    return np.diff(sums[cuts])


def lost_number_share(src: str, tgt: str) -> float:
    """The share of a side's numbers that the other side lacks, of the side that lost fewer.

    A side may well say in words, or leave out, what the other has in digits.
    """
    ours = _GROUP.findall(strip_placeholders(src))
    theirs = _GROUP.findall(strip_placeholders(tgt))
    return min(_lost_by_fewer(ours, theirs), _lost_by_fewer(_join(ours), _join(theirs)))


def _join(groups: list[str]) -> list[str]:
    return [_SEPARATOR.sub("", group) for group in groups]


def _lost_by_fewer(src: list[str], tgt: list[str]) -> float:
    ours, theirs = _numbers(src), _numbers(tgt)
    return min(_lost(ours, theirs), _lost(theirs, ours))


def _lost(ours: Counter[str], theirs: Counter[str]) -> float:
    return (ours - theirs).total() / max(ours.total(), 1)


def _numbers(groups: list[str]) -> Counter[str]:
    # without zeros at its ends: 5.0 is 5, 5 s is 5000 ms, and 8 times is 800 percent
    return Counter(digits.strip("0") for group in groups for digits in _RUN.findall(group))
