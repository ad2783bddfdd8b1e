"""Authors, cities and years of pairs → tag symbols of the vocabulary, and ids for each pair."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Final

from dataservice.prepare.pair import Pairs
from dataservice.prepare.rows import Labels
from dataservice.prepare.text.clean import clean
from dataservice.settings import BuildSettings
from shards.sample import TAG_KINDS, safe_name, tag_symbol

_MOST_NAMES: Final = 100_000


class TagCounts:
    """How many samples carry each name, by kind of tag; of very many names the frequent ones."""

    def __init__(self) -> None:
        self.by_kind: dict[str, Counter[str]] = {kind: Counter() for kind in TAG_KINDS}

    def add(self, part: Mapping[str, Counter[str]]) -> None:
        """Add the next partition's; in the same order the same names are forgotten."""
        for kind, counter in part.items():
            total = self.by_kind[kind]
            total.update(counter)
            if len(total) > 2 * _MOST_NAMES:
                ranked = sorted(total.items(), key=lambda item: (-item[1], item[0]))
                self.by_kind[kind] = Counter(dict(ranked[:_MOST_NAMES]))


def default_names(settings: BuildSettings) -> dict[str, str]:
    """What a pair is tagged with, by kind, where its source names nothing."""
    return {
        "author": settings.default_author,
        "city": settings.default_city,
        "year": str(settings.default_year),
    }


def choose_tag_symbols(
    counts: Mapping[str, Counter[str]], settings: BuildSettings
) -> tuple[str, ...]:
    """The tag symbols of a vocabulary: fallbacks, defaults, the most frequent names, years.

    Years from this data set's own outwards fill up to `min_tags`, so that later texts find
    theirs. `counts` holds, for each kind of tag, how many samples carry each name.
    """
    limits = {"author": settings.max_authors, "city": settings.max_cities, "year": 300}
    defaults = default_names(settings)
    symbols = {tag_symbol(kind): None for kind in TAG_KINDS}
    for kind in TAG_KINDS:
        symbols[tag_symbol(kind, defaults[kind])] = None
        named = Counter[str]()
        for name, number in counts[kind].items():
            named[name or defaults[kind]] += number
        ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))
        for name, _ in ranked[: limits[kind]]:
            symbols[tag_symbol(kind, name)] = None
    for year in sorted(range(10_000), key=lambda year: (abs(year - settings.default_year), -year)):
        if len(symbols) >= settings.min_tags:
            break
        symbols[tag_symbol("year", str(year))] = None
    return tuple(symbols)


def tag_ids(
    tags: Labels, symbols: Mapping[str, int], defaults: Mapping[str, str]
) -> tuple[int, int, int]:
    """Three ids for a pair; a name without a symbol of its own falls back to its kind's."""

    def one(kind: str, name: str) -> int:
        symbol = tag_symbol(kind, name or defaults[kind])
        return symbols.get(symbol, symbols[tag_symbol(kind)])

    return one("author", tags.author), one("city", tags.city), one("year", tags.year)


def labels_of_pairs(pairs: Pairs) -> list[str]:
    """The labels of each pair, dumped and token-safe; every spelling is looked at once."""
    safe, cleaned = cache(safe_name), cache(clean)

    @cache
    def dumped(author: str | None, city: str | None, year: str | None, source: str | None) -> str:
        return Labels(
            safe(author or ""), safe(city or ""), safe(year or ""), cleaned(source or "")
        ).dump()

    return list(map(dumped, pairs.author, pairs.city, pairs.year, pairs.source))
