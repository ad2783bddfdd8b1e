"""A cleaned pair → kept, or dropped for a stable reason: every reason and its edges."""

from typing import Any, get_args

import pytest

from dataservice.prepare.filters import DropReason, count_letters, drop_reason, wrong_script
from dataservice.settings import BuildSettings


def reason(ru: str, en: str, **settings: Any) -> str | None:
    return drop_reason(ru, en, BuildSettings.model_validate(settings))


def test_a_normal_pair_is_kept() -> None:
    assert reason("Привет, мир!", "Hello, world!") is None


@pytest.mark.parametrize(("ru", "en"), [("", ""), ("да", ""), ("", "yes")])
def test_empty(ru: str, en: str) -> None:
    assert reason(ru, en) == "empty"


@pytest.mark.parametrize(
    ("ru", "en", "expected"),
    [("да!", "yes", None), ("да", "yes", "too_short"), ("нет", "no", "too_short")],
)
def test_too_short(ru: str, en: str, expected: str | None) -> None:
    assert reason(ru, en, min_chars=3) == expected


@pytest.mark.parametrize(
    ("ru", "en", "expected"),
    [
        ("а" * 40, "a" * 40, None),
        ("а" * 41, "a" * 40, "too_long"),
        ("а" * 40, "a" * 41, "too_long"),
    ],
)
def test_too_long(ru: str, en: str, expected: str | None) -> None:
    assert reason(ru, en, max_chars=40) == expected


@pytest.mark.parametrize(
    ("ru", "en", "slack", "expected"),
    [
        ("а" * 30, "a" * 10, 0, None),
        ("а" * 31, "a" * 10, 0, "length_ratio"),
        ("а" * 10, "a" * 30, 0, None),
        ("а" * 10, "a" * 31, 0, "length_ratio"),
        # (54 + 12) = 3 · (10 + 12)
        ("а" * 54, "a" * 10, 12, None),
        ("а" * 55, "a" * 10, 12, "length_ratio"),
        # short texts are excused: (27 + 12) = 3 · (1 + 12)
        ("а" * 27, "a", 12, None),
        ("а" * 28, "a", 12, "length_ratio"),
    ],
)
def test_length_ratio(ru: str, en: str, slack: int, expected: str | None) -> None:
    assert reason(ru, en, max_length_ratio=3.0, ratio_slack_chars=slack) == expected


@pytest.mark.parametrize(("ru", "en"), [("GNU", "GNU"), ("123", "123"), ("ok!", "ok!")])
def test_identical_sides(ru: str, en: str) -> None:
    assert reason(ru, en) == "identical_sides"


@pytest.mark.parametrize(
    ("ru", "en"), [("123", "124"), ("да", "123"), ("%d", "yes"), ("…", "wait"), ("中文", "Chinese")]
)
def test_no_letters(ru: str, en: str) -> None:
    expected = None if ru == "%d" else "no_letters"  # %d has a Latin letter
    assert reason(ru, en) == (expected or "wrong_script")


@pytest.mark.parametrize(
    ("ru", "en", "expected"),
    [
        ("Hello, world!", "Привет, мир!", "wrong_script"),  # the sides are swapped
        ("Hello there", "Hello, world!", "wrong_script"),
        ("Привет, мир!", "Привет, миры!", "wrong_script"),
        # exactly half of the letters are enough
        ("абвabc", "words", None),
        ("абвabcd", "words", "wrong_script"),
        ("слова", "abcабв", None),
        ("слова", "abcабвг", "wrong_script"),
        # fewer than three letters: one of the own script will do
        ("я x", "I", None),
        ("OK", "O.K.", "wrong_script"),
        ("ок", "да", "wrong_script"),
    ],
)
def test_wrong_script(ru: str, en: str, expected: str | None) -> None:
    assert reason(ru, en, min_script_share=0.5) == expected


@pytest.mark.parametrize(
    ("own", "other", "share", "wrong"),
    [
        (0, 1, 0.5, True),
        (1, 1, 0.9, False),
        (0, 2, 0.0, True),
        (0, 3, 0.0, False),
        (9, 1, 0.9, False),
        (8, 2, 0.9, True),
        (10, 0, 1.0, False),
        (9, 1, 1.0, True),
    ],
)
def test_the_share_of_a_script_has_its_edge(
    own: int, other: int, share: float, wrong: bool
) -> None:
    assert wrong_script(own, other, share) is wrong


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", (0, 0)),
        ("Ёжик", (4, 0)),
        ("naïve Ærø", (0, 8)),
        ("і ї є ґ ў", (5, 0)),
        ("абв abc 123 — №", (3, 3)),
        ("αβγ 中文 ªº", (0, 0)),
        ("аа AA", (2, 2)),
    ],
)
def test_letters_are_counted_by_script(text: str, counts: tuple[int, int]) -> None:
    assert count_letters(text) == counts


def test_the_reasons_are_the_documented_ones_in_their_order() -> None:
    assert get_args(DropReason) == (
        "empty",
        "too_short",
        "too_long",
        "length_ratio",
        "no_letters",
        "wrong_script",
        "identical_sides",
        "duplicate",
        "id_collision",
        "val_target_in_train",
        "too_many_tokens",
    )
