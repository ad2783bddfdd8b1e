"""The shards of one window → its samples side by side in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from shards.block import Block
from shards.manifest import ShardInfo
from shards.sample import Ids
from trainer.stream.background import map_in_threads

_FETCH_THREADS: Final = 4
_ROOM: Final = 64


@dataclass(frozen=True, slots=True)
class Side:
    """One language of a window: where each of its N samples lies in the window's ids."""

    start: npt.NDArray[np.int64]  # [N]
    length: npt.NDArray[np.int64]  # [N]


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive permuted shards, decoded: N samples."""

    ids: Ids  # of both sides and all samples, with room on both ends
    src: Side
    tgt: Side
    id: npt.NDArray[np.uint64]  # [N]
    source: npt.NDArray[np.uint16]  # [N] index into the manifest's sources

    def select(self, kept: npt.NDArray[np.bool]) -> "Window":
        """The same window with some of its samples."""
        return replace(
            self,
            src=Side(self.src.start[kept], self.src.length[kept]),
            tgt=Side(self.tgt.start[kept], self.tgt.length[kept]),
            id=self.id[kept],
            source=self.source[kept],
        )


def load_window(
    read_shard: Callable[[ShardInfo], list[Block]], shards: Sequence[ShardInfo]
) -> Window:
    """Fetch, verify and join the shards of a window, several at a time, in the order given."""
    return join_blocks(
        [block for part in map_in_threads(read_shard, shards, _FETCH_THREADS) for block in part]
    )


def join_blocks(blocks: Sequence[Block]) -> Window:
    """Blocks, at least one, as one window."""
    src_ids, tgt_ids = [block.src for block in blocks], [block.tgt for block in blocks]
    longest = max(int(max(block.src_len.max(), block.tgt_len.max())) for block in blocks)
    # a batch copies runs as long as its longest row, from a few ids before the text on
    front = np.zeros(_ROOM, src_ids[0].dtype)
    ids = np.concatenate([front, *src_ids, *tgt_ids, np.zeros(_ROOM + longest, front.dtype)])
    src = _side([block.src_len for block in blocks], _ROOM)
    tgt = _side([block.tgt_len for block in blocks], _ROOM + sum(map(len, src_ids)))
    return Window(
        ids=ids,
        src=src,
        tgt=tgt,
        id=np.concatenate([block.id for block in blocks]),
        source=np.concatenate([block.source for block in blocks]),
    )


def _side(lengths: list[npt.NDArray[np.uint16]], offset: int) -> Side:
    length = np.concatenate(lengths).astype(np.int64)
    return Side(np.cumsum(length) - length + offset, length)
