"""Messages → .mo bytes, and TMX, as other programs write them."""

import struct
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

HEADER = (
    "Language: ru\nLast-Translator: Анна Ким <anna@example.org>\n"
    "Content-Type: text/plain; charset=UTF-8\n"
)


def mo(messages: Mapping[bytes, bytes], order: str = "<") -> bytes:
    """A catalogue of messages, in either byte order."""
    rows = sorted(messages.items())
    number = len(rows)
    tables, texts = [], b""
    start = 28 + 16 * number
    for side in (0, 1):
        for row in rows:
            tables.append((len(row[side]), start + len(texts)))
            texts += row[side] + b"\0"
    head = struct.pack(f"{order}7I", 0x950412DE, 0, number, 28, 28 + 8 * number, 0, 0)
    return head + b"".join(struct.pack(f"{order}2I", *entry) for entry in tables) + texts


def po(*entries: str, header: str = HEADER) -> bytes:
    """A catalogue with a header and the entries as they are given."""
    head = 'msgid ""\nmsgstr ""\n' + "".join(f'"{line}\\n"\n' for line in header.split("\n")[:-1])
    return "\n".join([head, *entries]).encode()


def tmx(units: Sequence[Mapping[str, str]], attribute: str = "xml:lang") -> str:
    """A translation memory; a unit has a segment for each language."""
    body = "".join(
        "<tu>"
        + "".join(
            f'<tuv {attribute}="{lang}"><seg>{escape(text)}</seg></tuv>'
            for lang, text in unit.items()
        )
        + "</tu>\n"
        for unit in units
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'
        '<tmx version="1.4"><header srclang="en" datatype="plaintext"/>\n'
        f"<body>\n{body}</body></tmx>\n"
    )
