"""The shards of one window → its samples side by side in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shards.block import Block
from shards.manifest import ShardInfo
from shards.sample import Ids
from trainer.stream.background import map_in_threads

_FETCH_THREADS = 4


@dataclass(frozen=True, slots=True)
class Side:
    """One language of a window: concatenated ids, and where each of its N samples lies."""

    ids: Ids  # [sum of lengths]
    start: npt.NDArray[np.int64]  # [N]
    length: npt.NDArray[np.int64]  # [N]

    def gather(
        self, rows: npt.NDArray[np.int64], skip: int = 0
    ) -> tuple[Ids, npt.NDArray[np.bool]]:
        """The ids of some samples, `skip` fewer at the front: [B, longest] and a mask of it."""
        length = self.length[rows] - skip
        column = np.arange(int(length.max(initial=0)))
        mask = column < length[:, None]
        position = np.where(mask, (self.start[rows] + skip)[:, None] + column, 0)
        return self.ids[position] if len(self.ids) else position.astype(self.ids.dtype), mask


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive permuted shards, decoded: N samples."""

    src: Side
    tgt: Side
    id: npt.NDArray[np.uint64]  # [N]


def load_window(
    read_shard: Callable[[ShardInfo], list[Block]], shards: Sequence[ShardInfo]
) -> Window:
    """Fetch, verify and join the shards of a window, several at a time, in the order given."""
    blocks = [
        block for part in map_in_threads(read_shard, shards, _FETCH_THREADS) for block in part
    ]
    return Window(
        src=_side([block.src for block in blocks], [block.src_len for block in blocks]),
        tgt=_side([block.tgt for block in blocks], [block.tgt_len for block in blocks]),
        id=np.concatenate([block.id for block in blocks]),
    )


def _side(ids: list[Ids], lengths: list[npt.NDArray[np.uint16]]) -> Side:
    length = np.concatenate(lengths).astype(np.int64)
    return Side(np.concatenate(ids), np.cumsum(length) - length, length)
