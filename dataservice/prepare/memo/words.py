"""Texts → their words as exact 128-bit keys, and a table that finds a thousand words at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

MAX_KEY_CHARS: Final = 16  # of 8 bits each
_SPACE: Final = 1  # its code; 0 is a character without a code, and the end of a key
_FIRST_BITS: Final = 12
_MIXERS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

Keys = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Words:
    """N words of a text in which each word ends in a space; the key of a loose one is 0."""

    starts: Rows  # [N] in characters
    ends: Rows  # [N]
    keys: Keys  # [2, N]
    is_loose: Mask  # [N] too long for a key, or with a character that has no code


class Alphabet:
    """Up to 254 characters with a code of 8 bits, so that words of 16 are numbers, not objects."""

    def __init__(self, chars: Iterable[str]) -> None:
        self._codes = np.zeros(1 << 16, np.uint8)  # by code point; 0xFFFF stands for all above
        self._codes[ord(" ")] = _SPACE
        # the last one that is given twice wins, which leaves a code unused
        for code, char in enumerate([char for char in chars if "!" <= char < "\uffff"][:254], 2):
            self._codes[ord(char)] = code
        self._latin = self._codes[:256].tobytes()
        self._low, self._high = _masks()

    def words(self, text: str) -> Words:
        """Split at every space.

        Raises:
            UnicodeEncodeError: for a lone surrogate.
        """
        codes = self._encode(text)
        size = len(text)
        ends = np.flatnonzero(codes[:size] == _SPACE)
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1] + 1
        lengths = ends - starts
        # eight codes from any place on; what lies behind a word's end is masked away
        eights = np.ndarray((size + 8,), "<u8", buffer=codes, strides=(1,))
        shown = np.minimum(lengths, MAX_KEY_CHARS)
        keys = np.empty((2, len(ends)), np.uint64)
        np.bitwise_and(eights[starts], self._low[shown], out=keys[0])
        np.bitwise_and(eights[starts + 8], self._high[shown], out=keys[1])
        is_loose = lengths > MAX_KEY_CHARS
        is_loose[np.searchsorted(ends, np.flatnonzero(codes[:size] == 0))] = True
        keys[:, is_loose] = 0
        return Words(starts, ends, keys, is_loose)

    def _encode(self, text: str) -> npt.NDArray[np.uint8]:
        """A code for each character, and 16 zeros."""
        if text.isascii():
            data = text.encode("ascii").translate(self._latin)
            return np.frombuffer(data + bytes(MAX_KEY_CHARS), np.uint8)
        points: npt.NDArray[np.unsignedinteger] = np.frombuffer(
            text.encode("utf-16-le"), np.dtype("<u2")
        )
        if len(points) != len(text):  # characters of two units would shift the rest
            wide = np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))
            points = np.minimum(wide, 0xFFFF)
        codes = np.zeros(len(text) + MAX_KEY_CHARS, np.uint8)
        codes[: len(text)] = self._codes[points]
        return codes


def _masks() -> tuple[Keys, Keys]:
    """For words of 0 to 16 characters, the bits of the first eight and of the second eight."""
    masks = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
    sizes = np.arange(MAX_KEY_CHARS + 1)
    return masks[np.minimum(sizes, 8)], masks[np.maximum(sizes - 8, 0)]


class WordTable:
    """Keys → values above 0: a hash table that compares the keys themselves, never a digest."""

    def __init__(self) -> None:
        self._bits = _FIRST_BITS
        self._rows = np.zeros((1 << self._bits, 4), np.uint64)  # key, key, value: half a cache line
        self.num_keys = 0

    @classmethod
    def of(cls, keys: Keys, values: Keys) -> Self:
        """A table that holds the given keys, all different."""
        table = cls()
        table.insert(keys, values)
        return table

    def find(self, keys: Keys) -> Keys:
        """Values of N keys [2, N]; 0 for those that it does not hold."""
        slots = self._slots(keys)
        rows = self._rows.take(slots, axis=0)
        found = rows[:, 0] == keys[0]
        found &= rows[:, 1] == keys[1]
        values = rows[:, 2].copy()
        rest = np.flatnonzero(~found)
        while len(rest):
            rows = self._rows.take(slots[rest], axis=0)
            found = (rows[:, 0] == keys[0, rest]) & (rows[:, 1] == keys[1, rest])
            found |= rows[:, 2] == 0
            values[rest[found]] = rows[found, 2]
            rest = rest[~found]
            slots[rest] = (slots[rest] + 1) & (len(self._rows) - 1)
        return values

    def insert(self, keys: Keys, values: Keys) -> None:
        """Add N keys that are all different and not yet here; values are above 0 and differ."""
        if 2 * (self.num_keys + len(values)) > len(self._rows):
            self._grow(self.num_keys + len(values))
        slots = self._slots(keys)
        rest = np.arange(len(values))
        while len(rest):
            wanted = slots[rest]
            free = self._rows[wanted, 2] == 0
            # of several that want one place, the one whose value stays there has it
            self._rows[wanted[free], 2] = values[rest[free]]
            won = self._rows[wanted, 2] == values[rest]
            self._rows[wanted[won], :2] = keys[:, rest[won]].T
            rest = rest[~won]
            slots[rest] = (slots[rest] + 1) & (len(self._rows) - 1)
        self.num_keys += len(values)

    def items(self) -> tuple[Keys, Keys]:
        """All keys [2, N] and their values [N]."""
        held = self._rows[self._rows[:, 2] != 0]
        return np.ascontiguousarray(held[:, :2].T), held[:, 2].copy()

    def _grow(self, num_keys: int) -> None:
        keys, values = self.items()
        self._bits = max(self._bits, (2 * num_keys - 1).bit_length())
        self._rows = np.zeros((1 << self._bits, 4), np.uint64)
        self.num_keys = 0
        self.insert(keys, values)

    def _slots(self, keys: Keys) -> Rows:
        mixed: Keys = keys[0] * _MIXERS[0]
        mixed += keys[1] * _MIXERS[1]
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIXERS[0]
        return (mixed >> np.uint64(64 - self._bits)).astype(np.int64)
