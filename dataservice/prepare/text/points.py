"""Texts → their code points end to end, on which a question costs nanoseconds a character."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

NUM_POINTS: Final = 0x110000
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CodePoints:
    """N texts of C code points: those of text i are `points[starts[i]:starts[i + 1]]`."""

    points: npt.NDArray[np.uint32]  # [C]
    starts: npt.NDArray[np.int64]  # [N + 1]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Lay texts end to end; lone surrogates are kept as they are."""
        data = "".join(texts).encode("utf-32-le", "surrogatepass")
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=starts[1:])
        return cls(np.frombuffer(data, np.uint32), starts)

    def replace(self, rows: npt.NDArray[np.int64], texts: Sequence[str]) -> Self:
        """These texts with others in some rows, which are sorted."""
        others = type(self).of(texts)
        lengths = self.lengths
        lengths[rows] = others.lengths
        starts = np.zeros_like(self.starts)
        np.cumsum(lengths, out=starts[1:])
        # what lies between two such rows is copied whole
        begins = [0, *self.starts[rows + 1].tolist()]
        ends = [*self.starts[rows].tolist(), len(self.points)]
        news = others.starts.tolist()
        parts = []
        for number in range(len(begins)):
            parts.append(self.points[begins[number] : ends[number]])
            parts.append(others.points[news[number] : news[min(number + 1, len(rows))]])
        return type(self)(np.concatenate(parts), starts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Characters of each text [N]."""
        return np.diff(self.starts)

    def sums(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        """Sums of a value for each code point, text by text [N]; C values."""
        ends = np.zeros(len(values) + 1, np.int64)
        np.cumsum(values, dtype=np.int64, out=ends[1:])
        return ends[self.starts[1:]] - ends[self.starts[:-1]]
