"""Good files with a few bytes changed → pairs, or an error of ours; never another exception."""

import contextlib
import gzip
import lzma
import random
from pathlib import Path

import pytest

from dataservice.errors import SourceError
from dataservice.source_settings import Reading, SourceSettings
from tests.dataservice.prepare.catalogues import mo, po, tmx
from tests.dataservice.prepare.hostile.formats import ENTRY, parquet_bytes
from tests.dataservice.prepare.source_files import PAIRS, jsonl, read, tsv, write, zstd

MANY = PAIRS * 20
UNITS = [{"ru": ru, "en": en} for ru, en in MANY]
SEEDS = {
    "flat.parquet": parquet_bytes({side: [unit[side] for unit in UNITS] for side in ("ru", "en")}),
    "nested.parquet": parquet_bytes({"translation": UNITS}, compression="zstd"),
    "c.jsonl": jsonl(MANY),
    "c.tsv": tsv(MANY),
    "c.tmx": tmx(UNITS).encode(),
    "wide.tmx": tmx(UNITS).replace("UTF-8", "utf-16").encode("utf-16"),
    "c.po": po(*[ENTRY] * 10),
    "c.mo": mo({b"message %d" % number: b"text" for number in range(20)}),
    "c.jsonl.zst": zstd(jsonl(MANY)),
    "c.jsonl.gz": gzip.compress(jsonl(MANY)),
    "c.jsonl.xz": lzma.compress(jsonl(MANY)),
}


def mutant(data: bytes, order: random.Random) -> bytes:
    """The bytes with some changed, left out, put in, or made a large number."""
    changed = bytearray(data)
    for _ in range(order.choice((1, 1, 2, 8))):
        at = order.randrange(len(changed))
        kind = order.randrange(4)
        if kind == 0:
            changed[at] = order.randrange(256)
        elif kind == 1:
            del changed[at : at + order.choice((1, 4, 50))]
        elif kind == 2:
            changed[at:at] = order.randbytes(order.choice((1, 3)))
        else:
            changed[at : at + 4] = b"\xff\xff\xff\x7f"
    return bytes(changed)


@pytest.mark.parametrize("name", SEEDS)
def test_a_file_with_changed_bytes_gives_pairs_or_one_error(tmp_path: Path, name: str) -> None:
    order = random.Random(name)
    for _ in range(40):
        path = write(tmp_path / name, mutant(SEEDS[name], order))
        for reading in (Reading(), Reading(damaged="skip")):
            with contextlib.suppress(SourceError):
                found = read(SourceSettings(path=path), tmp_path, reading=reading)
                assert all(isinstance(pair.src, str) for pair in found)
