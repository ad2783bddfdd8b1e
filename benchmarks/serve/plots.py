"""results.json → docs/images/serving-*.svg."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.serve.report import HERE, size_text
from benchmarks.serve.results import MAX_CPU_S_PER_GB, Results, What

IMAGES: Final = HERE.parents[1] / "docs" / "images"
LABELS: Final = {
    "dataservice": ("data service", "#0969da"),
    "staticfiles": ("Uvicorn StaticFiles", "#8c959f"),
    "route": ("bare Starlette route", "#8c959f"),
    "nginx": ("nginx in front", "#1a7f37"),
    "plain nginx": ("plain nginx", "#8ccf9b"),
}
STYLE: Final = {
    # the same run gives the same bytes
    "svg.hashsalt": "serving",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#57606a",
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#d0d7de",
    "grid.linewidth": 0.6,
}


def bars_of(
    axes: Any, results: Results, what: What, loads: list[tuple[int, int]], figure: str
) -> None:
    """A group of bars for each load, a bar for each server; lines show the least and the most."""
    servers = results.servers_of(what)
    width = 0.8 / len(servers)
    for number, server in enumerate(servers):
        spreads = [results.spread(what, load, server, figure) for load in loads]
        places = [index + (number - (len(servers) - 1) / 2) * width for index in range(len(loads))]
        heights = [spread.median for spread in spreads]
        below = [spread.median - spread.least for spread in spreads]
        above = [spread.most - spread.median for spread in spreads]
        label, color = LABELS[server]
        axes.bar(places, heights, width * 0.92, label=label, color=color)
        whisker = {"fmt": "none", "ecolor": "#1f2328", "elinewidth": 0.8, "capsize": 1.5}
        axes.errorbar(places, heights, yerr=[below, above], **whisker)
    axes.tick_params(length=0)
    axes.set_ylim(bottom=0)


def blobs(results: Results) -> Figure:
    """MB/s and CPU by size and number of clients."""
    loads = results.loads("blob")
    sizes = list(dict.fromkeys(size for size, _ in loads))
    figure = Figure(figsize=(8, 2.7 * len(sizes) + 0.5), layout="constrained")
    panels = figure.subplots(len(sizes), 2, squeeze=False)
    for (left, right), size in zip(panels, sizes, strict=True):
        chosen = [load for load in loads if load[0] == size]
        for axes, name, title in (
            (left, "mb_per_s", "MB/s (more is better)"),
            (right, "cpu_s_per_gb", "CPU s/GB (less is better)"),
        ):
            bars_of(axes, results, "blob", chosen, name)
            axes.set_xticks(range(len(chosen)), [_clients(number) for _, number in chosen])
            axes.set_title(f"Blobs of {size_text(size)}: {title}", loc="left")
        bar = f"at most {MAX_CPU_S_PER_GB}"
        right.axhline(MAX_CPU_S_PER_GB, color="#cf222e", linewidth=0.9, linestyle="--", label=bar)
    handles, labels = panels[0][1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def manifests(results: Results) -> Figure:
    """Requests/s by size, sent and known."""
    figure = Figure(figsize=(8, 2.9), layout="constrained")
    panels = figure.subplots(1, 2)
    kinds: tuple[tuple[What, str], ...] = (
        ("manifest", "Manifests: requests/s"),
        ("known manifest", "Known manifests (304): requests/s"),
    )
    for axes, (what, title) in zip(panels, kinds, strict=True):
        loads = results.loads(what)
        bars_of(axes, results, what, loads, "requests_per_s")
        axes.set_xticks(range(len(loads)), [size_text(size) for size, _ in loads])
        axes.set_title(title, loc="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _clients(number: int) -> str:
    return "1 client" if number == 1 else f"{number} clients"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    results = Results.read(options.results)
    with mpl.rc_context(STYLE):
        for name, draw in (("blobs", blobs), ("manifests", manifests)):
            path = options.out / f"serving-{name}.svg"
            draw(results).savefig(path, metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
