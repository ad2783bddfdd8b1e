"""Parquet, TMX and message catalogues that mean harm or were made by accident."""

import io
import struct
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tests.dataservice.prepare.catalogues import mo, po, tmx
from tests.dataservice.prepare.hostile.case import Hostile, Make, file

ROWS: Final = {"ru": ["да", "три"], "en": ["yes", "three"]}
UNIT: Final = {"ru": "да", "en": "yes"}
ENTRY: Final = 'msgid "yes"\nmsgstr "да"\n'
UTF: Final = "is not valid UTF-8"


def parquet(columns: dict[str, Any], **options: Any) -> Make:
    return file("c.parquet", lambda: parquet_bytes(columns, **options))


def parquet_bytes(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def no_text() -> pa.Array:
    """A column of strings of which the second is no UTF-8."""
    return pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(struct.pack("<3i", 0, 1, 2)), pa.py_buffer(b"a\xff")],
    )


NO_PARQUET = "is no whole Parquet file"
WHOLE = parquet_bytes(ROWS)
PARQUET = (
    Hostile(
        name="an empty .parquet",
        make=file("c.parquet", b""),
        error=NO_PARQUET,
        lost={"damaged_archive": 1},
    ),
    Hostile(
        name="a .parquet that is cut",
        make=file("c.parquet", WHOLE[:-20]),
        error=NO_PARQUET,
        lost={"damaged_archive": 1},
    ),
    Hostile(
        name="a .parquet whose footer says 4 GiB",
        make=file("c.parquet", WHOLE[:-8] + b"\xff\xff\xff\xff" + b"PAR1"),
        error=NO_PARQUET,
        lost={"damaged_archive": 1},
    ),
    Hostile(
        name="a .parquet whose footer is garbage",
        make=file("c.parquet", WHOLE[:-60] + b"\xff" * 52 + WHOLE[-8:]),
        error=NO_PARQUET,
        lost={"damaged_archive": 1},
    ),
    Hostile(
        name="a .parquet whose pages are zeros",
        make=file("c.parquet", b"PAR1" + bytes(60) + WHOLE[64:]),
        error=NO_PARQUET,
        lost={"damaged_archive": 1},
    ),
    Hostile(
        name="a .parquet without the columns",
        make=parquet({"question": ["да"], "answer": ["yes"]}),
        error="has the columns question, answer, not ru, en",
    ),
    Hostile(
        name="a .parquet with numbers for texts",
        make=parquet({"ru": [1], "en": ["yes"]}),
        error="column 'ru' holds int64, not text",
    ),
    Hostile(
        name="a .parquet with a text that is no UTF-8",
        make=parquet({"ru": no_text(), "en": ["a", "b"]}),
        error="c.parquet:row 2: 'ru' is not valid UTF-8",
        lost={"damaged_encoding": 1},
        pairs=1,
    ),
    Hostile(
        name="a .parquet with a null for a text",
        make=parquet({"ru": ["да", None], "en": ["yes", "no"]}),
        error="c.parquet:row 2: 'ru' is missing",
        lost={"damaged_record": 1},
        pairs=1,
    ),
    Hostile(
        name="a .parquet with fractions for years",
        make=parquet({**ROWS, "year": [1.5, 2.5]}),
        error="c.parquet:row 1: 'year' is no string",
        lost={"damaged_record": 2},
    ),
    Hostile(
        name="a .parquet without rows",
        make=parquet({"ru": pa.array([], pa.string()), "en": pa.array([], pa.string())}),
    ),
)


XML = (
    Hostile(
        name="an entity outside of the file",
        make=file(
            "c.tmx",
            tmx([UNIT])
            .replace('SYSTEM "tmx14.dtd"', '[<!ENTITY x SYSTEM "file:///etc/passwd">]')
            .replace("да", "&x;")
            .encode(),
        ),
        error="declares the entity 'x', as XML bombs do",
    ),
    Hostile(
        name="an entity that nobody declared",
        make=file("c.tmx", tmx([UNIT, UNIT]).replace("да", "&x;", 1).encode()),
        error="c.tmx:unit 1: broken XML",
        lost={"damaged_record": 1},
        pairs=1,
    ),
    Hostile(
        name="a .tmx that is cut",
        make=file("c.tmx", tmx([UNIT, UNIT]).encode()[:-60]),
        error="its </tmx> is missing",
        lost={"damaged_archive": 1},
        pairs=1,
    ),
    Hostile(
        name="a unit whose elements cross",
        make=file("c.tmx", tmx([UNIT, UNIT]).replace("</seg></tuv>", "</tuv></seg>", 1).encode()),
        error="c.tmx:unit 1: broken XML",
        lost={"damaged_record": 1},
        pairs=1,
    ),
    Hostile(
        name="XML that is no TMX",
        make=file("c.tmx", b"<html><p>text</p></html>"),
        error="is no TMX: it has no <body>",
    ),
    Hostile(
        name="HTML called .tmx",
        make=file("c.tmx", b"<!doctype html><body>x</body>"),
        error="is no TMX",
    ),
    Hostile(
        name="a .tmx in an encoding that does not exist",
        make=file("c.tmx", tmx([UNIT]).replace("UTF-8", "rot13").encode()),
        error="is in rot13, which is not known",
    ),
    Hostile(
        name="a .tmx in another encoding than it says",
        make=file("c.tmx", tmx([UNIT, {"ru": "три", "en": "three"}]).encode("cp1251")),
        error="c.tmx:unit 1: broken XML",
        lost={"damaged_record": 2},
    ),
    Hostile(
        name="elements 100,000 deep",
        make=file(
            "c.tmx", tmx([UNIT]).replace("да", "<hi>" * 100_000 + "</hi>" * 100_000 + "да").encode()
        ),
        pairs=1,
    ),
    Hostile(
        name="a unit with one language",
        make=file("c.tmx", tmx([UNIT, {"ru": "да"}]).encode()),
        lost={"untranslated": 1},
        pairs=1,
    ),
)


MO_HEAD = struct.pack("<4I", 0x950412DE, 0, 0xFFFFFFFF, 28)
CATALOGUES = (
    Hostile(
        name="a .mo that promises 4 billion messages",
        make=file("c.mo", MO_HEAD + bytes(40)),
        error="tables of 4294967295 messages point outside",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="a .mo whose texts lie outside of it",
        make=file(
            "c.mo",
            mo({b"yes": "да".encode()}).replace(
                struct.pack("<2I", 3, 44), struct.pack("<2I", 3, 1 << 30)
            ),
        ),
        error="tables of 1 messages point outside",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="a .mo whose messages are all the whole file",
        make=file(
            "c.mo",
            struct.pack("<7I", 0x950412DE, 0, 9, 28, 28, 0, 0) + struct.pack("<2I", 100, 0) * 9,
        ),
        error="tables of 9 messages point outside",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="a .mo that is cut",
        make=file("c.mo", mo({b"yes": "да".encode()})[:-4]),
        error="point outside",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="an empty .mo",
        make=file("c.mo", b""),
        error="does not begin as a .mo",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="a .po called .mo",
        make=file("c.mo", po(ENTRY)),
        error="does not begin as a .mo",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="a .mo that is not in its encoding",
        make=file("c.mo", mo({b"": b"Language: ru\n", b"yes": b"\xff\xfe"})),
        error="a message is not utf-8",
        lost={"damaged_encoding": 1},
    ),
    Hostile(
        name="a .po in an encoding that is a program",
        make=file("c.po", po(ENTRY, header="Content-Type: text/plain; charset=unicode_escape\n")),
        error="is in 'unicode_escape', which is not known",
    ),
    Hostile(
        name="a .po into another language",
        make=file("c.po", po(ENTRY, header="Language: de\n")),
        error="is translated into 'de', which is neither",
    ),
    Hostile(
        name="a .po with a string that does not end",
        make=file("c.po", po(ENTRY, 'msgid "no\nmsgstr "нет"\n', ENTRY)),
        error="c.po:10: a string without its quotation marks",
        lost={"damaged_record": 1},
        pairs=2,
    ),
    Hostile(
        name="a .po with something else in it",
        make=file("c.po", po(ENTRY, "<html>\n", ENTRY)),
        error="neither a message nor a comment",
        lost={"damaged_record": 1},
        pairs=2,
    ),
    Hostile(
        name="a .po with a message without a translation",
        make=file("c.po", po('msgid "no"\n', ENTRY)),
        error="c.po:8: a message without msgid or msgstr",
        lost={"damaged_record": 1},
        pairs=1,
    ),
    Hostile(
        name="a .po that is not in its encoding",
        make=file("c.po", po(ENTRY) + b'\nmsgid "no"\nmsgstr "\xff"\n'),
        error=UTF,
        lost={"damaged_encoding": 1},
        pairs=1,
    ),
)
