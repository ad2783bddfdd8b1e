"""Language codes and characters → their scripts."""

import pytest

from shards.languages import possible_scripts_of, script_of, scripts_of


@pytest.mark.parametrize(
    ("language", "scripts"),
    [
        ("ru", {"CYRILLIC"}),
        ("de", {"LATIN"}),
        ("sr", {"CYRILLIC"}),
        ("sr-Latn", {"LATIN"}),
        ("pt-BR", {"LATIN"}),
        ("zh-Hant", {"CJK"}),
        ("ja", {"CJK", "HIRAGANA", "KATAKANA"}),
        ("el", {"GREEK"}),
        ("xx", {"LATIN"}),
    ],
)
def test_a_language_has_its_scripts(language: str, scripts: set[str]) -> None:
    assert scripts_of(language) == scripts


@pytest.mark.parametrize(
    ("language", "scripts"),
    [
        ("ru", {"CYRILLIC"}),
        ("sr", {"CYRILLIC", "LATIN"}),
        ("uz", {"CYRILLIC", "LATIN"}),
        ("sr-Cyrl-RS", {"CYRILLIC"}),
        ("sr_Latn", {"LATIN"}),
        ("ko", {"HANGUL", "CJK"}),
        ("ko-Hant", {"CJK"}),
        ("tlh", set()),
    ],
)
def test_a_language_may_have_more_scripts_or_none_that_is_known(
    language: str, scripts: set[str]
) -> None:
    assert possible_scripts_of(language) == scripts


@pytest.mark.parametrize(
    ("char", "script"),
    [
        ("я", "CYRILLIC"),
        ("Ё", "CYRILLIC"),
        ("q", "LATIN"),
        ("ß", "LATIN"),
        ("ω", "GREEK"),
        ("漢", "CJK"),
        ("あ", "HIRAGANA"),
        ("カ", "KATAKANA"),
        ("한", "HANGUL"),
        ("ª", "other letters"),
        ("7", "digits"),
        ("«", "punctuation"),
        ("№", "symbols"),
        ("\u0301", "marks"),
        (" ", "spaces"),
        ("\n", "other"),
        ("\ud800", "other"),
    ],
)
def test_a_character_has_a_script_or_a_kind(char: str, script: str) -> None:
    assert script_of(char) == script
