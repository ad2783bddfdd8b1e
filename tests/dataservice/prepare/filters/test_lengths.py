"""Characters and words of the sides → dropped or kept: every limit and its edge."""

import pytest

from tests.dataservice.prepare.filters.judge import reason, says


def test_a_normal_pair_is_kept() -> None:
    assert reason("Привет, мир!", "Hello, world!") is None


@pytest.mark.parametrize(("src", "tgt"), [("", ""), ("да", ""), ("", "yes")])
def test_an_empty_side_is_told_before_anything_else(src: str, tgt: str) -> None:
    assert reason(src, tgt) == "empty"


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [("да!", "yes", None), ("да", "yes", "too_short"), ("нет", "no", "too_short")],
)
def test_the_shortest_side_has_its_limit(src: str, tgt: str, expected: str | None) -> None:
    assert reason(src, tgt, min_chars=3) == expected


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [(40, 40, False), (41, 40, True), (40, 41, True)],
)
def test_the_longest_side_has_its_limit(src: int, tgt: int, expected: bool) -> None:
    assert says("too_long", "а" * src, "a" * tgt, max_chars=40) is expected


@pytest.mark.parametrize(
    ("src", "tgt", "slack", "expected"),
    [
        (30, 10, 0, False),
        (31, 10, 0, True),
        (10, 30, 0, False),
        (10, 31, 0, True),
        # (54 + 12) = 3 · (10 + 12)
        (54, 10, 12, False),
        (55, 10, 12, True),
        # short texts are excused: (27 + 12) = 3 · (1 + 12)
        (27, 1, 12, False),
        (28, 1, 12, True),
    ],
)
def test_the_ratio_of_the_lengths_has_its_limit(
    src: int, tgt: int, slack: int, expected: bool
) -> None:
    settings = {"max_length_ratio": 3.0, "ratio_slack_chars": slack}
    assert says("length_ratio", "а" * src, "a" * tgt, **settings) is expected


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [("раз два три", "one two three", False), ("раз два", "one two three", True)],
)
def test_the_fewest_words_have_their_limit(src: str, tgt: str, expected: bool) -> None:
    assert says("too_few_words", src, tgt, min_words=3) is expected
    assert not says("too_few_words", src, tgt, min_words=0)


def test_words_are_not_asked_of_a_language_that_writes_none() -> None:
    settings = {"src_lang": "zh", "tgt_lang": "ja"}
    assert not says("too_few_words", "你好世界", "こんにちは", min_words=3, **settings)
    assert not says("long_word", "你" * 300, "こ" * 300, **settings)


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [("раз два три", "one two three", False), ("раз два три", "one two three four", True)],
)
def test_the_most_words_have_their_limit(src: str, tgt: str, expected: bool) -> None:
    assert says("too_many_words", src, tgt, max_words=3) is expected
    assert not says("too_many_words", src, tgt, max_words=0)


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("а" * 10, False),
        ("а" * 11, True),
        (f"да {'а' * 10} да", False),
        (f"да {'а' * 11} да", True),
        (f"{'а' * 11} да", True),
        (f"да {'а' * 11}", True),
        ("да " * 20, False),
    ],
)
def test_the_longest_word_has_its_limit(src: str, expected: bool) -> None:
    assert says("long_word", src, "word", max_word_chars=10) is expected
    assert not says("long_word", src, "word", max_word_chars=0)
