"""Lists of ids of any lengths ↔ one array end to end: N lists, T ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Ragged:
    """N lists of ids; those of list i follow those of list i - 1."""

    values: npt.NDArray[np.unsignedinteger]  # [T]
    lengths: npt.NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each list begins, and the end [N + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def take(self, rows: Rows) -> Self:
        """The lists of the given rows, in their order."""
        lengths = self.lengths[rows]
        places = np.repeat(self.starts[rows] - _before(lengths), lengths)
        places += np.arange(len(places))
        return type(self)(self.values[places], lengths)

    def after(self, prefixes: npt.NDArray[np.unsignedinteger]) -> Self:
        """Each list with its row of prefixes [N, P] before it."""
        width = prefixes.shape[1]
        lengths = self.lengths + width
        values = np.empty(int(lengths.sum()), self.values.dtype)
        begins = _before(lengths)
        values[begins[:, None] + np.arange(width)] = prefixes
        places = np.arange(len(self.values))
        places += np.repeat(width * np.arange(1, len(self) + 1), self.lengths)
        values[places] = self.values
        return type(self)(values, lengths)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The lists of several, one part after the other; at least one part."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.lengths for part in parts]),
        )


def _before(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.cumsum(lengths) - lengths
