"""A cleaned pair → None, or the stable reason for which it is dropped."""

from typing import Final, Literal

from dataservice.settings import BuildSettings

DropReason = Literal[
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
]
"""Every reason there is, in the order in which they are looked for."""

# A side with fewer letters says too little of its script: "OK", "%s", "v 2".
_FEW_LETTERS: Final = 3


def drop_reason(ru: str, en: str, settings: BuildSettings) -> DropReason | None:
    """Why a pair of cleaned texts is not kept, or None when it is."""
    if not ru or not en:
        return "empty"
    lengths = (len(ru), len(en))
    if min(lengths) < settings.min_chars:
        return "too_short"
    if max(lengths) > settings.max_chars:
        return "too_long"
    slack = settings.ratio_slack_chars
    if max(lengths) + slack > settings.max_length_ratio * (min(lengths) + slack):
        return "length_ratio"
    if ru == en:
        return "identical_sides"
    return _script_reason(ru, en, settings.min_script_share)


def _script_reason(ru: str, en: str, min_share: float) -> DropReason | None:
    ru_cyrillic, ru_latin = count_letters(ru)
    en_cyrillic, en_latin = count_letters(en)
    if not ru_cyrillic + ru_latin or not en_cyrillic + en_latin:
        return "no_letters"
    if wrong_script(ru_cyrillic, ru_latin, min_share):
        return "wrong_script"
    if wrong_script(en_latin, en_cyrillic, min_share):
        return "wrong_script"
    return None


def count_letters(text: str) -> tuple[int, int]:
    """How many Cyrillic and how many Latin letters a text has."""
    cyrillic = sum(map(text.count, _CYRILLIC & set(text)))
    latin = sum(map(text.count, _LATIN & set(text)))
    return cyrillic, latin


def wrong_script(own: int, other: int, min_share: float) -> bool:
    """Whether too few of a side's letters are of its own script; names and codes are excused."""
    if own + other < _FEW_LETTERS:
        return own == 0
    return own < min_share * (own + other)


_CYRILLIC: Final = frozenset(map(chr, (*range(0x400, 0x482), *range(0x48A, 0x530))))
_LATIN: Final = frozenset(
    char for char in map(chr, range(0x41, 0x250)) if char.isalpha() and char not in "ªº"
)
