"""Plots of several benchmarks → SVG of one style, by matplotlib, which the peers have."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import matplotlib.pyplot as plt

_STYLE: Final = {
    "font.size": 9,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
Results = TypeVar("Results")


def write_plots(
    topic: str, results: Results, plots: Iterable[Callable[[Results], Any]], folder: Path
) -> None:
    """Write TOPIC-NAME.svg for each plot, by the name of the function that draws it."""
    plt.switch_backend("svg")
    with plt.rc_context({**_STYLE, "svg.hashsalt": topic}):  # equal results give equal files
        for draw in plots:
            figure = draw(results)
            path = folder / f"{topic}-{draw.__name__}.svg"
            figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
            plt.close(figure)
