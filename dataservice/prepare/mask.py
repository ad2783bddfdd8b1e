"""Cleaned texts → the same with `<email>` and `<phone>` for addresses and numbers of people."""

import re
from typing import Final

import numpy as np

from dataservice.prepare.filters.classes import AT
from dataservice.prepare.filters.side import Side
from dataservice.prepare.text.points import Mask

EMAIL: Final = "<email>"
PHONE: Final = "<phone>"
_MIN_DIGITS, _MAX_DIGITS = 10, 15  # with country or area code
_EMAIL: Final = re.compile(
    r"(?<![\w.+%-])[\w+-][\w.+%-]*@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{2,}(?![\w@])"
)
# with a country code, or with an area code in brackets or behind a trunk 8 or 1
_PHONE: Final = re.compile(
    r"(?<![\w+.,/:=#$-])"
    r"(?:(?:\+|00)[1-9]\d{0,2}[ .-]?(?:\(\d{1,5}\)|\d{1,5})|[18]?[ -]?\(\d{3,5}\)|[18][ -]\d{3})"
    r"(?:[ .-]?\d{1,4}){2,5}(?![\w/:=-]|[.,]\d)"
)


def mask_personal(text: str) -> str:
    """The text without e-mail addresses and phone numbers; idempotent.

    Numbers without country or area code look like any others, and stay.
    """
    if "@" in text:
        text = _EMAIL.sub(EMAIL, text)
    return _PHONE.sub(_masked, text)


def _masked(number: re.Match[str]) -> str:
    digits = sum(map(str.isdigit, number[0]))
    return PHONE if _MIN_DIGITS <= digits <= _MAX_DIGITS else number[0]


def mask_texts(side: Side) -> tuple[list[str], Mask]:
    """The texts of a side masked, and which of them changed [N]; the others cost no search."""
    texts = list(side.texts)
    suspects = (np.diff(side.where(AT)[1]) > 0) | (side.digit_counts >= _MIN_DIGITS)
    changed = np.zeros(len(texts), np.bool_)
    for row in np.flatnonzero(suspects).tolist():
        masked = mask_personal(texts[row])
        changed[row] = masked != texts[row]
        texts[row] = masked
    return texts, changed
