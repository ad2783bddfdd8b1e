"""Language codes and characters → the scripts that they are written in, by Unicode's own names."""

import unicodedata
from typing import Final

_BY_LANGUAGE: Final = {
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
_BY_SUBTAG: Final = {"latn": "LATIN", "cyrl": "CYRILLIC", "arab": "ARABIC", "deva": "DEVANAGARI"}
_KINDS: Final = {
    "L": "other letters",
    "M": "marks",
    "N": "digits",
    "P": "punctuation",
    "S": "symbols",
    "Z": "spaces",
}


def scripts_of(language: str) -> frozenset[str]:
    """The scripts of a language, Latin for those that are not known here; `sr-Latn` says its own.

    Names are the first words of Unicode's names of letters: LATIN, CYRILLIC, CJK.
    """
    code, *subtags = language.lower().split("-")
    for subtag in subtags:
        if subtag in _BY_SUBTAG:
            return frozenset({_BY_SUBTAG[subtag]})
    found = {script for script, codes in _BY_LANGUAGE.items() if code in codes.split()}
    return frozenset(found or {"LATIN"})


def script_of(char: str) -> str:
    """The script of a letter, as LATIN, or in lower case what kind of character it is instead."""
    kind = unicodedata.category(char)[0]
    if kind == "L":
        first = unicodedata.name(char, "").partition(" ")[0]
        if first == "LATIN" or first in _BY_LANGUAGE:
            return first
    return _KINDS.get(kind, "other")
