"""A batch of cleaned pairs → for each the stable reason for which it is dropped, or none."""

from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.filters import (
    codes,
    copies,
    ends,
    language,
    lengths,
    numbers,
    repeats,
    scripts,
    shares,
)
from dataservice.prepare.filters.side import Batch, Filter, Side
from dataservice.prepare.text.points import Mask
from dataservice.settings import BuildSettings

FILTERS: Final[tuple[tuple[str, Filter], ...]] = (
    ("empty", lengths.empty),
    ("too_short", lengths.too_short),
    ("too_long", lengths.too_long),
    ("too_few_words", lengths.too_few_words),
    ("too_many_words", lengths.too_many_words),
    ("long_word", lengths.long_word),
    ("length_ratio", lengths.length_ratio),
    ("identical_sides", copies.identical_sides),
    ("no_letters", scripts.no_letters),
    ("wrong_script", scripts.wrong_script),
    ("untranslated", copies.untranslated),
    ("doubled", repeats.doubled),
    ("repeated_chars", repeats.repeated_chars),
    ("repeated_words", repeats.repeated_words),
    ("digits", shares.digits),
    ("symbols", shares.symbols),
    ("markup", codes.markup),
    ("urls", codes.urls),
    ("placeholders", codes.placeholders),
    ("numbers", numbers.numbers),
    ("sentence_end", ends.sentence_end),
    ("wrong_language", language.wrong_language),
)
"""Every filter under its reason, in the order in which reasons are looked for."""

REASONS: Final = (
    *(reason for reason, _ in FILTERS),
    "contamination",
    "duplicate",
    "id_collision",
    "near_duplicate",
    "val_target_in_train",
    "too_many_tokens",
    "token_ratio",
)
"""Every reason there is: those of filters, then those of the later stages."""


def drop_reasons(batch: Batch) -> npt.NDArray[np.uint8]:
    """Of each pair 0 when it is kept, else 1 + the index in REASONS of its first reason [N]."""
    return np.concatenate([np.zeros(0, np.uint8), *map(_reasons_of_piece, batch.pieces())])


def _reasons_of_piece(piece: Batch) -> npt.NDArray[np.uint8]:
    found = np.zeros(len(piece.src.texts), np.uint8)
    for number, (reason, dropped) in enumerate(FILTERS, 1):
        found[dropped(piece) & (found == 0)] = number
        if reason == "too_long" and (found == number).any():
            piece = piece.without(found > 0)  # exact tests are for texts of bounded length
    return found


def flags(batch: Batch) -> dict[str, Mask]:
    """Of each filter all pairs that it would drop if it were alone [N]."""
    pieces = list(batch.pieces())
    return {
        reason: np.concatenate([np.zeros(0, np.bool_), *map(dropped, pieces)])
        for reason, dropped in FILTERS
    }


def drop_reason(src: str, tgt: str, settings: BuildSettings) -> str | None:
    """Why a single pair of cleaned texts is not kept, or None when it is; slow."""
    number = drop_reasons(make_batch([src], [tgt], settings))[0]
    return REASONS[number - 1] if number else None


def make_batch(src: list[str], tgt: list[str] | None, settings: BuildSettings) -> Batch:
    """A batch in the languages of a build."""
    target = None if tgt is None else Side(tgt, settings.tgt_lang)
    return Batch(Side(src, settings.src_lang), target, settings)


__all__ = [
    "FILTERS",
    "REASONS",
    "Batch",
    "Filter",
    "Side",
    "drop_reason",
    "drop_reasons",
    "flags",
    "make_batch",
]
