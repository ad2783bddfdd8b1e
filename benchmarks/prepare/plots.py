"""results.json → the plots of docs/prepare.md, as SVG, by matplotlib, which the peers have.

python -m benchmarks.prepare.plots results.json docs/images
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib.pyplot as plt

from benchmarks.plots import write_plots
from benchmarks.prepare.figures import OURS, Results, size_name

_OURS_COLORS: Final = ("#d1603d", "#e8a78f")
_PEER_COLORS: Final = ("#1b5e8c", "#9cc3dc")


def speed(results: Results) -> Any:
    """MB/s of each system, with the spread of the rounds and that of sentencepiece alone."""
    figure, axes = plt.subplots(figsize=(7.2, 0.55 * len(results.systems) + 1.2))
    height = 0.8 / len(results.sizes)
    for offset, size in enumerate(results.sizes):
        raw = results.raw_speed(size)
        if raw:
            line = {"color": "black", "linewidth": 0.8, "linestyle": ("--", ":")[offset % 2]}
            label = f"sentencepiece alone, {size_name(size)}: {raw.median:.1f} MB/s"
            axes.axvline(raw.median, label=label, **line)
        for row, system in enumerate(reversed(results.systems)):
            spread = results.speed(f"prepare/{size}/{system}", results.text_bytes / 1e6)
            if spread is None:
                continue
            colors = _OURS_COLORS if system == OURS else _PEER_COLORS
            y = row + ((len(results.sizes) - 1) / 2 - offset) * height
            axes.barh(y, spread.median, height * 0.95, color=colors[offset % 2])
            axes.plot([spread.least, spread.most], [y, y], color="black", linewidth=0.8)
            label = f"{spread.median:.3g}, {size_name(size)}"
            axes.annotate(label, (spread.most, y), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(results.systems)), list(map(results.name, reversed(results.systems))))
    axes.set_xlabel("MB of text a second, one core")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    axes.margins(x=0.15)
    return figure


def scale(results: Results) -> Any:
    """Peak memory and time over the number of pairs."""
    runs = results.scale()
    sizes = [one["pairs"] / 1e6 for one in runs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6), layout="constrained")
    panels = (
        (left, "peak_pss_bytes", 1e6, "peak memory of all processes, MB", "{:,.0f} MB"),
        (right, "elapsed_s", 1, "time of the build, s", "{:,.0f} s"),
    )
    for axes, key, unit, title, form in panels:
        values = [one[key] / unit for one in runs]
        axes.plot(sizes, values, "o-", color=_OURS_COLORS[0])
        for size, value in zip(sizes, values, strict=True):
            axes.annotate(
                form.format(value),
                (size, value),
                (0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
        axes.set_title(title, loc="left", fontsize=9)
        axes.set(xscale="log", xlabel="million pairs")
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.margins(x=0.15, y=0.2)
    left.set_ylim(0, 1.2 * max(one["peak_pss_bytes"] for one in runs) / 1e6)
    right.set_yscale("log")
    return figure


def main(results_file: str, folder: str) -> None:
    """Write one SVG for each plot."""
    results = Results(json.loads(Path(results_file).read_text(encoding="utf-8")))
    plots = (speed, scale) if results.scale() else (speed,)
    write_plots("prepare", results, plots, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
