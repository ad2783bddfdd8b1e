"""Language codes and characters → the scripts that they are written in, by Unicode's own names."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

LANGUAGES: Final = {
    "LATIN": "af az bs ca cs cy da de en eo es et eu fi fr ga gl hr hu id is it lt lv ms mt nb nl "
    "nn no pl pt ro sk sl sq sv sw tl tr uz vi",
    "CYRILLIC": "ab ba be bg ce cv kk kv ky mk mn os ru sah sr tg tt udm uk",
    "GREEK": "el grc",
    "ARABIC": "ar ckb fa ps sd ug ur",
    "HEBREW": "he yi",
    "DEVANAGARI": "bho hi mai mr ne sa",
    "BENGALI": "as bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "TIBETAN": "bo dz",
    "MYANMAR": "my",
    "KHMER": "km",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "ETHIOPIC": "am ti",
    "HANGUL": "ko",
    "CJK": "ja wuu yue zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
}
"""The scripts, by the first words of Unicode's names of their letters, and who writes in them."""

# languages that are written in these scripts as well, whichever the text at hand has
_MORE_LANGUAGES: Final = {"LATIN": "kk sr tg tt", "CYRILLIC": "az uz", "CJK": "ko"}
# what a code may say of the script: sr-Latn, zh-Hant, az-Cyrl
_SUBTAGS: Final = {
    "latn": "LATIN",
    "cyrl": "CYRILLIC",
    "arab": "ARABIC",
    "deva": "DEVANAGARI",
    "hans": "CJK",
    "hant": "CJK",
}
_KINDS: Final = {
    "L": "other letters",
    "M": "marks",
    "N": "digits",
    "P": "punctuation",
    "S": "symbols",
    "Z": "spaces",
}


def scripts_of(language: str) -> frozenset[str]:
    """The scripts that a language is mostly written in, Latin where that is not known.

    A code may say its own: `sr-Latn`.
    """
    return _scripts(language, (LANGUAGES,)) or frozenset({"LATIN"})


def possible_scripts_of(language: str) -> frozenset[str]:
    """All scripts that a language may be written in; none where they are not known."""
    return _scripts(language, (LANGUAGES, _MORE_LANGUAGES))


def _scripts(language: str, tables: Sequence[Mapping[str, str]]) -> frozenset[str]:
    code, *subtags = language.lower().replace("_", "-").split("-")
    for subtag in subtags:
        if subtag in _SUBTAGS:
            return frozenset({_SUBTAGS[subtag]})
    return frozenset(
        script for table in tables for script, codes in table.items() if code in codes.split()
    )


def script_of(char: str) -> str:
    """The script of a letter, as LATIN, or in lower case what kind of character it is instead."""
    kind = unicodedata.category(char)[0]
    if kind == "L":
        first = unicodedata.name(char, "").partition(" ")[0]
        if first in LANGUAGES:
            return first
    return _KINDS.get(kind, "other")
