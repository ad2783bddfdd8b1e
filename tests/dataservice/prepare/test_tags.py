"""What is known of pairs → the tags they get, and the symbols of the vocabulary."""

from collections import Counter
from typing import Any

import pytest

from dataservice.prepare.tags import Tags, choose_tag_symbols, resolve_tags, tag_ids
from dataservice.settings import BuildSettings
from shards.sample import TAG_KINDS


def settings(**values: Any) -> BuildSettings:
    return BuildSettings.model_validate(values)


def counts(**names: dict[str, int]) -> dict[str, Counter[str]]:
    return {kind: Counter(names.get(kind, {})) for kind in TAG_KINDS}


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ((None, None, None), ("MagistrTheOne", "Krasnodar", "2025")),
        (("", "", ""), ("MagistrTheOne", "Krasnodar", "2025")),
        (("<>", " ", "?!"), ("MagistrTheOne", "Krasnodar", "2025")),
        (("А. Блок", "Санкт-Петербург", "1912"), ("А._Блок", "Санкт-Петербург", "1912")),
        (("<author_X>", None, "1912 г."), ("author_X", "Krasnodar", "1912_г")),
        ((None, "Омск", None), ("MagistrTheOne", "Омск", "2025")),
    ],
)
def test_a_pair_has_its_own_tags_or_the_defaults(
    known: tuple[str | None, str | None, str | None], expected: tuple[str, str, str]
) -> None:
    assert resolve_tags(*known, settings()) == Tags(*expected)


def test_the_defaults_are_settings() -> None:
    mine = settings(default_author="Анна К.", default_city="Омск", default_year=1999)
    assert resolve_tags(None, None, None, mine) == Tags("Анна_К", "Омск", "1999")


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
    assert tag_ids(Tags("Неизвестный", "Омск", "1812"), symbols) == (
        symbols["<author>"],
        symbols["<city_Омск>"],
        symbols["<year>"],
    )
    assert tag_ids(Tags("MagistrTheOne", "Krasnodar", "2025"), symbols) == (
        symbols["<author_MagistrTheOne>"],
        symbols["<city_Krasnodar>"],
        symbols["<year_2025>"],
    )
