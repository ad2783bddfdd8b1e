"""Encodings, lines, JSON and names that mean harm or were made by accident."""

from pathlib import Path
from typing import Any

from tests.dataservice.prepare.hostile.case import GOOD, Hostile, Make, file


def parallel(src: bytes, tgt: bytes, ending: str = ".txt") -> Make:
    def make(folder: Path) -> dict[str, Any]:
        (folder / f"ru{ending}").write_bytes(src)
        (folder / f"en{ending}").write_bytes(tgt)
        return {"src": folder / f"ru{ending}", "tgt": folder / f"en{ending}"}

    return make


def line(record: str) -> Make:
    """A line between two good ones."""
    return file("c.jsonl", GOOD + record.encode() + b"\n" + GOOD)


def damaged(name: str, record: str, error: str, reason: str = "damaged_record") -> Hostile:
    return Hostile(name=name, make=line(record), error=error, lost={reason: 1}, pairs=2)


def bad_tsv(name: str, row: bytes, error: str, reason: str) -> Hostile:
    rows = "да\tyes\n".encode()
    return Hostile(
        name=name,
        make=file("c.tsv", rows + row + b"\n" + rows),
        error=error,
        lost={reason: 1},
        pairs=2,
    )


def by(author: str, tag: str) -> Hostile:
    """A pair whose author is no name."""
    record = f'{{"ru": "да", "en": "yes", "author": "{author}"}}\n'
    return Hostile(
        name=f"an author `{author[:40]}`",
        make=file("c.jsonl", record.encode()),
        pairs=1,
        author=tag,
    )


UTF = "is not valid UTF-8"
TEXT = "Привет, мир!\tHello, world!"


ENCODINGS = (
    *(
        Hostile(
            name=f"{encoding} in place of UTF-8",
            make=file("c.tsv", TEXT.encode(encoding)),
            error=UTF,
            lost={"damaged_encoding": 1},
        )
        for encoding in ("utf-16", "cp1251", "koi8-r", "utf-32")
    ),
    bad_tsv("a line in Latin-1", "да\tcafé".encode("latin-1", "replace"), UTF, "damaged_encoding"),
    bad_tsv("an overlong sequence (C0 AF)", b"\xc0\xaf\tyes", UTF, "damaged_encoding"),
    bad_tsv("half a surrogate as three bytes", b"\xed\xa0\x80\tyes", UTF, "damaged_encoding"),
    bad_tsv("a code point beyond the last one", b"\xf4\x90\x80\x80\tyes", UTF, "damaged_encoding"),
    bad_tsv("a character that is cut", b"\xd0\tyes", UTF, "damaged_encoding"),
    damaged("half a surrogate, escaped", '{"ru": "\\ud800", "en": "yes"}', "broken JSON"),
    Hostile(name="a byte order mark", make=file("c.jsonl", b"\xef\xbb\xbf" + GOOD), pairs=1),
    Hostile(
        name="byte order marks, two of them",
        make=file("c.jsonl", b"\xef\xbb\xbf" * 2 + GOOD),
        error="c.jsonl:1: broken JSON",
        lost={"damaged_record": 1},
    ),
    damaged("NUL bytes in JSON", '{"ru": "да\0", "en": "yes"}', "broken JSON"),
    Hostile(name="NUL bytes in TSV", make=file("c.tsv", "да\0\tyes\0".encode()), pairs=1),
    Hostile(
        name="a file of NUL bytes",
        make=file("c.tsv", bytes(5000)),
        error="c.tsv:1: 1 tab-separated fields",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="line ends of an old Mac",
        make=file("c.tsv", "да\tyes\rтри\tthree\r".encode() * 3),
        error="c.tsv:1: 7 tab-separated fields",
        lost={"damaged_record": 1},
    ),
    Hostile(
        name="line ends of Windows", make=file("c.jsonl", GOOD.replace(b"\n", b"\r\n")), pairs=1
    ),
    Hostile(
        name="other line ends of Unicode in a text",
        make=file("c.tsv", "да\u2028да\x0b\tyes\x85yes\x0c\n".encode()),
        pairs=1,
    ),
)


LINES = (
    Hostile(name="an empty file", make=file("c.jsonl", b""), pairs=0),
    Hostile(name="empty lines alone", make=file("c.jsonl", b"\n \n\t\n\r\n"), pairs=0),
    Hostile(
        name="a line of 20 MB",
        make=file("c.jsonl", lambda: GOOD + b'{"ru": "' + b"x" * 20_000_000 + b'"}\n' + GOOD),
        error="c.jsonl:2: a line of more than 16777216 bytes",
        lost={"damaged_line": 1},
        pairs=2,
    ),
    Hostile(
        name="a line of 20 MB without its end",
        make=file("c.tsv", lambda: "да\tyes\n".encode() + b"x" * 20_000_000),
        error="c.tsv:2: a line of more than 16777216 bytes",
        lost={"damaged_line": 1},
        pairs=1,
    ),
    Hostile(
        name="a line above a lower limit",
        make=file("c.jsonl", GOOD + b'{"ru": "' + b"x" * 5000 + b'", "en": "y"}\n' + GOOD),
        error="c.jsonl:2: a line of more than 4096 bytes",
        lost={"damaged_line": 1},
        pairs=2,
        reading={"max_line_bytes": 4096},
    ),
    Hostile(
        name="a line of 20 MB of two parallel files",
        make=parallel(b"x" * 20_000_000, b"yes\n"),
        error="ru.txt:1: a line of more than 16777216 bytes",
    ),
    Hostile(
        name="parallel files of unequal length",
        make=parallel("да\nтри\n".encode(), b"yes\n"),
        error="ru.txt has 2 and",
    ),
    Hostile(
        name="parallel files, one of them empty",
        make=parallel("да\n".encode(), b""),
        error="en.txt has 0 lines",
    ),
    Hostile(
        name="a TSV line with one field",
        make=file("c.tsv", "да\tyes\nодна\n".encode()),
        error="c.tsv:2: 1 tab-separated fields",
        lost={"damaged_record": 1},
        pairs=1,
    ),
    bad_tsv("a TSV line with a thousand fields", b"x\t" * 999, "1000 tab-sep", "damaged_record"),
)


JSON = (
    damaged("JSON that is cut", '{"ru": "да", "en": "ye', "c.jsonl:2: broken JSON"),
    damaged("two records on a line", '{"ru": "а"}{"en": "b"}', "c.jsonl:2: broken JSON"),
    damaged("records that need their neighbours", '{"ru": [{}', "c.jsonl:2: broken JSON"),
    damaged("100,000 brackets", "[" * 100_000, "c.jsonl:2: broken JSON"),
    damaged(
        "brackets 5,000 deep in a field that nobody reads",
        '{"ru": "да", "en": "yes", "x": ' + "[" * 5000 + "]" * 5000 + "}",
        "c.jsonl:2: broken JSON",
    ),
    damaged(
        "a whole number of 5,000 digits",
        '{"ru": "да", "en": "yes", "year": ' + "9" * 5000 + "}",
        "c.jsonl:2: broken JSON",
    ),
    damaged("NaN as a line", "NaN", "float instead of a JSON object"),
    damaged("NaN as a text", '{"ru": NaN, "en": "yes"}', "'ru' is not a string"),
    damaged("infinity as a year", '{"ru": "а", "en": "b", "year": 1e999}', "'year' is no string"),
    damaged("a number as a text", '{"ru": 1, "en": "yes"}', "'ru' is not a string"),
    damaged("null as a text", '{"ru": null, "en": "yes"}', "'ru' is missing"),
    damaged("a list as a text", '{"ru": ["да"], "en": "yes"}', "'ru' is not a string"),
    damaged("a list as a record", '["да", "yes"]', "list instead of a JSON object"),
    damaged("an object as an author", '{"ru": "а", "en": "b", "author": {}}', "'author' is no"),
    damaged("true as a year", '{"ru": "а", "en": "b", "year": true}', "'year' is no string"),
    damaged("a record without a target", '{"ru": "да"}', "'en' is missing"),
    damaged("`translation` that is a text", '{"translation": "да"}', "'ru' is missing"),
    damaged("CSV in a .jsonl", "да,yes", "broken JSON"),
    Hostile(
        name="the same key twice: the last one counts",
        make=line('{"ru": "x", "ru": "да", "en": "yes"}'),
        pairs=3,
    ),
)


NAMES = (
    by("<b>Иван</b>", "b_Иван_b"),
    by("<author_X> </s>", "author_X_s"),
    by("'; DROP TABLE pairs; --", "DROP_TABLE_pairs"),
    by("Анна\\u0000\\u001b[31m\\u202e", "Анна_31m"),
    by("\\n\\t \\u200b", ""),
    by("../../etc/passwd", "etc_passwd"),
    by("x" * 5000, "x" * 48),
)
