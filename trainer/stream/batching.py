"""Rows of a window → padded arrays for the model, in either direction of translation.

B rows of this rank, S source length, T target length.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from shards.manifest import Manifest
from trainer.stream.order import Cursor, Rows
from trainer.stream.window import Side, Window

Direction = Literal["ru-en", "en-ru", "both"]
TokenIds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one rank sees of one global batch; the lengths S and T are equal on all ranks."""

    input_ids: TokenIds  # [B, S] <to_x> tags text <eos>, padded
    target_ids: TokenIds  # [B, T] <bos> text <eos>, padded
    pair_ids: npt.NDArray[np.uint64]  # [B]
    global_pair_ids: npt.NDArray[np.uint64]  # of all ranks
    global_target_tokens: int  # predicted by all ranks together: <eos> counts, <bos> does not
    cursor: Cursor  # where reading goes on once this batch is trained on


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """Ids that frame a sequence."""

    pad: int
    bos: int
    eos: int
    to_src: int
    to_tgt: int
    prefix: int

    @classmethod
    def of(cls, manifest: Manifest) -> "Markers":
        tokenizer, languages = manifest.tokenizer, manifest.languages
        return cls(
            pad=tokenizer.pad_id,
            bos=tokenizer.bos_id,
            eos=tokenizer.eos_id,
            to_src=tokenizer.target_ids[languages["src"]],
            to_tgt=tokenizer.target_ids[languages["tgt"]],
            prefix=manifest.tags.prefix_tokens,
        )


def is_reversed(
    ids: npt.NDArray[np.uint64], direction: Direction, epoch: int
) -> npt.NDArray[np.bool]:
    """Which samples go from tgt to src; with "both", each one does every other epoch."""
    if direction == "both":
        return np.asarray((ids ^ np.uint64(epoch)) & np.uint64(1), np.bool)
    return np.full(len(ids), direction == "en-ru")


def model_lengths(
    window: Window, markers: Markers, direction: Direction, epoch: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How long each sample of a window is as input and as target of the model: [N], [N]."""
    back = is_reversed(window.id, direction, epoch)
    src, tgt, tags = window.src.length, window.tgt.length, markers.prefix
    # <to_x> tags text <eos>, where src holds its tags already; <bos> text <eos>
    return np.where(back, tgt + tags, src) + 2, np.where(back, src - tags, tgt) + 2


def collate(
    window: Window,
    rows: Rows,
    own: Rows,
    *,
    lengths: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    markers: Markers,
    direction: Direction,
    epoch: int,
    cursor: Cursor,
) -> Batch:
    """Pad the rows `own` of a rank to the lengths of the whole global batch `rows`."""
    input_length, target_length = lengths[0][rows], lengths[1][rows]
    inputs = np.full((len(own), int(input_length.max())), markers.pad, np.int64)
    targets = np.full((len(own), int(target_length.max())), markers.pad, np.int64)
    back = is_reversed(window.id[own], direction, epoch)
    for reverse in (False, True):
        (chosen,) = np.nonzero(back == reverse)
        if len(chosen):
            _fill(inputs, targets, chosen, window, own[chosen], markers, reverse=reverse)
    return Batch(
        input_ids=inputs,
        target_ids=targets,
        pair_ids=window.id[own],
        global_pair_ids=window.id[rows],
        global_target_tokens=int((target_length - 1).sum()),
        cursor=cursor,
    )


def _fill(
    inputs: TokenIds,
    targets: TokenIds,
    chosen: Rows,
    window: Window,
    rows: Rows,
    markers: Markers,
    *,
    reverse: bool,
) -> None:
    inputs[chosen, 0] = markers.to_src if reverse else markers.to_tgt
    targets[chosen, 0] = markers.bos
    if reverse:
        tags = window.src.start[rows][:, None] + np.arange(markers.prefix)
        inputs[chosen, 1 : 1 + markers.prefix] = window.src.ids[tags]
        _place(inputs, chosen, 1 + markers.prefix, window.tgt, rows, 0, markers.eos)
        _place(targets, chosen, 1, window.src, rows, markers.prefix, markers.eos)
    else:
        _place(inputs, chosen, 1, window.src, rows, 0, markers.eos)
        _place(targets, chosen, 1, window.tgt, rows, 0, markers.eos)


def _place(
    out: TokenIds, chosen: Rows, column: int, side: Side, rows: Rows, skip: int, eos: int
) -> None:
    """Write texts and their <eos> into some rows of a padded array, from a column on."""
    ids, mask = side.gather(rows, skip)
    part = out[chosen, column : column + ids.shape[1]]
    out[chosen, column : column + ids.shape[1]] = np.where(mask, ids, part)
    out[chosen, column + side.length[rows] - skip] = eos
