"""results.json → the plots of docs/stream.md, as SVG, by matplotlib, which the peers have.

python -m benchmarks.stream.plots results.json docs/images
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib.pyplot as plt

from benchmarks.plots import write_plots
from benchmarks.stream.figures import OURS, Results

_PLACES: Final = {
    "local": ("from a folder", "#1b5e8c"),
    "http": ("over HTTP", "#4fa3d1"),
    "workers": ("two loader workers", "#b5cfdd"),
}
_OURS_COLOR: Final = "#d1603d"
_PEER_COLOR: Final = "#8fa3ad"


def speed(results: Results) -> Any:
    """Samples a second of each system, with the spread of the rounds."""
    figure, axes = plt.subplots(figsize=(7.2, 0.55 * len(results.systems) + 1.2))
    height = 0.26
    for offset, (place, (label, color)) in enumerate(_PLACES.items()):
        for row, system in enumerate(reversed(results.systems)):
            spread = results.spread(f"read/{place}/{system}", "samples_per_s")
            if spread is None:
                continue
            y = row + (1 - offset) * height
            axes.barh(y, spread.median, height, color=color, label=label if row == 0 else None)
            axes.plot([spread.least, spread.most], [y, y], color="black", linewidth=0.8)
            axes.text(spread.most * 1.08, y, _count(spread.median), va="center", fontsize=7)
    axes.set_yticks(range(len(results.systems)), _names(results))
    axes.set_xscale("log")
    axes.set_xlabel("samples a second, one core (two with workers); logarithmic")
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for _, color in _PLACES.values()]
    axes.legend(
        handles,
        [label for label, _ in _PLACES.values()],
        loc="lower right",
        frameon=False,
        fontsize=8,
    )
    axes.margins(x=0.12)
    return figure


def resume(results: Results) -> Any:
    """Seconds from a restart in the middle of an epoch to its first batch."""
    figure, axes = plt.subplots(figsize=(7.2, 0.42 * len(results.systems) + 1.1))
    height = 0.36
    for row, system in enumerate(reversed(results.systems)):
        for offset, share in enumerate(("0.5", "0.9")):
            spread = results.spread(f"resume/small/{share}/{system}", "resume_s")
            if spread is None:
                axes.text(0.012, row, "could not be resumed", va="center", fontsize=7)
                break
            y = row + (0.5 - offset) * height
            color = _OURS_COLOR if system == OURS else _PEER_COLOR
            axes.barh(y, spread.median, height, color=color, alpha=1 if offset else 0.7)
            label = f"{spread.median:.2g} s after {float(share):.0%}"
            axes.text(spread.median * 1.08, y, label, va="center", fontsize=7)
    axes.set_yticks(range(len(results.systems)), _names(results))
    axes.set_xscale("log")
    axes.set_xlim(left=0.01)
    axes.set_ylim(-0.6, len(results.systems) - 0.4)
    axes.set_xlabel("seconds to the next batch, over HTTP; logarithmic")
    axes.margins(x=0.25)
    return figure


def memory(results: Results) -> Any:
    """Peak memory by the number of pairs."""
    runs = [
        one
        for key, one in results.measurements.items()
        if key.startswith("scale/") and "error" not in one
    ]
    runs.sort(key=lambda one: one["samples"])
    figure, axes = plt.subplots(figsize=(7.2, 2.6))
    sizes = [one["samples"] / 1e6 for one in runs]
    data = [one["samples"] * one["bytes_per_pair"] / 1e6 for one in runs]
    peaks = [one["peak_rss_bytes"] / 1e6 for one in runs]
    axes.plot(sizes, data, "o-", color=_PEER_COLOR)
    axes.plot(sizes, peaks, "o-", color=_OURS_COLOR)
    labels = ((data, "data on disk", _PEER_COLOR), (peaks, "peak memory", _OURS_COLOR))
    for values, text, color in labels:
        for size, value in zip(sizes, values, strict=True):
            label = f"{text}, {value:,.0f} MB"
            place = (0, 6) if values is data else (0, -13)
            axes.annotate(
                label,
                (size, value),
                place,
                textcoords="offset points",
                color=color,
                ha="center",
                fontsize=7,
            )
    axes.set(xscale="log", yscale="log", xlabel="million pairs", ylabel="MB")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.margins(x=0.2, y=0.25)
    return figure


def _names(results: Results) -> list[str]:
    return [results.name(system) for system in reversed(results.systems)]


def _count(value: float) -> str:
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value / 1e3:.3g} k"


def main(results_file: str, folder: str) -> None:
    """Write one SVG for each plot."""
    results = Results(json.loads(Path(results_file).read_text(encoding="utf-8")))
    write_plots("stream", results, (speed, resume, memory), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
