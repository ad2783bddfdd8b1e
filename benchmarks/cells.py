"""Figures → the cells of a Markdown table, and the table."""

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.figures import Bar, Spread

NOTHING: Final = "–"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def bars_table(bars: Iterable[Bar]) -> str:
    """What is asked, what was measured, and whether it is enough."""
    rows = ((bar.promise, bar.measured, "yes" if bar.met else "**no**") for bar in bars)
    return table(("Bar", "Measured", "Met"), rows)


def spread_cell(spread: Spread | None) -> str:
    """Median, least and most."""
    if spread is None:
        return NOTHING
    return f"{rounded(spread.median)} ({rounded(spread.least)}–{rounded(spread.most)})"


def number(spread: Spread | None) -> str:
    """The median."""
    return NOTHING if spread is None else rounded(spread.median)


def seconds(spread: Spread | None) -> str:
    """The median, in seconds."""
    return NOTHING if spread is None else f"{rounded(spread.median)} s"


def rounded(value: float) -> str:
    """Three digits of a number are enough to compare."""
    if value < 100:
        return f"{value:.3g}"
    digits = len(str(int(value))) - 3
    return f"{round(value, -digits):,.0f}"


def bold(text: str, yes: bool) -> str:
    """The text, in bold type if it is ours."""
    return f"**{text}**" if yes else text
