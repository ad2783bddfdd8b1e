"""TMX → chunks cut at its units, and the units' segments in two languages → pairs.

No entity is ever declared, fetched or expanded beyond the five of XML.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from dataservice.errors import SourceError
from dataservice.prepare.pair import Pairs
from dataservice.prepare.sources.chunk import CHUNK_BYTES, Chunk, ChunkWriter
from dataservice.prepare.sources.columns import Record, make_pairs, one_by_one, pairs_of
from dataservice.prepare.sources.damage import DamagedError, Reason
from dataservice.prepare.sources.encodings import TEXT_ENCODINGS
from dataservice.prepare.sources.files import InputFile

_MAX_HEADER_BYTES: Final = 1 << 20
_ENCODING = re.compile(rb"""^<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)["']""")
_BODY = re.compile(rb"<body(?:\s[^>]*)?>")
_UNIT_END = re.compile(rb"</tu\s*>")
_HIDDEN: Final = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"))
_MARKUP: Final = frozenset({"bpt", "ept", "it", "ph", "ut", "sub"})  # codes, not text


def tmx_chunks(file: InputFile, writer: ChunkWriter) -> Iterator[Chunk]:
    """Chunks of whole units: each ends with the first unit that ends beyond 4 MiB."""
    pending = bytearray()
    body = False
    first = 1
    whole = False
    for block in writer.survive(_ending(file)):
        whole = not block
        pending += block
        if not body:
            body = _cut_header(pending, file.name, whole)
            continue
        while (end := _unit_end(pending, CHUNK_BYTES)) is not None:
            yield writer.write((bytes(pending[:end]),), first)
            first += len(_UNIT_END.findall(pending, 0, end))
            del pending[:end]
        if len(pending) > CHUNK_BYTES + writer.reading.max_line_bytes:
            raise SourceError(
                f"{file.name}: unit {first} or one behind it has more than "
                f"{writer.reading.max_line_bytes} bytes; mend it, or raise --max-line-bytes"
            )
    end = pending.find(b"</body") if body else -1
    if whole and (end < 0 or b"</tmx" not in pending[end:]):
        writer.damage(
            "damaged_archive",
            f"source {file.name} is cut or damaged (its </tmx> is missing); what could be read of "
            "it is not used; fetch it again",
        )
        end = -1
    last = list(_UNIT_END.finditer(pending)) if body and end < 0 else []
    end = end if end >= 0 else last[-1].end() if last else 0
    if pending[:end].strip():
        yield writer.write((bytes(pending[:end]),), first)
    yield from writer.rest(first)


def _unit_end(pending: bytearray, start: int) -> int | None:
    """Where the first unit behind `start` ends, if it is there: not within a comment."""
    for found in _UNIT_END.finditer(pending, max(0, start - 5)):
        at = found.start()
        if all(
            pending.rfind(opens, 0, at) <= pending.rfind(ends, 0, at) for opens, ends in _HIDDEN
        ):
            return found.end()
    return None


def _cut_header(pending: bytearray, name: str, ended: bool) -> bool:
    """Check and remove what stands before the units; whether it was all there."""
    found = _BODY.search(pending)
    if found is None:
        if ended or len(pending) > _MAX_HEADER_BYTES:
            raise SourceError(f"source {name} is no TMX: it has no <body>; check what it is")
        return False
    try:
        _parser().Parse(bytes(pending[: found.start()]) + b"<body/></tmx>", True)
    except expat.ExpatError as error:
        raise SourceError(f"source {name} is no TMX: {error}; check what it is") from error
    except DamagedError as damage:
        raise SourceError(f"source {name}: {damage.message}") from damage
    del pending[: found.end()]
    return True


def _ending(file: InputFile) -> Iterator[bytes]:
    """The file as UTF-8, and an empty block once it has come to its end."""
    decoder = None
    for number, block in enumerate(file.blocks()):
        if number == 0:
            encoding = _encoding_of(block, file.name)
            decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        try:
            text = block if decoder is None else decoder.decode(block).encode()
        except UnicodeError as error:
            raise SourceError(f"source {file.name} is no text as it says ({error})") from error
        if text:
            yield text
    yield b""


def _encoding_of(block: bytes, name: str) -> str:
    if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    found = _ENCODING.match(block.removeprefix(codecs.BOM_UTF8))
    encoding = found[1].decode().lower() if found else "utf-8"
    if encoding not in TEXT_ENCODINGS:
        raise SourceError(f"source {name} is in {encoding}, which is not known; make it UTF-8")
    return TEXT_ENCODINGS[encoding]


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True

    def refuse(name: str, *rest: object) -> None:
        del rest
        raise DamagedError(
            "damaged_record",
            f"it declares the entity {name!r}, as XML bombs do; nothing is built from it; "
            "remove the declaration",
        )

    parser.EntityDeclHandler = refuse
    return parser


class _Units:
    """What a parser tells → one record or None a unit."""

    def __init__(self, chunk: Chunk) -> None:
        self.found: list[Record | None] = []
        self._wanted = (chunk.reading.src_lang.lower(), chunk.reading.tgt_lang.lower())
        self._sides: dict[int, str] = {}
        self._side: int | None = None
        self._text: list[str] | None = None
        self._markup = 0
        self._parser = _parser()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def parse(self, data: bytes) -> list[Record | None]:
        self._parser.Parse(b"<body>" + data + b"</body>", True)
        return self.found

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "tuv":
            language = attributes.get("xml:lang") or attributes.get("lang") or ""
            self._side = self._side_of(language.lower().replace("_", "-"))
        elif tag == "seg" and self._side is not None:
            self._text = []
            self._parser.CharacterDataHandler = self._text.append
        elif tag == "tu":
            self._sides = {}
        elif self._text is not None and tag in _MARKUP:
            self._markup += 1
            self._parser.CharacterDataHandler = None

    def _end(self, tag: str) -> None:
        if tag == "seg":
            if self._text is not None and self._side is not None:
                self._sides.setdefault(self._side, "".join(self._text))
            self._text, self._markup = None, 0
            self._parser.CharacterDataHandler = None
        elif tag == "tu":
            sides = [self._sides.get(side) for side in range(2 if self._wanted[1] else 1)]
            whole = all(sides)
            self.found.append(
                Record(*map(str, sides), *[None] * (2 - len(sides))) if whole else None
            )
        elif self._text is not None and tag in _MARKUP:
            self._markup -= 1
            if not self._markup:
                self._parser.CharacterDataHandler = self._text.append

    def _side_of(self, language: str) -> int | None:
        for side, wanted in enumerate(self._wanted):
            if wanted and (language == wanted or language.startswith(f"{wanted}-")):
                return side
        return None


def parse_tmx(chunk: Chunk) -> Pairs:
    """Pairs of a chunk; a unit without both languages is counted.

    Raises:
        SourceError: at the first unit that is damaged, unless damage is skipped.
    """
    data = chunk.columns[0].read_bytes()
    try:
        units = _Units(chunk).parse(data)
    except (expat.ExpatError, DamagedError):
        return _parse_units(chunk, data)
    found = [unit for unit in units if unit is not None]
    pairs = make_pairs(chunk, [unit.src for unit in found], [unit.tgt or "" for unit in found])
    if len(found) < len(units):
        pairs.damaged[chunk.label, "untranslated"] += len(units) - len(found)
    return pairs


def _parse_units(chunk: Chunk, data: bytes) -> Pairs:
    ends = [0, *(found.end() for found in _UNIT_END.finditer(data))]
    rest = [len(data)] if data[ends[-1] :].strip() else []
    rows = [data[start:end] for start, end in zip(ends, [*ends[1:], *rest], strict=False)]

    def parse(row: bytes) -> Record:
        try:
            units = _Units(chunk).parse(row)
        except expat.ExpatError as error:
            raise DamagedError(
                "damaged_record", f"broken XML ({error}); mend or delete the unit"
            ) from error
        if len(units) != 1 or units[0] is None:
            raise DamagedError("untranslated", "it has not both languages") from None
        return units[0]

    lost: Counter[Reason] = Counter()
    return pairs_of(chunk, one_by_one(chunk, rows, parse, lost=lost, unit="unit "), lost)
