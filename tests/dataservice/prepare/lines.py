"""Texts → the lines that they are between the stages."""

from collections.abc import Iterable

from dataservice.prepare.text.lines import Lines


def lines_of(texts: Iterable[str]) -> Lines:
    """Texts that hold no end of line."""
    return Lines.whole("".join(f"{text}\n" for text in texts))
