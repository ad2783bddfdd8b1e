"""Rows of a source → what the first stages of a build leave of them, read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataservice.prepare.chunks import CleanResult, CleanUnit, clean_chunk
from dataservice.prepare.counts import StageCounts, merge_stages
from dataservice.prepare.partition import (
    Partition,
    SplitUnit,
    split_partitions,
    split_units,
)
from dataservice.prepare.rows import BucketFile, Labels, join_starts
from dataservice.prepare.sources import read_chunks
from dataservice.prepare.split_file import SPLITS, SplitFile
from shards.manifest import Split
from tests.dataservice.prepare.builds import small, write_rows


class Kept(NamedTuple):
    """A pair as it lies in a split."""

    pair_id: int
    src: str
    tgt: str
    labels: Labels


@dataclass(frozen=True)
class Stages:
    """The results of both stages, and the folder of the second."""

    cleaned: list[CleanResult]
    split: list[Partition]
    folder: Path

    def rows(self, split: Split, partition: int) -> list[Kept]:
        """The rows of one split of one partition, in order."""
        with SplitFile(self.folder, partition, split).open() as file:
            src, tgt, labels = (
                file.text(name).split("\n")[:-1] for name in ("src", "tgt", "labels")
            )
            ids, label_rows = file.ids().tolist(), file.label_rows().tolist()
        return [
            Kept(number, one, other, Labels.load(labels[at]))
            for number, one, other, at in zip(ids, src, tgt, label_rows, strict=True)
        ]

    def all_rows(self, *splits: Split) -> list[Kept]:
        """The rows of the given splits, or of both."""
        return [
            row
            for partition in range(len(self.split))
            for split in splits or SPLITS
            for row in self.rows(split, partition)
        ]

    @property
    def funnel(self) -> StageCounts:
        """What both stages dropped."""
        cleaned, split = ([one.funnel for one in stage] for stage in (self.cleaned, self.split))
        return merge_stages([*cleaned, *split])


def run_stages(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    number: int = 1,
    together: Sequence[range] | None = None,
    chunk_rows: int | None = None,
    **values: Any,
) -> Stages:
    """Clean the rows, in chunks of so many, and split them in so many partitions."""
    size = chunk_rows or len(rows)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    files = [write_rows(folder / f"corpus-{n}.jsonl", part) for n, part in enumerate(parts)]
    settings = small(folder, sources=[{"path": file} for file in files], **values)
    chunks = [
        chunk
        for n, source in enumerate(settings.sources)
        for chunk in read_chunks(source, folder / f"read-{n}", [], settings.reading)
    ]
    for name in ("clean", "split"):
        (folder / name).mkdir()
    units = [
        CleanUnit(
            number=index,
            chunk=chunk,
            rows=BucketFile.of_chunk(folder, index),
            label="",
            test_file=None,
            settings=settings,
        )
        for index, chunk in enumerate(chunks)
    ]
    cleaned = [clean_chunk(unit) for unit in units]
    join_starts([unit.rows for unit in units], folder, "starts")
    split = [
        partition
        for partitions in together or split_units(number)
        for partition in split_partitions(
            SplitUnit(
                partitions=partitions,
                num_partitions=number,
                num_chunks=len(chunks),
                folder=folder,
                starts_file="starts",
                near_file=None,
                settings=settings,
            )
        ).partitions
    ]
    return Stages(cleaned, split, folder)
