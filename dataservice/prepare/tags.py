"""Authors, cities and years of pairs → tag symbols of the vocabulary, and ids for each pair."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dataservice.settings import BuildSettings
from shards.sample import TAG_KINDS, safe_name, tag_symbol


@dataclass(frozen=True, slots=True)
class Tags:
    """Token-safe author, city and year of one pair."""

    author: str
    city: str
    year: str


def resolve_tags(
    author: str | None, city: str | None, year: str | None, settings: BuildSettings
) -> Tags:
    """A pair's own tags made token-safe, and the configured defaults where it has none."""
    return Tags(
        author=safe_name(author or "") or settings.default_author,
        city=safe_name(city or "") or settings.default_city,
        year=safe_name(year or "") or str(settings.default_year),
    )


def choose_tag_symbols(
    counts: Mapping[str, Counter[str]], settings: BuildSettings
) -> tuple[str, ...]:
    """The tag symbols of a vocabulary: fallbacks, defaults, the most frequent names, years.

    Years from this data set's own outwards fill up to `min_tags`, so that later texts find
    theirs. `counts` holds, for each kind of tag, how many samples carry each name.
    """
    limits = {"author": settings.max_authors, "city": settings.max_cities, "year": 300}
    defaults = {
        "author": settings.default_author,
        "city": settings.default_city,
        "year": str(settings.default_year),
    }
    symbols = {tag_symbol(kind): None for kind in TAG_KINDS}
    for kind in TAG_KINDS:
        symbols[tag_symbol(kind, defaults[kind])] = None
        ranked = sorted(counts[kind].items(), key=lambda item: (-item[1], item[0]))
        for name, _ in ranked[: limits[kind]]:
            symbols[tag_symbol(kind, name)] = None
    for year in sorted(range(10_000), key=lambda year: (abs(year - settings.default_year), -year)):
        if len(symbols) >= settings.min_tags:
            break
        symbols[tag_symbol("year", str(year))] = None
    return tuple(symbols)


def tag_ids(tags: Tags, symbols: Mapping[str, int]) -> tuple[int, int, int]:
    """Three ids for a pair; a name without a symbol of its own falls back to its kind's."""

    def one(kind: str, name: str) -> int:
        return symbols.get(tag_symbol(kind, name), symbols[tag_symbol(kind)])

    return one("author", tags.author), one("city", tags.city), one("year", tags.year)
