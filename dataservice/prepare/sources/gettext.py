"""What .po and .mo share: the header, which side is which language, and plurals → pairs."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataservice.errors import SourceError
from dataservice.prepare.sources.damage import Reason
from dataservice.prepare.sources.encodings import TEXT_ENCODINGS
from dataservice.source_settings import Reading

_CHARSET = re.compile(r"charset\s*=\s*([\w.-]+)", re.IGNORECASE)
_ADDRESS = re.compile(r"<[^>]*>?|\([^)]*@[^)]*\)")
_NOBODY: Final = frozenset({"", "full name", "automatically generated", "unknown", "none"})


@dataclass(frozen=True, slots=True)
class Header:
    """What a catalogue says of itself."""

    encoding: str = "utf-8"
    language: str = ""
    author: str | None = None


def parse_header(text: str, name: str) -> Header:
    """The header: the translation of the empty message.

    Raises:
        SourceError: when the text is in an encoding that is not known.
    """
    fields = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            fields[key.strip().lower()] = value.strip()
    found = _CHARSET.search(fields.get("content-type", ""))
    charset = found[1].lower() if found else "utf-8"
    if charset == "charset":  # of a template that nobody filled in
        charset = "utf-8"
    if charset not in TEXT_ENCODINGS or charset == "utf-16":
        raise SourceError(
            f"source {name} is in {charset[:40]!r}, which is not known; make it UTF-8 with msgconv"
        )
    author = _ADDRESS.sub("", fields.get("last-translator", "")).strip(" ,\t")
    nobody = author.lower() in _NOBODY or "@" in author
    return Header(
        TEXT_ENCODINGS[charset],
        fields.get("language", "").lower().replace("_", "-").partition("@")[0],
        None if nobody else author,
    )


def is_reversed(header: Header, reading: Reading, name: str) -> bool:
    """Whether the messages, which are translated, are in the target's language.

    Raises:
        SourceError: when the translations are in neither language.
    """
    src, tgt = reading.src_lang.lower(), reading.tgt_lang.lower()
    if not header.language:
        # messages are written in English, as good as always
        return tgt == "en" or (not tgt and src != "en")
    if _is(header.language, src):
        return True
    if not tgt or _is(header.language, tgt):
        return False
    raise SourceError(
        f"source {name} is translated into {header.language!r}, which is neither --src-lang {src} "
        f"nor --tgt-lang {tgt}; nothing is read of it; name another file or other languages"
    )


def _is(language: str, wanted: str) -> bool:
    return language == wanted or language.startswith(f"{wanted}-")


class Messages:
    """Messages and translations → two columns, and what was left out, counted."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.strings: list[str] = []
        self.lost: Counter[Reason] = Counter()

    def add(self, message: str, plural: str | None, strings: Sequence[str]) -> None:
        """One message: a plural is paired with the last form, which large numbers take."""
        if not strings or not strings[0] or not strings[-1]:
            self.lost["untranslated"] += 1
            return
        if plural is None or len(strings) > 1:
            self.ids.append(message)
            self.strings.append(strings[0])
        if plural is not None:
            self.ids.append(plural)
            self.strings.append(strings[-1])

    def sides(self, swapped: bool, two: bool) -> tuple[list[str], list[str] | None]:
        """Source and target."""
        if swapped:
            return self.strings, self.ids if two else None
        return self.ids, self.strings if two else None
