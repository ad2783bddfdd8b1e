"""Labelled pairs of a corpus and what filters say of them → precision and recall with intervals."""

import gzip
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

from dataservice.prepare.text.clean import clean
from dataservice.prepare.text.points import Mask
from shards.sample import pair_key

LABELS: Final = Path(__file__).parents[2] / "tests" / "data" / "labels.jsonl"
_Z: Final = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class Label:
    """What the reader of a pair says of it; the pair itself is known by its key alone."""

    key: str
    set: str  # tuning: read before the filters were settled; test: after
    weight: float  # pairs of the corpus for which it stands
    drop: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval, and the counts behind it."""

    share: float
    low: float
    high: float
    right: int
    read: int


def read_labels(path: Path = LABELS) -> list[Label]:
    """Every label, in the order of the file."""
    records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Label(**record | {"reasons": tuple(record["reasons"])}) for record in records]


def read_pairs(path: Path) -> dict[str, tuple[str, str]]:
    """The different cleaned pairs of a JSONL corpus by their keys, in order."""
    pairs: dict[str, tuple[str, str]] = {}
    for line in _lines(path):
        record = json.loads(line)
        sides = clean(record["ru"]), clean(record["en"])
        pairs.setdefault(pair_key(*sides).hex(), sides)
    return pairs


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        raw: Any = file
        if path.suffix == ".zst":
            raw = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        elif path.suffix == ".gz":
            raw = gzip.GzipFile(fileobj=file)
        with io.TextIOWrapper(raw, "utf-8", newline="\n") as lines:
            yield from lines


def wilson(share: float, number: float) -> tuple[float, float]:
    """The 95 % interval of a share that was found in so many samples."""
    if not number:
        return 0.0, 1.0
    centre = share + _Z**2 / (2 * number)
    reach = _Z * math.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    scale = 1 + _Z**2 / number
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def weighted_share(hits: Mask, among: Mask, weights: npt.NDArray[np.float64]) -> Share:
    """The share of hits among some samples, each of which stands for `weights` pairs.

    Unequal weights count as fewer samples: (Σw)² / Σw² of them.
    """
    chosen = weights[among]
    right = int(np.count_nonzero(hits & among))
    if not len(chosen):
        return Share(0.0, 0.0, 1.0, 0, 0)
    share = float(weights[hits & among].sum() / chosen.sum())
    low, high = wilson(share, float(chosen.sum() ** 2 / (chosen**2).sum()))
    return Share(share, low, high, right, len(chosen))
