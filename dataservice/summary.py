"""The statistics of a version → a few tables for a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from dataservice.prepare.report.plots import share
from dataservice.prepare.report.schema import Stats


def print_tables(stats: Stats, url: str) -> None:
    """The funnel, and what tells whether the text and the vocabulary fit; the page has the rest."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(url)
    funnel = stats["funnel"]
    read = funnel["read"]
    dropped = sorted(funnel["dropped"].items(), key=lambda item: (-item[1], item[0]))
    steps = [
        ("read", read),
        *((f"dropped: {reason}", number) for reason, number in dropped),
        ("kept: train", funnel["train"]),
        ("kept: val", funnel["val"]),
    ]
    kind = "pairs" if "tgt" in stats["languages"] else "texts"
    _print(console, (kind, "", ""), [(name, f"{n:,}", share(n, read)) for name, n in steps])
    rows = [
        (
            code,
            f"{one['characters']:,}",
            f"{one['tokens']:,}",
            f"{one['tokens_per_char']:.3f}",
            f"{one['tokens_per_word']:.3f}",
            f"{one['byte_fallback_share']:.3%}",
        )
        for code, one in sorted(stats["fertility"].items())
    ]
    headers = ("language", "characters", "tokens", "a character", "a word", "in bytes")
    _print(console, headers, rows)
    use, characters = stats["vocabulary"], stats["characters"]
    longest = stats["cut"]["longest_kept_tokens"]
    console.print(
        f"pieces have {characters['covered_share']:.3%} of the characters; {use['used']:,} of "
        f"{use['size']:,} pieces are used; longest kept: "
        + ", ".join(f"{n:,} {side} tokens" for side, n in sorted(longest.items()))
    )


def _print(console: Console, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="")
    for number, header in enumerate(headers):
        table.add_column(header, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
