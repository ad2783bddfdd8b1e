"""Placeholders, markup and addresses → pairs that lost some, or that are little else."""

import re
from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.filters.classes import COLON, DOLLAR, LESS, PERCENT
from dataservice.prepare.filters.side import Batch, Counts, Side, confirm
from dataservice.prepare.filters.words import PLACEHOLDER
from dataservice.prepare.text.points import Mask

_FORMAT: Final = re.compile(r"%(?:\d+\$)?[-+#0'*.\d]*(?=[a-zA-Z])")
_URL: Final = re.compile(r"(?:https?|ftp|file|git|svn)://\S+|www\.\S+", re.IGNORECASE)
# `<file name>` is no tag: one has an end, attributes or its own closing tag
_ATTRIBUTE: Final = r"""\s+[\w:-]+=(?:"[^"<>]*"|'[^'<>]*')"""
_TAG: Final = re.compile(
    rf"</[A-Za-z][^<>]*>|<[!?][^<>]*>|<[A-Za-z][\w:-]*(?:(?:{_ATTRIBUTE})*\s*/|(?:{_ATTRIBUTE})+\s*)>"
)
_BARE_TAG: Final = re.compile(r"<([A-Za-z][\w:-]*)>")


def placeholders(batch: Batch) -> Mask:
    """The sides have other placeholders (`%s`, `{0}`, `$NAME`), so one of them lost some."""
    limit = batch.settings.max_lost_placeholders
    if batch.tgt is None or limit < 0:
        return batch.nothing
    src, tgt = batch.src, batch.tgt
    return confirm(
        _signature(src) != _signature(tgt),
        lambda row: lost_placeholders(src.texts[row], tgt.texts[row]) > limit,
    )


def _signature(side: Side) -> npt.NDArray[np.int64]:
    """A sum of each text's placeholder signs and what follows them: equal for equal ones [N]."""
    classes = side.classes
    positions = np.flatnonzero((classes >= PERCENT) & (classes <= DOLLAR))
    if not len(positions):
        return np.zeros(len(side.texts), np.int64)
    points = side.points.points
    first, second = (points[np.minimum(positions + step, len(points) - 1)] for step in (1, 2))
    following = first.astype(np.int64)
    following += (first == ord("(")) * (second.astype(np.int64) << 21)  # %(name)s
    values = (points[positions] * 0x1F351 + following) * 0x2545F491
    sums = np.zeros(len(positions) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return np.diff(sums[np.searchsorted(positions, side.points.starts)])


def lost_placeholders(src: str, tgt: str) -> int:
    """How many placeholders of the one side have no counterpart on the other, at worst."""
    ours, theirs = _placeholders(src), _placeholders(tgt)
    return max((ours - theirs).total(), (theirs - ours).total())


def _placeholders(text: str) -> Counter[str]:
    found = (match[0] for match in PLACEHOLDER.finditer(text.replace("%%", " ")))
    return Counter(map(_kind, found))


def _kind(placeholder: str) -> str:
    """What both sides must have: how wide a number is printed and in which order may differ.

    Words in braces may be translated, as in `{date}`.
    """
    return "{}" if placeholder[0] == "{" else _FORMAT.sub("%", placeholder)


def markup(batch: Batch) -> Mask:
    """More than `max_markup_share` of a side's characters are tags that cleaning left."""
    limit = batch.settings.max_markup_share
    if limit >= 1:
        return batch.nothing

    def is_marked_up(side: Side) -> Mask:
        suspects = _rows_with(side, np.flatnonzero(side.classes == LESS))
        return confirm(suspects, lambda row: markup_share(side.texts[row]) > limit)

    return batch.any_side(is_marked_up)


def urls(batch: Batch) -> Mask:
    """More than `max_url_share` of a side's characters are addresses."""
    limit = batch.settings.max_url_share
    if limit >= 1:
        return batch.nothing

    def is_addresses(side: Side) -> Mask:
        points = side.points.points
        positions = np.flatnonzero(side.classes == COLON)
        for step in (1, 2):
            positions = positions[positions + step < len(points)]
            positions = positions[points[positions + step] == ord("/")]
        suspects = _rows_with(side, positions)
        return confirm(suspects, lambda row: url_share(side.texts[row]) > limit)

    return batch.any_side(is_addresses)


def _rows_with(side: Side, positions: Counts) -> Mask:
    """The texts in which at least one of some positions lies [N]."""
    rows = np.zeros(len(side.texts), np.bool_)
    rows[side.rows_of(positions)] = True
    return rows


def markup_share(text: str) -> float:
    """The share of a text's characters that are tags; `<name>` is one where it is closed."""
    closed = {tag[2:-1].strip() for tag in _TAG.findall(text) if tag.startswith("</")}
    bare = sum(len(name) + 2 for name in _BARE_TAG.findall(text) if name in closed)
    return (bare + sum(map(len, _TAG.findall(text)))) / max(len(text), 1)


def url_share(text: str) -> float:
    """The share of a text's characters that are addresses."""
    return sum(map(len, _URL.findall(text))) / max(len(text), 1)
