"""Shares of digits and signs in a side → dropped or kept."""

import pytest

from tests.dataservice.prepare.filters.judge import says


@pytest.mark.parametrize(
    ("src", "expected"),
    [("12 аб", False), ("123 аб", True), ("١٢٣ аб", True), ("аб вг 12", False), ("", False)],
)
def test_digits_have_their_limit_in_any_script(src: str, expected: bool) -> None:
    assert says("digits", src, "words", max_digit_share=0.5) is expected
    assert not says("digits", src, "words", max_digit_share=1)


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("+- аб", False),
        ("+-* аб", True),
        ("😀😀😀 аб", True),
        ("+ 1 а", False),
        ("नमस्ते", False),  # its vowel signs are letters
    ],
)
def test_signs_have_their_limit(src: str, expected: bool) -> None:
    assert says("symbols", src, "words", max_symbol_share=0.5) is expected
    assert not says("symbols", src, "words", max_symbol_share=1)
