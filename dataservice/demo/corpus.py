"""A number of pairs and a seed -> the built-in Russian-English demo pairs, in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Final

from dataservice.demo.lexicon import authors, cities
from dataservice.demo.templates import Template, templates

WRITTEN_SOURCE: Final = "demo-written"
GENERATED_SOURCE: Final = "demo-generated"

_FIRST_YEAR: Final = 2010
_LAST_YEAR: Final = 2026
_AUTHOR_SHARE: Final = 0.9
_CITY_SHARE: Final = 0.8
_YEAR_SHARE: Final = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPair:
    """A sentence in Russian and in English, and what is known about where it comes from."""

    ru: str
    en: str
    source: str
    author: str | None
    city: str | None
    year: int | None


def demo_pairs(num_pairs: int = 10_000, seed: int = 0) -> Iterator[DemoPair]:
    """The first `num_pairs` pairs: the written ones in file order, then generated ones.

    All pairs differ in Russian and in English, and a smaller number with the same seed gives
    a prefix of a larger one. Raises ValueError when `num_pairs` is below 1 or above max_pairs().
    """
    if not 1 <= num_pairs <= max_pairs():
        raise ValueError(
            f"num_pairs must be between 1 and {max_pairs()} "
            f"(what the written pairs and the templates can give), got {num_pairs}"
        )
    return _stream(num_pairs, seed)


@cache
def written_pairs() -> tuple[DemoPair, ...]:
    """The hand-written pairs, in file order."""
    text = resources.files(__package__).joinpath("written.jsonl").read_text(encoding="utf-8")
    return tuple(_written(line) for line in text.splitlines())


def max_pairs() -> int:
    """The largest number of pairs that demo_pairs() promises to give."""
    return len(written_pairs()) + sum(template.capacity for template in templates())


def _written(line: str) -> DemoPair:
    row = json.loads(line)
    return DemoPair(
        ru=row["ru"],
        en=row["en"],
        source=WRITTEN_SOURCE,
        author=row.get("author"),
        city=row.get("city"),
        year=row.get("year"),
    )


def _stream(num_pairs: int, seed: int) -> Iterator[DemoPair]:
    seen: set[str] = set()
    left = num_pairs
    for pair in written_pairs()[:num_pairs]:
        seen.update((pair.ru, pair.en))
        left -= 1
        yield pair
    rng = Random(seed)
    for ru, en in _sentences(rng) if left else ():
        if ru in seen or en in seen:
            continue
        seen.update((ru, en))
        yield _signed(ru, en, rng)
        left -= 1
        if not left:
            return
    if left:
        raise ValueError(f"the templates ran out {left} pairs short of num_pairs={num_pairs}")


def _sentences(rng: Random) -> Iterator[tuple[str, str]]:
    """Every generated sentence pair once: rounds that take one pair from each template."""
    decks = [_Deck(template, rng) for template in templates()]
    while decks:
        for deck in _shuffled(decks, rng):
            yield deck.draw()
        decks = [deck for deck in decks if deck.left]


class _Deck:
    """The sentence numbers of one template, drawn at random without replacement."""

    def __init__(self, template: Template, rng: Random) -> None:
        self._template = template
        self._rng = rng
        self._moved: dict[int, int] = {}
        self.left = template.capacity

    def draw(self) -> tuple[str, str]:
        """One more sentence pair."""
        # A shuffle that stores only the cards it has moved: the decks are huge.
        self.left -= 1
        position = _below(self._rng, self.left + 1)
        last = self._moved.pop(self.left, self.left)
        number = last if position == self.left else self._moved.get(position, position)
        if position != self.left:
            self._moved[position] = last
        return self._template.render(number)


def _signed(ru: str, en: str, rng: Random) -> DemoPair:
    # Always three draws and three picks, so that no share changes what comes after it.
    has_author, has_city, has_year = (rng.random() for _ in range(3))
    author = authors()[_below(rng, len(authors()))]
    city = cities()[_below(rng, len(cities()))]
    year = _FIRST_YEAR + _below(rng, _LAST_YEAR - _FIRST_YEAR + 1)
    return DemoPair(
        ru=ru,
        en=en,
        source=GENERATED_SOURCE,
        author=author if has_author < _AUTHOR_SHARE else None,
        city=city if has_city < _CITY_SHARE else None,
        year=year if has_year < _YEAR_SHARE else None,
    )


def _shuffled(decks: list[_Deck], rng: Random) -> list[_Deck]:
    order = list(decks)
    for last in range(len(order) - 1, 0, -1):
        other = _below(rng, last + 1)
        order[last], order[other] = order[other], order[last]
    return order


def _below(rng: Random, limit: int) -> int:
    # Of Random's methods only random() is promised to repeat itself in every Python version.
    return int(rng.random() * limit)
