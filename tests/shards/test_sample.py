"""Texts, names and ids → the identities that the contract promises."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.sample import (
    MAX_NAME_CHARS,
    combine_digests,
    ids_digest,
    normalize_text,
    pair_id,
    pair_key,
    safe_name,
    split_tags,
    tag_symbol,
)

pair_ids = st.lists(st.integers(0, 2**64 - 1), max_size=30)


def digest(ids: list[int]) -> str:
    return ids_digest(np.array(ids, np.uint64))


@given(st.text())
def test_normalizing_twice_changes_nothing_more(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once
    assert "\u2581" not in once
    assert once == once.strip()
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n", ""),
        ("а\u00a0 б\u2003в", "а б в"),
        ("и\u0306", "й"),
        ("e\u0301te\u0301", "été"),
        ("\u2581два", "_два"),
        ("уже так", "уже так"),
    ],
)
def test_normalizing_gives_one_spelling(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [(("ab", "c"), ("a", "bc")), (("", "a"), ("a", "")), (("a b", ""), ("a", "b"))],
)
def test_a_pair_key_knows_where_one_side_ends(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert pair_key(*one) != pair_key(*other)


def test_a_pair_key_is_the_same_today_and_tomorrow() -> None:
    key = pair_key("Привет", "Hello")
    assert key.hex() == "1c6683bb94eca8a4e8f6a99f62d1fdfd"
    assert pair_id(key) == int(key.hex()[:16], 16)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MagistrTheOne", "MagistrTheOne"),
        ("Анна Ахматова", "Анна_Ахматова"),
        ("  two   words ", "two_words"),
        ("<b>bold</b>", "b_bold_b"),
        ("<author_X>", "author_X"),
        ("a@b.example", "a_b.example"),
        ("anna.k+list@mail.example", "anna.k+list_mail.example"),
        ("и\u0306од", "йод"),
        ("line\nbreak", "line_break"),
        ("", ""),
        ("<>", ""),
        ("...", ""),
        ("-_-", ""),
        ("\u2581", ""),
        ("x" * 500, "x" * MAX_NAME_CHARS),
        ("a" * (MAX_NAME_CHARS - 1) + ".b", "a" * (MAX_NAME_CHARS - 1)),
        ("2025", "2025"),
    ],
)
def test_a_safe_name_keeps_what_a_tag_can_hold(name: str, expected: str) -> None:
    assert safe_name(name) == expected


@given(st.text(max_size=80))
def test_a_safe_name_never_ends_a_tag_early(name: str) -> None:
    safe = safe_name(name)
    assert len(safe) <= MAX_NAME_CHARS
    assert not any(char.isspace() or char in "<>\u2581," for char in safe)
    assert safe_name(safe) == safe
    if safe:
        assert split_tags(f"{tag_symbol('author', safe)} text") == ({"author": safe}, "text")


@pytest.mark.parametrize(
    ("text", "tags", "rest"),
    [
        ("<author_X> hi", {"author": "X"}, "hi"),
        (
            "<author_Анна_А> <city_Омск> <year_1999> текст",
            {"author": "Анна_А", "city": "Омск", "year": "1999"},
            "текст",
        ),
        ("<author_X><year_1>hi", {"author": "X", "year": "1"}, "hi"),
        ("<author> hi", {"author": ""}, "hi"),
        ("  <city_Y>   hi", {"city": "Y"}, "hi"),
        ("<year_1> <year_2> hi", {"year": "2"}, "hi"),
        ("hi <author_X>", {}, "hi <author_X>"),
        ("<b> hi", {}, "<b> hi"),
        ("<author_X hi", {}, "<author_X hi"),
        ("<author_> hi", {}, "<author_> hi"),
        ("", {}, ""),
        ("<author_X>", {"author": "X"}, ""),
    ],
)
def test_leading_tags_are_split_off(text: str, tags: dict[str, str], rest: str) -> None:
    assert split_tags(text) == (tags, rest)


@pytest.mark.parametrize(
    ("kind", "name", "symbol"),
    [("author", "X", "<author_X>"), ("city", "", "<city>"), ("year", None, "<year>")],
)
def test_a_tag_without_a_name_is_the_fallback(kind: str, name: str | None, symbol: str) -> None:
    assert tag_symbol(kind, name) == symbol


@given(st.data(), pair_ids)
def test_a_digest_does_not_depend_on_order(data: st.DataObject, ids: list[int]) -> None:
    assert digest(data.draw(st.permutations(ids))) == digest(ids)


@given(st.lists(pair_ids, max_size=5))
def test_combined_digests_are_the_digest_of_the_union(parts: list[list[int]]) -> None:
    union = [number for part in parts for number in part]
    assert combine_digests([digest(part) for part in parts]) == digest(union)


@given(pair_ids.filter(bool), st.data())
def test_a_lost_a_repeated_and_a_changed_id_change_the_digest(
    ids: list[int], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(ids) - 1))
    changed = [*ids[:place], ids[place] ^ 1, *ids[place + 1 :]]
    assert digest(changed) != digest(ids)
    if ids[place]:
        assert digest(ids[:place] + ids[place + 1 :]) != digest(ids)
        assert digest([*ids, ids[place]]) != digest(ids)
