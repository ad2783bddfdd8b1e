"""gettext's .mo → one chunk, and its messages with their translations → pairs."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from dataservice.errors import SourceError
from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import Chunk, ChunkWriter
from dataservice.prepare.sources.columns import make_pairs
from dataservice.prepare.sources.damage import DamagedError
from dataservice.prepare.sources.files import InputFile
from dataservice.prepare.sources.gettext import Header, Messages, is_reversed, parse_header

_MAX_BYTES: Final = 256 << 20
_HEAD_BYTES: Final = 20
_MAGICS: Final = {b"\xde\x12\x04\x95": "<u4", b"\x95\x04\x12\xde": ">u4"}


def mo_chunks(file: InputFile, writer: ChunkWriter) -> Iterator[Chunk]:
    """One chunk: offsets in a .mo go all over the file.

    Raises:
        SourceError: when it is larger than any catalogue.
    """
    data = bytearray()
    whole = False
    for block in writer.survive(_ending(file)):
        whole = not block
        data += block
        if len(data) > _MAX_BYTES:
            raise SourceError(
                f"source {file.name} has more than {_MAX_BYTES} bytes, as no catalogue of messages "
                "has; nothing is built from it; name the .po instead"
            )
    if whole:
        yield writer.write((data,), 1)
    yield from writer.rest(1)


def _ending(file: InputFile) -> Iterator[bytes]:
    yield from filter(None, file.blocks())
    yield b""


def parse_mo(chunk: Chunk) -> Pairs:
    """Pairs of a catalogue; untranslated messages are counted.

    Raises:
        SourceError: when it is damaged, unless damage is skipped.
    """
    messages = Messages()
    try:
        texts = _read(chunk.columns[0].read_bytes())
        header = _header(texts, chunk.names[0])
        for message, strings in texts:
            if not message:
                continue
            ids = _decode(message.rpartition(b"\x04")[2], header).split("\0")
            plural = ids[1] if len(ids) > 1 else None
            messages.add(ids[0], plural, _decode(strings, header).split("\0"))
    except DamagedError as damage:
        if chunk.reading.damaged == "error":
            raise SourceError(f"source {chunk.names[0]}: {damage.message}") from damage
        messages = Messages()
        messages.lost[damage.reason] += 1
        header = Header()
    if not messages.ids:
        return make_pairs(chunk, [], [], lost=messages.lost)
    swapped = is_reversed(header, chunk.reading, chunk.names[0])
    src, tgt = messages.sides(swapped, bool(chunk.reading.tgt_lang))
    authors = [header.author] * len(src)
    return make_pairs(chunk, src, tgt, (authors, None, None, None), messages.lost)


def _header(texts: list[tuple[bytes, bytes]], name: str) -> Header:
    raw = next((strings for message, strings in texts if not message), b"")
    encoding = parse_header(raw.decode("latin-1"), name).encoding
    return parse_header(raw.decode(encoding, "replace"), name)


def _decode(data: bytes, header: Header) -> str:
    try:
        return data.decode(header.encoding)
    except UnicodeDecodeError as error:
        raise DamagedError(
            "damaged_encoding", f"a message is not {header.encoding} ({error}); name the .po"
        ) from error


def _read(data: bytes) -> list[tuple[bytes, bytes]]:
    """Messages and translations, if all tables and texts lie within the file."""
    kind = _MAGICS.get(data[:4])
    if kind is None or len(data) < _HEAD_BYTES:
        raise DamagedError("damaged_record", "it does not begin as a .mo does; check what it is")
    revision, number, *tables = np.frombuffer(data, kind, 4, 4).tolist()
    if revision >> 16 > 1:
        raise DamagedError(
            "damaged_record", f"its revision {revision >> 16} is not known; name the .po"
        )
    columns = [_table(data, kind, number, at) for at in tables]
    return list(zip(*columns, strict=True))


def _table(data: bytes, kind: str, number: int, at: int) -> list[bytes]:
    if at + 8 * number > len(data):
        raise _outside(number)
    table: npt.NDArray[np.int64] = np.frombuffer(data, kind, 2 * number, at).astype(np.int64)
    lengths, starts = table[::2], table[1::2]
    # texts of a sane file do not overlap, so all of them together are not longer than it is
    if (starts + lengths > len(data)).any() or int(lengths.sum()) > len(data):
        raise _outside(number)
    return [
        data[start : start + length]
        for length, start in zip(lengths.tolist(), starts.tolist(), strict=True)
    ]


def _outside(number: int) -> DamagedError:
    return DamagedError(
        "damaged_record",
        f"its tables of {number} messages point outside of it; fetch it again",
    )
