"""What is known of pairs → the tags they get, and the symbols of the vocabulary."""

from collections import Counter
from typing import Any

import pytest

from dataservice.prepare import tags
from dataservice.prepare.pair import Pairs
from dataservice.prepare.rows import Labels
from dataservice.prepare.tags import (
    TagCounts,
    choose_tag_symbols,
    default_names,
    labels_of_pairs,
    tag_ids,
)
from dataservice.settings import BuildSettings
from shards.sample import TAG_KINDS

Known = tuple[str | None, str | None, str | None]
DEFAULTS = default_names(BuildSettings())


def settings(**values: Any) -> BuildSettings:
    return BuildSettings.model_validate(values)


def counts(**names: dict[str, int]) -> dict[str, Counter[str]]:
    return {kind: Counter(names.get(kind, {})) for kind in TAG_KINDS}


def labels(known: Known) -> Labels:
    """The labels of one pair of the source `books`."""
    author, city, year = ([name] for name in known)
    pairs = Pairs(src=["а"], tgt=["a"], author=author, city=city, year=year, source=[" books\n"])
    (found,) = labels_of_pairs(pairs)
    return Labels.load(found)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ((None, None, None), ("", "", "")),
        (("", "", ""), ("", "", "")),
        (("<>", " ", "?!"), ("", "", "")),
        (("А. Блок", "Санкт-Петербург", "1912"), ("А._Блок", "Санкт-Петербург", "1912")),
        (("<author_X>", None, "1912 г."), ("author_X", "", "1912_г")),
        ((None, "Омск", None), ("", "Омск", "")),
    ],
)
def test_a_pair_has_its_own_names_made_token_safe(
    known: Known, expected: tuple[str, str, str]
) -> None:
    assert labels(known) == Labels(*expected, "books")


def test_what_no_source_names_gets_the_default_of_the_settings() -> None:
    mine = settings(default_author="Анна К.", default_city="Омск", default_year=1999, min_tags=3)
    symbols = {
        symbol: number
        for number, symbol in enumerate(choose_tag_symbols(counts(author={"": 9, "Б": 1}), mine))
    }
    assert tag_ids(Labels("", "", "", "books"), symbols, default_names(mine)) == (
        symbols["<author_Анна_К>"],
        symbols["<city_Омск>"],
        symbols["<year_1999>"],
    )
    assert "<author_Б>" in symbols


@pytest.mark.parametrize("min_tags", [3, 6, 7, 100, 101, 500, 2000])
def test_there_are_at_least_as_many_tags_as_asked_for(min_tags: int) -> None:
    symbols = choose_tag_symbols(counts(), settings(min_tags=min_tags))
    assert len(symbols) == len(set(symbols)) == max(min_tags, 6)


@pytest.mark.parametrize("year", [0, 5, 2025, 9999])
def test_spare_years_are_the_nearest_ones(year: int) -> None:
    symbols = choose_tag_symbols(counts(), settings(min_tags=9, default_year=year))
    years = [int(symbol[6:-1]) for symbol in symbols if symbol.startswith("<year_")]
    assert len(years) == 4
    assert years[0] == year
    assert all(0 <= found <= 9999 and abs(found - year) <= 3 for found in years)


def test_too_many_spare_years_are_refused() -> None:
    with pytest.raises(ValueError, match="min_tags"):
        settings(min_tags=100_000)


def test_every_kind_has_its_fallback_and_its_default() -> None:
    symbols = choose_tag_symbols(counts(), settings(min_tags=3, max_authors=0, max_cities=0))
    assert set(symbols) == {
        "<author>",
        "<city>",
        "<year>",
        "<author_MagistrTheOne>",
        "<city_Krasnodar>",
        "<year_2025>",
    }


def test_the_most_frequent_names_get_a_symbol_ties_by_name() -> None:
    found = choose_tag_symbols(
        counts(author={"б": 2, "а": 2, "в": 5, "г": 1}), settings(min_tags=3, max_authors=3)
    )
    assert [symbol for symbol in found if symbol.startswith("<author_")] == [
        "<author_MagistrTheOne>",
        "<author_в>",
        "<author_а>",
        "<author_б>",
    ]


def test_the_choice_does_not_depend_on_the_order_of_counting() -> None:
    names = {f"автор{number}": number % 3 for number in range(50)}
    backwards = dict(reversed(names.items()))
    mine = settings(max_authors=20)
    assert choose_tag_symbols(counts(author=names), mine) == choose_tag_symbols(
        counts(author=backwards), mine
    )


def test_years_of_the_text_come_before_spare_ones() -> None:
    symbols = choose_tag_symbols(counts(year={"1812": 3}), settings(min_tags=8))
    assert "<year_1812>" in symbols
    assert len(symbols) == 8


def test_a_name_without_a_symbol_falls_back_to_its_kind() -> None:
    symbols = {
        symbol: number
        for number, symbol in enumerate(
            choose_tag_symbols(counts(city={"Омск": 1}), settings(min_tags=3, max_authors=0))
        )
    }
    assert tag_ids(Labels("Неизвестный", "Омск", "1812", ""), symbols, DEFAULTS) == (
        symbols["<author>"],
        symbols["<city_Омск>"],
        symbols["<year>"],
    )
    assert tag_ids(Labels("MagistrTheOne", "Krasnodar", "2025", ""), symbols, DEFAULTS) == (
        symbols["<author_MagistrTheOne>"],
        symbols["<city_Krasnodar>"],
        symbols["<year_2025>"],
    )


def test_of_very_many_names_the_frequent_ones_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tags, "_MOST_NAMES", 3)
    total = TagCounts()
    for part in range(9):
        total.add(counts(author={"Анна": 5, "Блок": 4, f"имя{part}": 1}))
        assert len(total.by_kind["author"]) <= 6
    assert total.by_kind["author"]["Анна"] == 45
    assert total.by_kind["author"]["Блок"] == 36
