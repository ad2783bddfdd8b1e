"""A manifest's statistics → one self-contained HTML page: plots, and tables beside them."""

import bisect
import importlib.resources
from collections.abc import Sequence
from typing import Final

from dataservice.prepare.counts import LENGTH_EDGES
from dataservice.prepare.report.plots import (
    Bin,
    Cell,
    Html,
    bar,
    curve,
    escape,
    histogram,
    quoted,
    table,
)
from dataservice.prepare.report.plots import share as per_cent
from dataservice.prepare.report.schema import Ratios, Stats, parse_stats
from shards.manifest import Manifest, dump_manifest

# should a text ever get out of its quotes, it still could load and run nothing
PAGE_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_EIGHTH_OCTAVE: Final = 2**0.125
_UNITS: Final = {"characters": "characters", "tokens": "tokens, tags apart"}


def report_page(name: str, manifest: Manifest) -> str:
    """The report of a version, which needs nothing but itself.

    Raises:
        BuildError: when the manifest's statistics are not those of this release.
    """
    stats = parse_stats(manifest.stats, f"data set {name!r}")
    sections = {
        "Funnel": _funnel(stats),
        "Examples of what was dropped": _examples(stats),
        "Lengths": _lengths(stats),
        "Length ratio": _ratios(stats),
        "Languages": _languages(stats),
        "Duplicates": _duplicates(stats),
        "Characters": _characters(stats),
        "Tokens": _tokens(stats),
        "Vocabulary": _vocabulary(stats),
        "Texts too long": _cut(stats),
        "Authors": _authors(stats),
        "Sources": _sources(stats),
    }
    links = "".join(
        f'<li><a href="#part-{number}">{escape(title)}</a></li>'
        for number, title in enumerate(sections)
    )
    body = "".join(
        f'<section aria-labelledby="part-{number}"><h2 id="part-{number}">{escape(title)}</h2>'
        f"{''.join(parts)}</section>"
        for number, (title, parts) in enumerate(sections.items())
    )
    css = (
        importlib.resources.files("dataservice.prepare.report")
        .joinpath("page.css")
        .read_text("utf-8")
    )
    title = escape(f"Report of data set {name}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{PAGE_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="referrer" content="no-referrer">\n<title>{title}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>\n{css}</style>\n</head>\n<body>\n'
        f'<a class="hidden skip" href="#main">To the report</a>\n<header><h1>{title}</h1>\n'
        f"<p>{_headline(manifest)}</p>\n{_facts(stats)}\n"
        f'<nav aria-label="Parts of the report"><ul>{links}</ul></nav></header>\n'
        f'<main id="main">{body}</main>\n<footer>Written by the build beside the manifest of its '
        "version. The same numbers are in <code>dataset_stats.json</code>.</footer>\n"
        "</body>\n</html>\n"
    )


def _headline(manifest: Manifest) -> str:
    kind = " → ".join(map(escape, manifest.languages.values()))
    texts = "pairs" if manifest.has_target else "texts without translations"
    vocabulary = escape(manifest.tokenizer.vocab_size)
    version = dump_manifest(manifest)[1]
    return (
        f"{texts}, {kind}; a vocabulary of {vocabulary} pieces; version "
        f'<code class="version">{version}</code>'
    )


def _kind(stats: Stats) -> str:
    """What is counted."""
    return "pairs" if "tgt" in stats["languages"] else "texts"


def _facts(stats: Stats) -> str:
    funnel = stats["funnel"]
    facts: dict[str, Cell] = {
        "read": funnel["read"],
        "kept": funnel["kept"],
        "of what was read": per_cent(funnel["kept"], funnel["read"]),
        "train": funnel["train"],
        "val": funnel["val"],
        "characters covered": f"{stats['characters']['covered_share']:.3%}",
    }
    parts = (f"<div><dt>{escape(term)}</dt><dd>{escape(n)}</dd></div>" for term, n in facts.items())
    return f'<dl class="facts">{"".join(parts)}</dl>'


def _funnel(stats: Stats) -> list[Html]:
    funnel = stats["funnel"]
    read = funnel["read"]
    dropped = sorted(funnel["dropped"].items(), key=lambda item: (-item[1], item[0]))
    steps = [
        ("read", read),
        *((f"dropped: {reason}", number) for reason, number in dropped),
        *((f"kept: {split}", funnel[split]) for split in ("train", "val")),
    ]
    rows = [(name, n, per_cent(n, read), bar(n, read)) for name, n in steps]
    changes = sorted(stats["changes"].items(), key=lambda item: (-item[1], item[0]))
    changed = funnel["changed_by_cleaning"]
    return [
        table(
            "From what was read to what is kept", ("what", _kind(stats), "of those read", ""), rows
        ),
        table(
            "What cleaning changed",
            ("change", _kind(stats), "of those read"),
            [(name, n, per_cent(n, read)) for name, n in (("any", changed), *changes)],
        ),
    ]


def _examples(stats: Stats) -> list[Html]:
    codes = [(side, language["code"]) for side, language in sorted(stats["languages"].items())]
    headers = [code for _, code in codes]
    parts = []
    for reason, examples in sorted(stats["examples"].items()):
        rows = [
            [*(quoted(one[side], code) for side, code in codes), quoted(one["source"])]
            for one in examples
        ]
        shown = table(reason, (*headers, "source"), rows)
        number = stats["funnel"]["dropped"].get(reason, 0)
        parts.append(
            Html(
                f"<details><summary>{escape(reason)} ({escape(number)})</summary>"
                f'<div class="texts">{shown}</div></details>'
            )
        )
    return parts or [Html('<p class="none">Nothing was dropped.</p>')]


def _lengths(stats: Stats) -> list[Html]:
    lengths = stats["lengths"]
    plots = []
    for what, unit in _UNITS.items():
        sides: dict[str, list[int]] = lengths[what]  # type: ignore[literal-required]
        for side, counts in sorted(sides.items()):
            caption = f"{_name(stats, side)}: {what} of a text"
            bins = _length_bins(lengths["edges"], counts)
            plots.append(histogram(caption, unit, bins, kind="tgt" if side == "tgt" else "src"))
    return [Html(f'<div class="grid">{"".join(plots)}</div>')]


def _name(stats: Stats, side: str) -> str:
    """A side and its language."""
    language = stats["languages"].get(side)  # type: ignore[call-overload]
    return f"{side} ({language['code']})" if language else side


def _length_bins(edges: Sequence[int], counts: Sequence[int]) -> list[Bin]:
    bins = []
    for number, (edge, count) in enumerate(zip(edges, counts, strict=False)):
        end = edges[number + 1] if number + 1 < len(edges) else None
        label = f"{edge:,} on" if end is None else f"{edge:,} to {end - 1:,}"
        label = f"{edge:,}" if end == edge + 1 else label
        is_power = edge & (edge - 1) == 0
        if 0 < edge < (end or 2 * edge):  # kept texts are not empty
            tick = f"{edge:,}" if is_power else ""
            bins.append(Bin(label, tick, edge, end or 1.2 * edge, count))
    return bins


def _ratios(stats: Stats) -> list[Html]:
    if "tgt" not in stats["languages"]:
        return [Html('<p class="none">Texts stand alone here.</p>')]
    caption = "Characters of the translation for each character of the source"
    return [histogram(caption, "tgt over src", _ratio_bins(stats["ratios"]))]


def _ratio_bins(ratios: Ratios) -> list[Bin]:
    edges, bins = ratios["edges"], list[Bin]()
    for number, (edge, count) in enumerate(zip(edges, ratios["counts"], strict=False)):
        end = edges[number + 1] if number + 1 < len(edges) else None
        label = f"{edge:.3g} on" if end is None else f"{edge:.3g} to {end:.3g}"
        tick = f"{edge:g}" if edge in (0.125, 0.25, 0.5, 1, 2, 4, 8) else ""
        start = edge or (end or 1) / _EIGHTH_OCTAVE  # the first bin begins at nothing
        if 0 < start < (end or 2 * start):
            bins.append(Bin(label, tick, start, end or start * _EIGHTH_OCTAVE, count))
    return bins


def _languages(stats: Stats) -> list[Html]:
    parts = []
    for side, language in sorted(stats["languages"].items()):
        scripts = sorted(language["scripts"].items(), key=lambda item: (-item[1], item[0]))
        total = sum(language["scripts"].values())
        rows = [(_script(script), n, per_cent(n, total), bar(n, total)) for script, n in scripts]
        caption = f"{side} ({language['code']}): characters by script"
        parts.append(table(caption, ("script", "characters", "share", ""), rows))
    return [Html(f'<div class="grid">{"".join(f"<div>{part}</div>" for part in parts)}</div>')]


def _script(name: str) -> str:
    """As people write it: Cyrillic, but CJK."""
    return name if len(name) <= len("CJK") else name.capitalize()


def _duplicates(stats: Stats) -> list[Html]:
    rows: list[Sequence[Cell]] = []
    for reason, found in sorted(stats["duplicates"].items()):
        groups = sorted((int(edge), number) for edge, number in found["groups"].items())
        sizes = ", ".join(f"{number:,} of {_bin(edge)}" for edge, number in groups)
        rows.append((reason, found["dropped"], sizes or "–"))
    return [table("What was there already", ("reason", "dropped", "groups, by size"), rows)]


def _bin(edge: int) -> str:
    """The sizes that are counted together with the least of them."""
    behind = bisect.bisect_right(LENGTH_EDGES, edge)
    if behind == len(LENGTH_EDGES):
        return f"{edge:,} and more"
    most = LENGTH_EDGES[behind] - 1
    return f"{edge:,}" if most == edge else f"{edge:,} to {most:,}"


def _characters(stats: Stats) -> list[Html]:
    coverage = stats["characters"]
    rows = [
        (quoted(one["char"]), one["point"], one["name"], one["count"])
        for one in coverage["uncovered"]
    ]
    return [
        Html(
            f"<p>Pieces of the vocabulary have {coverage['covered_share']:.3%} of "
            f"{escape(coverage['total'])} characters ({escape(coverage['distinct'])} different "
            "ones). Others are spelled in bytes: nothing is lost, but they cost more tokens.</p>"
        ),
        table(
            "Most frequent characters without a piece",
            ("character", "code point", "name", "count"),
            rows,
        ),
    ]


def _tokens(stats: Stats) -> list[Html]:
    rows = [
        (
            code,
            one["tokens"],
            one["tokens_per_char"],
            one["tokens_per_word"],
            one["bytes_per_token"],
            f"{one['byte_fallback_share']:.3%}",
            one["characters"],
            one["words"],
        )
        for code, one in sorted(stats["fertility"].items())
    ]
    headers = ("language", "tokens", "a character", "a word", "bytes a token")
    more = ("spelled in bytes", "characters", "words")
    return [table("Tokens by language, tags apart", (*headers, *more), rows)]


def _vocabulary(stats: Stats) -> list[Html]:
    use = stats["vocabulary"]
    rows = [(one["rank"], one["count"], f"{one['share']:.2%}") for one in use["ranks"]]
    caption = "How often the piece at each rank is used"
    points = [(one["rank"], one["count"]) for one in use["ranks"]]
    return [
        Html(
            f"<p>{escape(use['used'])} of {escape(use['size'])} pieces are used, "
            f"{escape(use['used_once'])} of them once; {use['byte_fallback_share']:.3%} of the "
            "tokens are bytes.</p>"
        ),
        curve(
            caption,
            "rank, by frequency",
            points,
            table(caption, ("rank", "uses", "tokens up to this rank"), rows),
        ),
    ]


def _cut(stats: Stats) -> list[Html]:
    cut = stats["cut"]
    rows = [(f"longest kept: {side}", n) for side, n in sorted(cut["longest_kept_tokens"].items())]
    return [
        Html(
            f"<p>{escape(cut['cut'])} texts were cut: what is kept is kept whole. Dropped as "
            f"too long: {escape(sum(cut['dropped'].values()))}.</p>"
        ),
        table("Longest texts", ("what", "tokens, tags apart"), rows),
    ]


def _authors(stats: Stats) -> list[Html]:
    largest = max((one["train"] + one["val"] for one in stats["authors"]), default=0)
    rows = [
        (
            quoted(one["name"] or "(no tag of their own)"),
            one["train"],
            one["val"],
            bar(one["train"] + one["val"], largest),
        )
        for one in stats["authors"]
    ]
    return [table("Samples by author's tag", ("author", "train", "val", ""), rows)]


def _sources(stats: Stats) -> list[Html]:
    rows = [
        (
            quoted(name),
            one["read"],
            sum(one["dropped"].values()),
            one["kept"].get("train", 0),
            one["kept"].get("val", 0),
        )
        for name, one in sorted(stats["sources"].items())
    ]
    parts = [table("By source", ("source", "read", "dropped", "train", "val"), rows)]
    if beyond := stats["sources_beyond"]:
        parts.append(Html(f'<p class="muted">And {escape(beyond)} smaller sources.</p>'))
    return parts
