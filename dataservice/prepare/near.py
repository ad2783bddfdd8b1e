"""Band hashes of all chunks → the ids of pairs that an earlier pair resembles.

A pair is dropped when it shares a band with a pair that was read before it, wherever that one
lies: bands are compared range by range of their values, as partitions are of sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.prepare.minhash import band_hashes
from dataservice.prepare.rows import dump_array
from dataservice.prepare.text.keys import Keys, mix
from dataservice.prepare.work.spill import SpillFile, spill
from dataservice.settings import BuildSettings

NEAR_IDS: Final = "near.npy"
_RECORD: Final = np.dtype([("band", "<u8"), ("order", "<u8"), ("id", "<u8")])
_CHUNK_BITS: Final = np.uint64(32)


@dataclass(frozen=True, slots=True)
class NearUnit:
    """Work of one process: compare the bands whose values lie in one range."""

    number: int
    num_units: int
    num_chunks: int
    folder: Path

    @property
    def label(self) -> str:
        return f"band range {self.number}"


@dataclass(frozen=True, slots=True)
class NearResult:
    """The ids of pairs that resemble earlier ones, in a file."""

    spilled: SpillFile

    def files(self) -> tuple[SpillFile, ...]:
        return (self.spilled,)


def write_bands(
    folder: Path, chunk: int, texts: Sequence[str], ids: Keys, settings: BuildSettings
) -> SpillFile:
    """Write the bands of a chunk's pairs, given each pair's text and id [N], by their values."""
    bands = band_hashes(texts, settings)
    rows, columns = np.nonzero(bands)
    records = np.zeros(len(rows), _RECORD)
    # another band's equal hash is no likeness
    records["band"] = mix(bands[rows, columns] ^ mix(columns.astype(np.uint64)))
    records["order"] = np.uint64(chunk) << _CHUNK_BITS | rows.astype(np.uint64)
    records["id"] = ids[rows]
    records.sort(order=("band", "order"))
    return spill(folder, _bands_file(chunk), dump_array(records))


def find_near(unit: NearUnit) -> NearResult:
    """Compare one range of all chunks' bands."""
    first = unit.number * 2**64 // unit.num_units
    last = (unit.number + 1) * 2**64 // unit.num_units - 1
    parts = [np.zeros(0, _RECORD)]
    for chunk in range(unit.num_chunks):
        records = np.load(unit.folder / _bands_file(chunk), mmap_mode="r")
        begin = np.searchsorted(records["band"], np.uint64(first))
        end = np.searchsorted(records["band"], np.uint64(last), side="right")
        parts.append(np.array(records[begin:end]))
    data = dump_array(np.unique(_later(np.concatenate(parts))))
    return NearResult(spill(unit.folder, f"near/{unit.number:05d}.npy", data))


def join_near(folder: Path, results: Sequence[NearResult]) -> SpillFile:
    """All ids found, sorted, each once."""
    parts = [np.load(result.spilled.under(folder)) for result in results]
    return spill(folder, NEAR_IDS, dump_array(np.unique(np.concatenate(parts))))


def _later(records: npt.NDArray[np.void]) -> Keys:
    """Ids of the records whose band stood in a record of another pair before."""
    records = records[np.lexsort((records["order"], records["band"]))]
    begins = np.ones(len(records), np.bool_)
    begins[1:] = records["band"][1:] != records["band"][:-1]
    firsts = records["id"][begins][np.cumsum(begins) - 1]
    return np.asarray(records["id"][records["id"] != firsts], np.uint64)


def _bands_file(chunk: int) -> str:
    return f"clean/{chunk:06d}.bands.npy"
