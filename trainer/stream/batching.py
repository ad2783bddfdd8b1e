"""Rows of a window → padded arrays for the model, in either direction of translation.

Texts without a translation are `<bos> tags text <eos>` as input, and have no target: T is 0.

Batches are padded in groups: one pass of NumPy over some ten thousand ids costs as much as one
over a single batch. R rows of this rank in a group, B in a batch; S source length, T target length.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from shards.manifest import Manifest, Side
from shards.sample import Ids
from trainer.errors import TrainingError
from trainer.stream.order import Cursor, Rows, WindowPlan, rank_rows
from trainer.stream.window import Window

Direction = Literal["src-tgt", "tgt-src", "both"]
TokenIds = npt.NDArray[np.int64]
PairIds = npt.NDArray[np.uint64]
_SIDES: Final[tuple[Side, ...]] = ("src", "tgt")


class Batch(NamedTuple):
    """What one rank sees of one global batch; the lengths S and T are equal on all ranks."""

    input_ids: TokenIds  # [B, S] <to_x> tags text <eos>, padded
    target_ids: TokenIds  # [B, T] <bos> text <eos>, padded
    pair_ids: PairIds  # [B]
    global_pair_ids: PairIds  # of all ranks
    global_target_tokens: int  # predicted by all ranks together: <eos> counts, <bos> does not
    cursor: Cursor  # where reading goes on once this batch is trained on


@dataclass(frozen=True, slots=True, kw_only=True)
class Markers:
    """Ids that frame a sequence; without targets both `to_…` are `<bos>`."""

    pad: int
    bos: int
    eos: int
    to_src: int
    to_tgt: int
    prefix: int
    has_target: bool

    @classmethod
    def of(cls, manifest: Manifest) -> "Markers":
        tokenizer, languages = manifest.tokenizer, manifest.languages
        bos = tokenizer.bos_id
        to = {side: tokenizer.target_ids[languages[side]] for side in _SIDES if manifest.has_target}
        return cls(
            pad=tokenizer.pad_id,
            bos=bos,
            eos=tokenizer.eos_id,
            to_src=to.get("src", bos),
            to_tgt=to.get("tgt", bos),
            prefix=manifest.tags.prefix_tokens,
            has_target=manifest.has_target,
        )


def direction_of(name: str, languages: Mapping[Side, str], subject: str) -> Direction:
    """The direction of a data set, named by its sides or by their languages: `src-tgt`, `ru-en`.

    Raises:
        TrainingError: when the data set has no such direction.
    """
    # the default, which texts without a translation have as well: there is one way to read them
    known: dict[str, Direction] = {"src-tgt": "src-tgt"}
    if "tgt" in languages:
        src, tgt = languages["src"], languages["tgt"]
        known |= {f"{src}-{tgt}": "src-tgt", f"{tgt}-{src}": "tgt-src"}
        known |= {"tgt-src": "tgt-src", "both": "both"}
    if name not in known:
        raise TrainingError(
            f"--direction {name} does not fit {subject}, whose languages are "
            f"{' and '.join(languages.values())}; nothing was read; use "
            f"{', '.join(known)}"
        )
    return known[name]


def is_reversed(ids: PairIds, direction: Direction, epoch: int) -> npt.NDArray[np.bool]:
    """Which samples go from tgt to src; with "both", each one does every other epoch."""
    if direction == "both":
        return np.asarray((ids ^ np.uint64(epoch)) & np.uint64(1), np.bool)
    return np.full(len(ids), direction == "tgt-src")


def framed_lengths(
    src_len: Rows, tgt_len: Rows, reverse: npt.NDArray[np.bool], prefix: int
) -> tuple[Rows, Rows]:
    """How long samples are as input and as target of the model, given their stored lengths."""
    # <to_x> tags text <eos>, where src holds its tags already; <bos> text <eos>
    inputs = np.where(reverse, tgt_len + prefix, src_len) + 2
    return inputs, np.where(reverse, src_len - prefix, tgt_len) + 2


@dataclass(frozen=True, slots=True)
class Framing:
    """Where each of the N samples of a window comes from, on one side of the model."""

    start: Rows  # [N] where its first id would lie, if all of them stood before its text
    length: Rows  # [N] of the whole sequence, <eos> included


@dataclass(frozen=True, slots=True)
class FramedWindow:
    """A window as the model reads it in one epoch."""

    window: Window
    reverse: npt.NDArray[np.bool]  # [N]
    inputs: Framing
    targets: Framing
    _runs: dict[int, npt.NDArray[np.void]] = field(default_factory=dict)

    def runs(self, widths: Iterable[int]) -> dict[int, npt.NDArray[np.void]]:
        """By width, every run of so many neighbouring ids as one element, copied in one go."""
        ids = self.window.ids
        for width in set(widths) - self._runs.keys():
            size, number = ids.itemsize, len(ids) - width + 1
            self._runs[width] = np.ndarray(number, f"V{width * size}", ids, strides=(size,))
        return self._runs


def frame_window(
    window: Window, markers: Markers, direction: Direction, epoch: int
) -> FramedWindow:
    """Decide for each sample what is its input and what its target."""
    reverse = is_reversed(window.id, direction, epoch)
    src, tgt, prefix = window.src, window.tgt, markers.prefix
    inputs, targets = framed_lengths(src.length, tgt.length, reverse, prefix)
    if not markers.has_target:
        targets = np.zeros_like(inputs)
    # in place of <to_x> or <bos>, and of the tags, which stay in front of whatever is the input
    return FramedWindow(
        window,
        reverse,
        Framing(np.where(reverse, tgt.start - prefix, src.start) - 1, inputs),
        Framing(np.where(reverse, src.start + prefix, tgt.start) - 1, targets),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchGroup:
    """Consecutive batches, padded, in few arrays: what threads and processes hand over."""

    inputs: Ids  # all batches one after the other, as small as ids are stored
    targets: Ids
    pair_ids: PairIds  # [R]
    global_pair_ids: PairIds
    rows: list[int]  # of each batch, of this rank
    global_rows: list[int]
    widths: list[tuple[int, int]]  # S and T of each batch
    target_tokens: list[int]
    cursors: list[Cursor]

    def batches(self) -> Iterator[Batch]:
        """The batches one by one: views of arrays that they share."""
        inputs, targets = self.inputs.astype(np.int64), self.targets.astype(np.int64)
        i = t = row = global_row = 0
        for count, global_count, (source_width, target_width), tokens, cursor in zip(
            self.rows, self.global_rows, self.widths, self.target_tokens, self.cursors, strict=True
        ):
            i_end, t_end = i + count * source_width, t + count * target_width
            row_end, global_end = row + count, global_row + global_count
            yield Batch(
                inputs[i:i_end].reshape(count, source_width),
                targets[t:t_end].reshape(count, target_width),
                self.pair_ids[row:row_end],
                self.global_pair_ids[global_row:global_end],
                tokens,
                cursor,
            )
            i, t, row, global_row = i_end, t_end, row_end, global_end


def collate(
    framed: FramedWindow,
    plan: WindowPlan,
    first: int,
    cursors: Sequence[Cursor],
    markers: Markers,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> BatchGroup:
    """Pad a rank's rows of the batches first, first + 1, … to the widths of the global batches.

    `cursors` holds the position behind each of them.
    """
    last = first + len(cursors)
    rows = plan.rows[plan.span(first, last)]
    bounds = np.concatenate([[0], plan.ends[first:last] - (plan.ends[first - 1] if first else 0)])
    lengths = [side.length.take(rows) for side in (framed.inputs, framed.targets)]
    widths = [np.maximum.reduceat(side, bounds[:-1]) for side in lengths]
    tokens = np.add.reduceat(lengths[1] - markers.has_target, bounds[:-1])
    own, counts = _own_rows(bounds, rank, world_size)
    if world_size > 1:
        lengths = [side.take(own) for side in lengths]
    own = rows.take(own)
    window, reverse = framed.window, framed.reverse[own]
    to = np.where(reverse, markers.to_src, markers.to_tgt)
    bos = np.full(len(own), markers.bos)
    begins = [side.start.take(own) for side in (framed.inputs, framed.targets)]
    padded_inputs, cells = _pad(framed, begins[0], lengths[0], counts, widths[0], to, markers)
    padded_targets = np.zeros(0, padded_inputs.dtype)
    if markers.has_target:
        padded_targets, _ = _pad(framed, begins[1], lengths[1], counts, widths[1], bos, markers)
    if markers.prefix and reverse.any():
        columns = np.arange(markers.prefix)
        tags = window.ids[window.src.start[own[reverse]][:, None] + columns]
        padded_inputs[cells[reverse][:, None] + 1 + columns] = tags
    return BatchGroup(
        inputs=padded_inputs,
        targets=padded_targets,
        pair_ids=window.id[own],
        global_pair_ids=window.id[rows],
        rows=counts.tolist(),
        global_rows=np.diff(bounds).tolist(),
        widths=list(zip(widths[0].tolist(), widths[1].tolist(), strict=True)),
        target_tokens=tokens.tolist(),
        cursors=list(cursors),
    )


def _own_rows(bounds: Rows, rank: int, world_size: int) -> tuple[Rows, Rows]:
    """Which rows of batches that lie one after the other are a rank's, and how many of each."""
    if world_size == 1:
        return np.arange(bounds[-1]), np.diff(bounds)
    parts = [
        rank_rows(np.arange(start, end), rank, world_size)
        for start, end in itertools.pairwise(bounds.tolist())
    ]
    return np.concatenate(parts), np.array([len(part) for part in parts])


def _pad(
    framed: FramedWindow,
    begins: Rows,
    lengths: Rows,
    counts: Rows,
    widths: Rows,
    first: Rows,
    markers: Markers,
) -> tuple[Ids, Rows]:
    """The rows of some batches at their widths, one after the other, and where each row begins.

    Text is copied as if it were as wide as its batch; what that brings in behind the <eos> is
    then overwritten, which is little, since batches hold rows of like lengths.
    """
    runs, ends = framed.runs(widths.tolist()), np.cumsum(counts).tolist()
    copies = [
        runs[width][begins[end - count : end]]
        for count, width, end in zip(counts.tolist(), widths.tolist(), ends, strict=True)
    ]
    joined = bytearray().join(copies)  # type: ignore[arg-type]  # arrays are buffers
    padded = np.frombuffer(joined, framed.window.ids.dtype)
    row_widths = np.repeat(widths, counts)
    cells = np.cumsum(row_widths) - row_widths
    spare = row_widths - lengths
    pads = np.repeat(cells + lengths - (np.cumsum(spare) - spare), spare)
    pads += np.arange(len(pads))
    padded[pads] = markers.pad
    padded[cells] = first
    padded[cells + lengths - 1] = markers.eos
    return padded, cells
