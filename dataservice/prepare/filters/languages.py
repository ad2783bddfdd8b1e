"""A language code → the scripts that it is written in; a script → its blocks of code points."""

from typing import Final

BLOCKS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "Latin": (
        *((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x2AF), (0x1D00, 0x1D25), (0x1D2C, 0x1D65)),
        *((0x1D6B, 0x1D77), (0x1D79, 0x1DBF), (0x1E00, 0x1EFF), (0x2C60, 0x2C7F)),
        *((0xA722, 0xA7FF), (0xAB30, 0xAB64), (0xFB00, 0xFB06), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    ),
    "Cyrillic": ((0x400, 0x481), (0x48A, 0x52F), (0x1C80, 0x1C8A), (0xA640, 0xA69F)),
    "Greek": ((0x370, 0x3E1), (0x3F0, 0x3FF), (0x1F00, 0x1FFF)),
    "Armenian": ((0x531, 0x588), (0xFB13, 0xFB17)),
    "Hebrew": ((0x591, 0x5F4), (0xFB1D, 0xFB4F)),
    "Arabic": ((0x610, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "Devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Bengali": ((0x980, 0x9FF),),
    "Gurmukhi": ((0xA00, 0xA7F),),
    "Gujarati": ((0xA80, 0xAFF),),
    "Oriya": ((0xB00, 0xB7F),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Kannada": ((0xC80, 0xCFF),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Sinhala": ((0xD80, 0xDFF),),
    "Thai": ((0xE00, 0xE7F),),
    "Lao": ((0xE80, 0xEFF),),
    "Tibetan": ((0xF00, 0xFFF),),
    "Myanmar": ((0x1000, 0x109F), (0xAA60, 0xAA7F)),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF), (0x2D00, 0x2D2F)),
    "Ethiopic": ((0x1200, 0x139F), (0x2D80, 0x2DDF), (0xAB01, 0xAB2E)),
    "Khmer": ((0x1780, 0x17FF),),
    "Hangul": ((0x1100, 0x11FF), (0x3131, 0x318E), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "Kana": ((0x3041, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Han": ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF)),
}
"""Blocks of each script, first and last code point; of them only letters and marks count."""

_SPACELESS: Final = frozenset({"Thai", "Lao", "Tibetan", "Myanmar", "Khmer", "Kana", "Han"})
_LANGUAGES: Final = {
    "Latin": "af az bs ca cs cy da de en eo es et eu fi fr ga gl hr hu id is it lt lv ms mt nb nl "
    "nn no pl pt ro sk sl sq sv sw tl tr uz vi",
    "Cyrillic": "be bg kk ky mk mn ru sr tg tt uk",
    "Greek": "el",
    "Armenian": "hy",
    "Hebrew": "he yi",
    "Arabic": "ar ckb fa ps ug ur",
    "Devanagari": "hi mr ne sa",
    "Bengali": "as bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Tibetan": "bo dz",
    "Myanmar": "my",
    "Georgian": "ka",
    "Ethiopic": "am ti",
    "Khmer": "km",
    "Hangul": "ko",
    "Kana": "ja",
    "Han": "ja ko yue zh",
}
# written in either script, whichever the text at hand has
_MORE_SCRIPTS: Final = {
    "Latin": "kk sr tg tt",
    "Cyrillic": "az uz",
}
# what a code may say of the script: sr-Latn, zh-Hant, az-Cyrl
_SUBTAGS: Final = {
    "latn": ("Latin",),
    "cyrl": ("Cyrillic",),
    "arab": ("Arabic",),
    "deva": ("Devanagari",),
    "hans": ("Han",),
    "hant": ("Han",),
}


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts of a language code such as `ru` or `sr-Latn`; none when it is not known."""
    base, *subtags = language.lower().replace("_", "-").split("-")
    for subtag in subtags:
        if subtag in _SUBTAGS:
            return _SUBTAGS[subtag]
    return tuple(
        script
        for script in BLOCKS
        if base in f"{_LANGUAGES[script]} {_MORE_SCRIPTS.get(script, '')}".split()
    )


def has_spaces(language: str) -> bool:
    """Whether words of a language stand between spaces, as far as is known."""
    return _SPACELESS.isdisjoint(scripts_of(language)) or "Hangul" in scripts_of(language)
