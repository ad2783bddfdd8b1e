"""Archives that are cut or wrong, and bombs."""

import gzip
import lzma
import struct
from collections.abc import Callable
from typing import Final

import pyarrow as pa
import zstandard

from tests.dataservice.prepare.catalogues import tmx
from tests.dataservice.prepare.hostile.case import GOOD, Hostile, file, zstd
from tests.dataservice.prepare.hostile.formats import UNIT, parquet


def archive(name: str, ending: str, data: bytes, pairs: int = 0) -> Hostile:
    """A file of JSON lines that is no whole archive."""
    return Hostile(
        name=name,
        make=file(f"c.jsonl{ending}", data),
        error="is cut or damaged",
        lost={"damaged_archive": 1},
        pairs=pairs,
    )


def zstd_bomb() -> bytes:
    """1 GiB of new lines in 33 kB: blocks that repeat one byte."""
    block = (131072 << 3 | 1 << 1).to_bytes(3, "little") + b"\n"
    last = (131072 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\n"
    return b"\x28\xb5\x2f\xfd\x00\x38" + block * 8191 + last


def wide_window() -> bytes:
    options = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=options).compressobj()
    return packer.compress(GOOD) + packer.flush()


def lines_of(number: int) -> bytes:
    """Pairs that do not compress to nothing."""
    rows = (f'{{"ru": "да {n * 7919}", "en": "yes {n * 104729}"}}\n' for n in range(number))
    return "".join(rows).encode()


def repeated() -> dict[str, object]:
    """10 GB of text in 1 kB: one megabyte, named ten thousand times."""
    index = pa.array([0] * 10_000, pa.int32())
    return {"ru": pa.DictionaryArray.from_arrays(index, ["я" * 500_000]), "en": ["a"] * 10_000}


PACKED: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.compress,
    ".zst": zstd,
    ".xz": lzma.compress,
}


ARCHIVES = (
    *(archive(f"an empty {end}", end, b"") for end in PACKED),
    *(archive(f"plain text called {end}", end, GOOD) for end in PACKED),
    *(
        archive(f"a {end} whose last byte is missing", end, pack(GOOD)[:-1], pairs)
        for (end, pack), pairs in zip(PACKED.items(), (1, 0, 1), strict=True)
    ),
    *(
        archive(f"a {end} with garbage behind", end, pack(GOOD) + b"garbage", 1)
        for end, pack in PACKED.items()
    ),
    *(
        Hostile(
            name=f"a {end} of two members",
            make=file(f"c.jsonl{end}", pack(GOOD) + pack(GOOD)),
            pairs=2,
        )
        for end, pack in PACKED.items()
    ),
    archive("a .gz called .zst", ".zst", gzip.compress(GOOD)),
    archive("a .gz with a wrong checksum", ".gz", gzip.compress(GOOD)[:-8] + bytes(8)),
    archive("a .zst that needs 256 MiB of memory", ".zst", wide_window()),
    Hostile(
        name="a .zst with a part to skip",
        make=file("c.jsonl.zst", struct.pack("<II", 0x184D2A50, 3) + b"abc" + zstd(GOOD)),
        pairs=1,
    ),
    Hostile(
        name="a .zip called .jsonl.zip",
        make=file("c.jsonl.zip", b"PK\x03\x04"),
        error="is none of .jsonl",
    ),
)


BOMB = "times its size, as a bomb does"
BOMBS = (
    Hostile(name="33 kB of zstd that are 1 GiB", make=file("c.jsonl.zst", zstd_bomb), error=BOMB),
    Hostile(
        name="100 kB of gzip that are 70 MB",
        make=file("c.jsonl.gz", lambda: gzip.compress(b"\n" * 70_000_000, 1)),
        error=BOMB,
    ),
    Hostile(
        name="15 kB of xz that are 70 MB",
        make=file("c.jsonl.xz", lambda: lzma.compress(b"\n" * 70_000_000, preset=0)),
        error=BOMB,
    ),
    Hostile(
        name="zeros without an end of line",
        make=file("c.jsonl.zst", lambda: zstd(bytes(200_000_000))),
        error="c.jsonl.zst:1: a line of more than",
        lost={"damaged_line": 1},
        reading={"max_ratio": 1_000_000},
    ),
    Hostile(
        name="more than a source may hold",
        make=file("c.jsonl.zst", lambda: zstd(lines_of(40_000))),
        error="holds more than 1048576 bytes",
        reading={"max_source_bytes": 1 << 20},
    ),
    Hostile(
        name="1 kB of Parquet that are 10 GB",
        make=parquet(repeated(), compression="zstd"),
        error=BOMB,
    ),
    Hostile(
        name="a million laughs in XML",
        make=file(
            "c.tmx",
            tmx([UNIT])
            .replace(
                "<!DOCTYPE tmx SYSTEM",
                '<!DOCTYPE tmx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><!-- ',
            )
            .replace('"tmx14.dtd">', "-->")
            .encode(),
        ),
        error="declares the entity 'a', as XML bombs do",
    ),
)
