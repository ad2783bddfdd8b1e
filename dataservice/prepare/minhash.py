"""Longer texts → hashes by band, of which near-duplicates share one → the rows to drop."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataservice.errors import BuildError
from dataservice.filter_settings import FilterSettings
from dataservice.prepare.filters.side import Counts, Side

Bands = npt.NDArray[np.uint64]
_SEED: Final = 20
_ALGORITHM: Final = 2  # of the library: another one gives other hashes, and other versions
# odd, so that its powers have inverses modulo 2^64
_BASE: Final = 0x9E3779B97F4A7C15
_MIX: Final = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)


def band_hashes(texts: Sequence[str], settings: FilterSettings) -> Bands:
    """A hash of each band of a text's MinHash [N, bands]; 0 for texts of too few words.

    A pure function of each text and the settings, case and the order of its sentences aside:
    the same on every machine.

    Raises:
        BuildError: when the library is missing, or hashes otherwise than this release expects.
    """
    sketch = _sketch()
    bands = np.zeros((len(texts), settings.minhash_bands), np.uint64)
    least = settings.minhash_min_words
    rows = [row for row, text in enumerate(texts) if text.count(" ") >= least - 1 and text]
    if not rows:
        return bands
    side = Side([texts[row].casefold() for row in rows], "")
    shingles, offsets = _shingles(side)
    permutations = settings.minhash_bands * settings.minhash_rows
    digests = sketch.digest_matrix_from_flat_token_hashes(shingles, offsets, permutations, _SEED)
    values = np.array(digests.to_rows(), np.uint64)
    bands[rows] = _fold(values.reshape(len(rows), settings.minhash_bands, settings.minhash_rows))
    return bands


def _shingles(side: Side) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Hashes of the pairs of words that follow each other, and where each text's begin.

    A text of one word has that word alone.
    """
    begins, ends, first = side.words
    words = _word_hashes(side, begins, ends)
    follows = np.roll(words, -1)
    last = np.append(first[1:], len(words)) - 1
    follows[last] = 0
    shingles = _scramble(words * _MIX[0] + follows)
    alone = np.ones(len(words), np.bool_)
    alone[last[last > first]] = False  # the last word was hashed with the one before it
    cuts = np.append(np.cumsum(alone) - alone, alone.sum())
    return shingles[alone], cuts[np.append(first, len(words))].astype(np.uint64)


def _word_hashes(side: Side, begins: Counts, ends: Counts) -> npt.NDArray[np.uint64]:
    """A hash of all characters of each word, in their order [W]."""
    points = side.points.points
    powers = np.full(len(points) + 1, _BASE, np.uint64)
    powers[0] = 1
    np.cumprod(powers, out=powers)
    sums = np.zeros(len(points) + 1, np.uint64)
    np.cumsum(points * powers[:-1], out=sums[1:])
    inverse = np.full(len(points) + 1, pow(_BASE, -1, 1 << 64), np.uint64)
    inverse[0] = 1
    np.cumprod(inverse, out=inverse)
    return _scramble((sums[ends] - sums[begins]) * inverse[begins])


def _scramble(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix all bits of each value into all others."""
    values = (values ^ values >> np.uint64(33)) * _MIX[0]
    values = (values ^ values >> np.uint64(33)) * _MIX[1]
    return values ^ values >> np.uint64(33)


def _fold(values: npt.NDArray[np.uint64]) -> Bands:
    """One hash of the last axis, never 0."""
    hashes = np.zeros(values.shape[:-1], np.uint64)
    for row in range(values.shape[-1]):
        hashes = _scramble(hashes * _MIX[0] + values[..., row] + np.uint64(1))
    return np.maximum(hashes, np.uint64(1))


def _sketch() -> Any:
    try:
        from rensa import RMinHash
    except ImportError as error:
        raise BuildError(
            "near_duplicates minhash needs the package rensa, which is not installed; nothing was "
            "built; install the extra `minhash`, or take near_duplicates normalized"
        ) from error
    if RMinHash.ALGORITHM_VERSION != _ALGORITHM:
        raise BuildError(
            f"rensa hashes by algorithm {RMinHash.ALGORITHM_VERSION}, this release by "
            f"{_ALGORITHM}; nothing was built, since the same text would give another version; "
            "install the pinned rensa, or take near_duplicates normalized"
        )
    return RMinHash
