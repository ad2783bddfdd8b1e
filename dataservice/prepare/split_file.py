"""One split of one partition ↔ its file: texts in order, and what later stages ask of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.counts import PointCounts, TextCounts
from dataservice.prepare.rows import Columns
from dataservice.prepare.text.keys import Keys
from dataservice.prepare.work.sections import Section, SectionFile, dump_sections
from dataservice.prepare.work.spill import SpillFile, open_spill
from shards.manifest import Split

SPLITS: Final[tuple[Split, ...]] = ("train", "val")


@dataclass(frozen=True, slots=True)
class SplitFile:
    """Where one split of one partition lies, below the build's folder."""

    folder: Path
    partition: int
    split: Split

    @property
    def path(self) -> str:
        return f"split/{self.partition:05d}.{self.split}"

    @property
    def lengths_path(self) -> str:
        """Beside it, how long the samples of each shard are, once they are encoded."""
        return f"{self.path}.lengths"

    def write(self, rows: Columns, keys: npt.NDArray[np.void]) -> tuple[SpillFile, int]:
        """Write rows that are in order; the file, and the bytes of its texts."""
        numbers = {labels: number for number, labels in enumerate(dict.fromkeys(rows.labels))}
        src, tgt = (b"\n".join([*side, b""]) for side in (rows.src, rows.tgt))
        counts = [TextCounts.of(side.decode()) for side in (src, tgt)]
        sections: dict[str, Section] = {
            "ids": keys["id"],
            "targets": keys["tgt"],
            "lengths": np.array([side.lengths for side in counts], np.uint32),
            "label_rows": np.fromiter(map(numbers.__getitem__, rows.labels), np.uint32, len(keys)),
            "points": _dump_points([side.points for side in counts]),
            "labels": b"\n".join([*numbers, b""]),
            "src": src,
            "tgt": tgt,
        }
        with open_spill(self.folder, self.path) as out:
            for piece in dump_sections(sections):
                out.write(piece)
        return out.spilled, len(src) + len(tgt)

    def open(self) -> "SplitReader":
        """The file, open to be read; to be closed."""
        return SplitReader(self.folder / self.path)


class SplitReader(SectionFile):
    """The N rows of a split, column by column."""

    def ids(self) -> Keys:
        """Pair ids, ascending [N]."""
        return self.array("ids")

    def targets(self) -> Keys:
        """Folded target sentences [N]."""
        return self.array("targets")

    def lengths(self) -> npt.NDArray[np.uint32]:
        """Characters of each source and of each target [2, N]."""
        return self.array("lengths")

    def points(self) -> tuple[PointCounts, PointCounts]:
        """How often each character stands in the sources, and in the targets."""
        table = self.array("points")
        src, tgt = (table[table[:, 0] == side, 1:] for side in (0, 1))
        return (
            PointCounts(src[:, 0].astype(np.uint32), src[:, 1]),
            PointCounts(tgt[:, 0].astype(np.uint32), tgt[:, 1]),
        )

    def labels(self) -> list[str]:
        """The different labels, as `Labels.dump` writes them [L]."""
        return self.text("labels").split("\n")[:-1]

    def label_rows(self) -> npt.NDArray[np.uint32]:
        """Which of the labels are each row's [N]."""
        return self.array("label_rows")

    def first_lines(self, side: str, number: int) -> Iterator[bytes]:
        """The first texts of a side, src or tgt, with the ends of their lines."""
        return islice(self.lines(side), number)


def _dump_points(sides: Sequence[PointCounts]) -> npt.NDArray[np.int64]:
    """Code points with their side, 0 or 1, and how often it has them [P, 3]."""
    columns = [
        np.array([np.full(len(side.points), number), side.points, side.counts], np.int64).T
        for number, side in enumerate(sides)
    ]
    return np.concatenate(columns)
