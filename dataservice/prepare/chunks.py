"""Chunks of raw text → cleaned, filtered rows by bucket, and what became of every pair."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.counts import StageCounts
from dataservice.prepare.filters import REASONS, Batch, Side, drop_reasons
from dataservice.prepare.mask import mask_texts
from dataservice.prepare.near import write_bands
from dataservice.prepare.pair import Pairs
from dataservice.prepare.rows import BucketFile, Labels, RowKeys, bodies, dump_texts
from dataservice.prepare.sources import Chunk, parse_chunk
from dataservice.prepare.tags import labels_of_pairs
from dataservice.prepare.text.clean import clean
from dataservice.prepare.text.gate import clean_all
from dataservice.prepare.text.keys import first_of_each, fold_keys, in_sorted
from dataservice.prepare.text.points import Mask
from dataservice.prepare.work.spill import SpillFile
from dataservice.settings import BuildSettings

_RAW_CHARS: Final = 8  # an entity is up to so much longer than its character


@dataclass(frozen=True, slots=True)
class CleanUnit:
    """Work of one process: clean and filter one chunk into rows sorted by bucket."""

    number: int
    chunk: Chunk
    rows: BucketFile
    label: str  # what people are told of the unit
    test_file: Path | None  # npy, uint64 [T], sorted: folded sentences of the test sets
    settings: BuildSettings

    @property
    def content(self) -> str:
        """Names what the unit is made of, which may be another when a source is read again."""
        known = repr(replace(self.chunk, columns=()))  # the files by their digests, not their place
        return hashlib.blake2b(known.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class CleanResult:
    """How many rows of a chunk are kept, and what became of every pair."""

    num_rows: int
    funnel: StageCounts
    spilled: tuple[SpillFile, ...]

    def files(self) -> tuple[SpillFile, ...]:
        return self.spilled


@dataclass(slots=True)
class _Columns:
    """N pairs on their way through the stage; without a target, `tgt` holds empty texts."""

    src: list[str]
    tgt: list[str]
    labels: list[str]  # as `Labels.dump` writes them

    def take(self, kept: Mask) -> "_Columns":
        wanted = kept.tolist()
        return _Columns(
            list(itertools.compress(self.src, wanted)),
            list(itertools.compress(self.tgt, wanted)),
            list(itertools.compress(self.labels, wanted)),
        )

    def drop(self, reason: str, rows: Iterable[int], funnel: StageCounts) -> None:
        for row in rows:
            source = Labels.load(self.labels[row]).source
            funnel.drop(reason, source, self.src[row], self.tgt[row])


def clean_chunk(unit: CleanUnit) -> CleanResult:
    """Clean, filter and tag the pairs of one chunk; write what is kept by bucket."""
    pairs = parse_chunk(unit.chunk)
    funnel = StageCounts()
    columns = _columns(pairs, funnel)
    settings = unit.settings
    columns = _drop_longest(columns, settings, funnel)
    src, src_points, src_changed = clean_all(columns.src)
    tgt, tgt_points, tgt_changed = clean_all(columns.tgt)
    changed = {*src_changed, *tgt_changed}
    funnel.changed["cleaned"] = len(changed)
    sides = [Side(src, settings.src_lang, src_points), Side(tgt, settings.tgt_lang, tgt_points)]
    if settings.mask_personal:
        sides, masked = _mask(sides)
        funnel.changed["masked"] = len(masked)
        changed |= masked
    funnel.num_changed = len(changed)
    columns.src, columns.tgt = (list(side.texts) for side in sides)
    batch = Batch(sides[0], sides[1] if pairs.tgt is not None else None, settings)
    reasons = drop_reasons(batch)
    keys = (fold_keys(sides[0].points), fold_keys(sides[1].points))
    tested = _in_test_set(keys, unit.test_file)
    for number in np.unique(reasons[reasons > 0]).tolist():
        columns.drop(REASONS[number - 1], np.flatnonzero(reasons == number).tolist(), funnel)
    columns.drop("contamination", np.flatnonzero(tested & (reasons == 0)).tolist(), funnel)
    kept = (reasons == 0) & ~tested
    num_rows, spilled = _write(columns.take(kept), (keys[0][kept], keys[1][kept]), unit, funnel)
    return CleanResult(num_rows, funnel, spilled)


def _columns(pairs: Pairs, funnel: StageCounts) -> _Columns:
    labels = labels_of_pairs(pairs)
    for text, number in Counter(labels).items():
        funnel.read[Labels.load(text).source] += number
    for (source, reason), number in pairs.damaged.items():
        source = clean(source)
        funnel.read[source] += number
        funnel.dropped[source, reason] += number
    tgt = pairs.tgt if pairs.tgt is not None else [""] * len(pairs)
    return _Columns(pairs.src, tgt, labels)


def _drop_longest(columns: _Columns, settings: BuildSettings, funnel: StageCounts) -> _Columns:
    """Without the pairs that cleaning would not shorten to what is kept."""
    limit = _RAW_CHARS * settings.max_chars
    if max(max(map(len, side), default=0) for side in (columns.src, columns.tgt)) <= limit:
        return columns
    lengths = [
        np.fromiter(map(len, side), np.int64, len(side)) for side in (columns.src, columns.tgt)
    ]
    too_long = np.maximum(*lengths) > limit
    columns.drop("too_long", np.flatnonzero(too_long).tolist(), funnel)
    return columns.take(~too_long)


def _mask(sides: list[Side]) -> tuple[list[Side], set[int]]:
    """The sides without personal data, and the rows that had some."""
    changed: set[int] = set()
    masked = []
    for side in sides:
        texts, found = mask_texts(side)
        changed.update(np.flatnonzero(found).tolist())
        masked.append(Side(texts, side.language) if found.any() else side)
    return masked, changed


def _in_test_set(
    keys: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]], file: Path | None
) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(keys[0]), np.bool_)
    if file is not None:
        known = np.load(file, mmap_mode="r")
        for side in keys:
            found |= in_sorted(side, known)
    return found


def _write(
    columns: _Columns,
    keys: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]],
    unit: CleanUnit,
    funnel: StageCounts,
) -> tuple[int, tuple[SpillFile, ...]]:
    texts = bodies(columns.src, columns.tgt)
    digests = [hashlib.blake2b(body, digest_size=16).digest() for body in texts]
    rows = RowKeys.of(digests, *keys)
    copied = _copies(rows)
    if copied.any():
        columns.drop("duplicate", np.flatnonzero(copied).tolist(), funnel)
        columns, rows = columns.take(~copied), rows[~copied]
        texts = list(itertools.compress(texts, (~copied).tolist()))
    spilled = (unit.rows.write(dump_texts(texts, columns.labels), rows),)
    if unit.settings.near_duplicates == "minhash":
        joined = [
            f"{one} {other}".rstrip() for one, other in zip(columns.src, columns.tgt, strict=True)
        ]
        near = write_bands(unit.rows.folder, unit.number, joined, rows["id"], unit.settings)
        return len(rows), (*spilled, near)
    return len(rows), spilled


def _copies(rows: npt.NDArray[np.void]) -> Mask:
    """Rows of pairs that stand in the chunk before; the first of each is told how many there are.

    All copies of a corpus meet in one partition, which must not grow with their number. What shares
    an id and is another pair is left for the partition to tell.
    """
    ids = np.sort(rows["id"])
    if not (ids[1:] == ids[:-1]).any():
        return np.zeros(len(rows), np.bool_)
    first = first_of_each(rows["id"])
    copied = (first != np.arange(len(rows))) & (rows["rest"] == rows["rest"][first])
    rows["copies"] += np.bincount(first[copied], minlength=len(rows)).astype(np.uint32)
    return np.asarray(copied)
