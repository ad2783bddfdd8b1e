"""Texts → the lines that they are between the stages."""

from collections.abc import Iterable, Sequence

import numpy as np

from dataservice.prepare.text.lines import Lines


def text_of(texts: Iterable[str]) -> str:
    """Each text and the end of its line."""
    return "".join(f"{text}\n" for text in texts)


def lines_of(texts: Sequence[str]) -> Lines:
    """Texts that hold no end of line."""
    return Lines.of_lengths(text_of(texts), np.array(list(map(len, texts)), np.int64))
