"""Addresses and numbers of people in texts → masked; all else stays."""

import pytest

from dataservice.prepare.filters import Side
from dataservice.prepare.mask import mask_personal, mask_texts


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Пишите на ivan.petrov+x@mail.example.ru, ответим.", "Пишите на <email>, ответим."),
        ("<a_b@example.org>", "<<email>>"),
        ("mailto:a@b.example.com?subject=x", "mailto:<email>?subject=x"),
        ("Звоните: +7 (861) 123-45-67.", "Звоните: <phone>."),
        ("+44 20 7946 0958 or 8 (861) 123-45-67", "<phone> or <phone>"),
        ("Call 8-861-123-45-67!", "Call <phone>!"),
        ("tel (212) 555-0123 now", "tel <phone> now"),
        ("+78611234567", "<phone>"),
        ("0049 30 1234567", "<phone>"),
    ],
)
def test_addresses_and_numbers_of_people_are_masked(text: str, masked: str) -> None:
    assert mask_personal(text) == masked
    assert mask_personal(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "user@localhost",
        "%s@%s",
        "a @ b . c",
        "@someone says",
        "version 1.2.3.4567890",
        "1970-01-01 00:00:00 UTC",
        "10 000 000 000 bytes",
        "ISBN 978-3-16-148410-0",
        "192.168.100.200",
        "0x12345678901234",
        "8 (2024)",
        "+5 -3 = 2",
        "12345678901234567890",
        "x=+12345678901",
        "1 2 3 4 5 6 7 8 9 10 11 12",
    ],
)
def test_other_signs_and_numbers_stay(text: str) -> None:
    assert mask_personal(text) == text


def test_a_side_is_masked_as_each_of_its_texts_and_counted() -> None:
    texts = ["a@b.example.org", "none", "", "+7 (861) 123-45-67", "at @ all", "1234567890123"]
    masked, changed = mask_texts(Side(texts, "en"))
    assert masked == list(map(mask_personal, texts))
    assert changed.tolist() == [True, False, False, True, False, False]
    assert texts[0] == "a@b.example.org"
