"""Texts without ends of lines ↔ one string in which each is a line: N texts, C characters.

A string for each text costs more than what most stages do with it.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from dataservice.prepare.text.points import Mask

END: Final = ord("\n")


@dataclass(frozen=True, slots=True)
class Lines:
    """N texts, each followed by the end of its line."""

    text: str  # [C]
    ends: npt.NDArray[np.int64]  # [N], where the end of each line stands

    @classmethod
    def of_lengths(cls, text: str, lengths: npt.NDArray[np.integer]) -> Self:
        """The lines of a string, given the characters of each text [N]."""
        return cls(text, np.cumsum(lengths.astype(np.int64) + 1) - 1)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Characters of each text [N]."""
        return np.diff(self.ends, prepend=-1) - 1

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> str:
        begin = int(self.ends[row - 1]) + 1 if row else 0
        return self.text[begin : int(self.ends[row])]

    def take(self, kept: Mask) -> Self:
        """The texts that a mask [N] keeps."""
        # neighbours that are kept are copied together
        edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]])))
        bounds = np.concatenate([[0], self.ends + 1])[edges].tolist()
        runs = zip(bounds[::2], bounds[1::2], strict=True)
        text = "".join([self.text[begin:end] for begin, end in runs])
        return self.of_lengths(text, self.lengths[kept])
