"""gettext's .po → chunks cut between messages, and messages with their translations → pairs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from dataservice.errors import SourceError
from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import CHUNK_BYTES, Chunk, ChunkWriter
from dataservice.prepare.sources.columns import make_pairs
from dataservice.prepare.sources.damage import DamagedError
from dataservice.prepare.sources.files import InputFile
from dataservice.prepare.sources.gettext import Header, Messages, is_reversed, parse_header
from dataservice.prepare.sources.text import decode_line, read_lines

_GAP = re.compile(rb"\n\r?\n")
_HEADER_BYTES: Final = 64 << 10
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_KEYWORD = re.compile(r"(msgctxt|msgid|msgid_plural|msgstr(?:\[\d{1,2}\])?)\s*(?=\")")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)")
_ESCAPES: Final = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)) | {c: c for c in "\"\\'?"}


def po_chunks(file: InputFile, writer: ChunkWriter) -> Iterator[Chunk]:
    """Chunks of whole messages: each ends with the first empty line beyond 4 MiB."""
    pending = bytearray()
    first = 1
    started = whole = False
    for block in writer.survive(_ending(file)):
        whole = not block
        pending += block
        if not started and (whole or len(pending) >= _HEADER_BYTES):
            started = True
            pending[:] = pending.removeprefix(b"\xef\xbb\xbf")
            header = read_header(bytes(pending[:_HEADER_BYTES]), file.name)
            writer.base = replace(
                writer.base,
                encoding=header.encoding,
                author=header.author,
                reversed=is_reversed(header, writer.reading, file.name),
            )
        while (found := _GAP.search(pending, CHUNK_BYTES)) is not None:
            yield writer.write((bytes(pending[: found.end()]),), first)
            first += pending.count(b"\n", 0, found.end())
            del pending[: found.end()]
        if len(pending) > CHUNK_BYTES + writer.reading.max_line_bytes:
            raise SourceError(
                f"{file.name}:{first}: no empty line between messages in "
                f"{writer.reading.max_line_bytes} bytes; put some in, or raise --max-line-bytes"
            )
    gaps = [] if whole else list(_GAP.finditer(pending))
    end = len(pending) if whole else gaps[-1].end() if gaps and started else 0
    if end:
        yield writer.write((bytes(pending[:end]),), first)
    yield from writer.rest(first)


def _ending(file: InputFile) -> Iterator[bytes]:
    yield from filter(None, file.blocks())
    yield b""


def read_header(data: bytes, name: str) -> Header:
    """The header of a catalogue, from its first bytes; the defaults if there is none."""
    parser = _Parser()
    try:
        for line in data.decode("latin-1").split("\n"):
            parser.add(line.strip())
            if parser.header is not None:
                return parse_header(_as_utf8(parser.header), name)
        parser.finish()
    except DamagedError:
        pass  # told with its line when the chunk is parsed
    return parse_header(_as_utf8(parser.header or ""), name)


def _as_utf8(text: str) -> str:
    """Text that was decoded as Latin-1 before its encoding was known."""
    data = text.encode("latin-1", "replace")
    found = parse_charset(text)
    return data.decode(found, "replace")


def parse_charset(text: str) -> str:
    """The encoding of a header that is not decoded yet."""
    try:
        return parse_header(text, "").encoding
    except SourceError:
        return "utf-8"


@dataclass(slots=True)
class _Parser:
    """Lines of a .po → messages; one message is held until the next begins."""

    messages: Messages = field(default_factory=Messages)
    header: str | None = None
    parts: dict[str, list[str]] = field(default_factory=dict)
    now: list[str] | None = None
    fuzzy: bool = False
    context: bool = False

    def add(self, line: str) -> None:
        """Take a line without white space around it."""
        if line.startswith('"'):
            if self.now is None:
                raise DamagedError(
                    "damaged_record", "text that belongs to no message; mend the line"
                )
            self.now.append(_string(line))
        elif not line:
            if self.parts:
                self.finish()
        elif line.startswith("#"):
            self._comment(line)
        elif found := _KEYWORD.match(line):
            key = found[1]
            if key in ("msgctxt", "msgid") and "msgstr" in "".join(self.parts):
                self.finish()
            if key in self.parts:
                raise DamagedError(
                    "damaged_record", f"a second {key} of one message; mend the line"
                )
            self.now = self.parts[key] = [_string(line[found.end() :])]
        else:
            told = f"neither a message nor a comment: {line[:40]!r}; mend the line"
            raise DamagedError("damaged_record", told)

    def _comment(self, line: str) -> None:
        if any(key.startswith("msgstr") for key in self.parts):
            self.finish()
        if line.startswith("#,"):
            self.fuzzy |= "fuzzy" in line
        elif line.startswith(("#~ msgid ", "#~msgid ")):
            self.messages.lost["obsolete"] += 1
            self.fuzzy = False

    def finish(self) -> None:
        """The message that is held is whole."""
        parts, fuzzy = self.parts, self.fuzzy
        self.reset()
        if not parts:
            return
        strings = ["".join(text) for key, text in parts.items() if key.startswith("msgstr")]
        if "msgid" not in parts or not strings:
            raise DamagedError("damaged_record", "a message without msgid or msgstr; mend it")
        message = "".join(parts["msgid"])
        if not message and "msgctxt" not in parts:
            self.header = strings[0]
        elif fuzzy:
            self.messages.lost["fuzzy"] += 1
        else:
            plural = "".join(parts["msgid_plural"]) if "msgid_plural" in parts else None
            self.messages.add(message, plural, strings)

    def reset(self) -> None:
        self.parts, self.now, self.fuzzy = {}, None, False


def _string(quoted: str) -> str:
    found = _STRING.fullmatch(quoted)
    if found is None:
        raise DamagedError("damaged_record", "a string without its quotation marks; mend the line")
    text = found[1]
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1]
    if code in _ESCAPES:
        return _ESCAPES[code]
    value = int(code[1:], 16) if code[0] == "x" and code[1:] else None
    if value is None and code.isdigit() and not {"8", "9"} & set(code):
        value = int(code, 8)
    if value is None or not 0 < value < 128:
        raise DamagedError(
            "damaged_record", f"an escape that is not known, \\{code}; mend the line"
        )
    return chr(value)


def parse_po(chunk: Chunk) -> Pairs:
    """Pairs of a chunk; fuzzy, obsolete and untranslated messages are counted.

    Raises:
        SourceError: at the first line that is damaged, unless damage is skipped.
    """
    parser = _Parser()
    lines = read_lines(chunk)
    broken = False  # until the next empty line
    for number, line in enumerate([*lines, b""], chunk.first):
        if broken:
            broken = bool(line.strip())
            continue
        try:
            if number == chunk.first + len(lines):
                parser.finish()
            parser.add(_decode(line, chunk).strip())
        except DamagedError as damage:
            if chunk.reading.damaged == "error":
                raise SourceError(f"{chunk.names[0]}:{number}: {damage.message}") from damage
            parser.messages.lost[damage.reason] += 1
            parser.reset()
            broken = bool(line.strip())
    src, tgt = parser.messages.sides(chunk.reversed, bool(chunk.reading.tgt_lang))
    return make_pairs(chunk, src, tgt, lost=parser.messages.lost)


def _decode(line: bytes, chunk: Chunk) -> str:
    if chunk.encoding == "utf-8":
        return decode_line(line, chunk.reading.max_line_bytes)
    try:
        return line.decode(chunk.encoding)
    except UnicodeDecodeError as error:
        told = f"it is not {chunk.encoding} ({error}); convert the catalogue with msgconv"
        raise DamagedError("damaged_encoding", told) from error
