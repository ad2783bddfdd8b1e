"""Numbers and texts → pieces of HTML: tables, bars, histograms, a curve; all of it escaped.

Plots are SVG that stretches with the page, so axes are HTML around them, whose letters do not.
"""

import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_MOST_TICKS: Final = 8


class Html(str):
    """A piece of HTML: the one kind of text that is not escaped when it is put on a page."""

    __slots__ = ()


Cell = str | int | float | Html


class Bin(NamedTuple):
    """One bar of a histogram: how many samples lie in a range of positive numbers."""

    label: str  # the range, as "16 to 19"
    tick: str  # what may stand below its left edge
    start: float
    end: float
    samples: int

    @property
    def octaves(self) -> float:
        return math.log2(self.end / self.start)


def escape(value: Cell) -> Html:
    """A value as HTML; characters that are not seen, or turn text around, are spelled out."""
    if isinstance(value, Html):
        return value
    if isinstance(value, int):
        return Html(f"{value:,}")
    if isinstance(value, float):
        return Html(f"{value:,.3f}".rstrip("0").rstrip("."))
    shown = _INVISIBLE.sub(lambda found: f"[U+{ord(found[0]):04X}]", value)
    return Html(html.escape(shown, quote=True))


def quoted(text: str, language: str = "") -> Html:
    """Words of a corpus: in their own direction and language, whatever stands around them."""
    lang = f' lang="{escape(language)}"' if language else ""
    return Html(f"<bdi{lang}>{escape(text)}</bdi>")


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent."""
    return f"{part / whole:.2%}" if whole else "–"


def table(caption: str, headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Html:
    """A table that scrolls by itself where the page is too narrow; first cells are headers."""
    rows = list(rows)
    if not rows:
        return Html(f'<p class="none">{escape(caption)}: none.</p>')
    kinds = ["", *map(_kind, rows[0][1:])]
    head = "".join(
        f'<th scope="col"{kind}>{escape(header)}</th>' if header else "<td></td>"
        for header, kind in zip(headers, kinds, strict=True)
    )
    return Html(
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(map(_row, rows))}</tbody></table></div>"
    )


def _row(cells: Sequence[Cell]) -> str:
    first, *others = cells
    values = "".join(f"<td{_kind(cell)}>{escape(cell)}</td>" for cell in others)
    return f'<tr><th scope="row">{escape(first)}</th>{values}</tr>'


def _kind(cell: Cell) -> str:
    """The class of a cell: numbers stand on the right."""
    is_number = isinstance(cell, int | float) or re.fullmatch(r"[\d.,]+%|–", cell)
    return ' class="number"' if is_number else ""


def bar(value: float, largest: float) -> Html:
    """A bar for a cell of a table, beside its number."""
    width = 100 * value / largest if largest else 0
    return Html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.2f}" height="10"/></svg>'
    )


def histogram(caption: str, unit: str, bins: Sequence[Bin], *, kind: str = "src") -> Html:
    """A figure of bars on a logarithmic axis, and the same as a table to unfold.

    Their areas are what counts: some bins are wider than others.
    """
    filled = [n for n, one in enumerate(bins) if one.samples]
    if not filled:
        return Html(f'<p class="none">{escape(caption)}: none.</p>')
    bins = bins[filled[0] : filled[-1] + 1]
    densities = [one.samples / one.octaves for one in bins]
    peak, total = max(densities), sum(one.samples for one in bins)
    first, span = bins[0].start, math.log2(bins[-1].end / bins[0].start)
    lefts = [math.log2(one.start / first) for one in bins]
    rects = "".join(
        f'<rect x="{left + 0.03 * one.octaves:.3f}" y="{100 - 100 * density / peak:.2f}" '
        f'width="{0.94 * one.octaves:.3f}" height="{100 * density / peak:.2f}">'
        f"<title>{escape(f'{one.label}: {one.samples:,}')}</title></rect>"
        for one, left, density in zip(bins, lefts, densities, strict=True)
    )
    highest = bins[densities.index(peak)]
    told = (
        f"{caption}: highest at {highest.label} {unit}, with {highest.samples:,} of {total:,} "
        f"samples; from {bins[0].label} up to {bins[-1].label}"
    )
    ticks = [
        (100 * left / span, one.tick) for one, left in zip(bins, lefts, strict=True) if one.tick
    ]
    rows = [(one.label, one.samples, share(one.samples, total)) for one in bins]
    return _figure(
        caption,
        f'<svg class="plot {kind}" role="img" aria-label="{escape(told)}" '
        f'viewBox="0 0 {span:.3f} 100" preserveAspectRatio="none">{rects}</svg>',
        (f"{peak:,.0f}", "0"),
        ticks,
        f"{unit}; height: samples an octave",
        table(caption, (unit, "samples", "share"), rows),
    )


def curve(caption: str, unit: str, points: Sequence[tuple[int, int]], beside: Html) -> Html:
    """A falling curve of positive numbers on two logarithmic axes, and its table to unfold."""
    points = [point for point in points if min(point) > 0]
    if not points:
        return Html(f'<p class="none">{escape(caption)}: none.</p>')
    last, high = max(x for x, _ in points), max(y for _, y in points)
    width, height = math.log10(max(last, 2)), math.log10(max(high, 2))
    line = " ".join(
        f"{100 * math.log10(x) / width:.2f},{100 - 100 * math.log10(y) / height:.2f}"
        for x, y in points
    )
    ticks = [(100 * n / width, f"{10**n:,}") for n in range(int(width) + 1)]
    told = f"{caption}: from {points[0][1]:,} at {points[0][0]:,} to {points[-1][1]:,} at {last:,}"
    return _figure(
        caption,
        f'<svg class="plot line" role="img" aria-label="{escape(told)}" viewBox="0 0 100 100" '
        f'preserveAspectRatio="none"><polyline points="{line}"/></svg>',
        (f"{high:,}", "1"),
        ticks,
        unit,
        beside,
    )


def _figure(
    caption: str,
    svg: str,
    ends: tuple[str, str],
    ticks: Sequence[tuple[float, str]],
    unit: str,
    beside: Html,
) -> Html:
    """A plot with its axes; `ticks` are per cent of the width, `ends` top and bottom."""
    while len(ticks) > _MOST_TICKS:
        ticks = ticks[::2]
    marks = "".join(
        f'<span class="{"end" if at > 90 else "mid" if at > 4 else ""}" style="left:{at:.2f}%">'
        f"{escape(text)}</span>"
        for at, text in ticks
    )
    return Html(
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<div class="frame"><div class="ends" aria-hidden="true"><span>{escape(ends[0])}</span>'
        f"<span>{escape(ends[1])}</span></div>{svg}"
        f'<div class="axis" aria-hidden="true">{marks}</div>'
        f'<div class="unit" aria-hidden="true">{escape(unit)}</div></div>'
        f'<details><summary>As a table<span class="hidden">: {escape(caption)}</span></summary>'
        f"{beside}</details></figure>"
    )
