"""What the benchmark asks of every system, and the padding that its peers share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.stream.corpus import PAD, Corpus

BATCH_SIZE = 32


class PaddedBatch(NamedTuple):
    """A padded batch and the ids of its pairs, in NumPy: whoever reads it makes the tensors.

    A tensor that crosses from a loader worker costs a file each, in every system.
    """

    input_ids: npt.NDArray[np.int64]  # [B, S]
    target_ids: npt.NDArray[np.int64]  # [B, T]
    pair_ids: npt.NDArray[np.uint64]  # [B]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the data lies, and how it is to be read."""

    root: str  # a folder, or an http URL of it
    cache: Path  # an empty folder; the same one for a run and its resume
    num_workers: int = 0
    endless: bool = False  # epoch after epoch, for a system that can be told so
    state: Any = None  # what `snapshot` gave


class System(Protocol):
    """A module below systems/."""

    NAME: str
    SETTINGS: str
    READS_HTTP: bool
    RESUME: str
    """How its documentation says that reading goes on in the middle of an epoch."""

    def write(self, corpus: Corpus, folder: Path) -> None:
        """Write the corpus in the form that the system itself recommends."""

    def loader(self, access: Access) -> Iterable[PaddedBatch]:
        """An epoch (or its rest, after `access.state`), shuffled; iterated again, the next."""

    def snapshot(self, access: Access, num_batches: int) -> Any:
        """What has to be stored after so many batches; picklable."""


def pad(rows: Sequence[npt.NDArray[np.uint16]]) -> npt.NDArray[np.int64]:
    """Rows of different lengths as one array: one copy, no loop over rows."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    padded = np.full((len(rows), int(lengths.max())), PAD, np.int64)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return padded


def collate_pairs(
    inputs: Sequence[npt.NDArray[np.uint16]],
    targets: Sequence[npt.NDArray[np.uint16]],
    ids: Sequence[int],
) -> PaddedBatch:
    return PaddedBatch(pad(inputs), pad(targets), np.array(ids, np.uint64))
