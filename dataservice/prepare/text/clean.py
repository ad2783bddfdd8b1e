"""Text → text: mojibake, markup left-overs, invisible characters and white space put right."""

import html
import re
from html.entities import html5
from typing import Final

import ftfy
from ftfy.badness import MOJIBAKE_CATEGORIES

from shards.sample import normalize_text

# zero-width, bidirectional and other invisible marks; soft hyphen; replacement of nothing
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064"
    "\u2066-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_ELEMENT = re.compile(
    r"</?(?:a|abbr|acronym|address|b|big|blockquote|br|center|cite|code|dd|del|dfn|div|dl|dt|em|"
    r"font|h[1-6]|hr|i|img|ins|kbd|li|link|ol|p|pre|q|qt|s|samp|script|small|span|strike|strong|"
    r"style|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul|var)(?:\s[^<>]*)?/?>|<!--(?:(?!<!--).)*?-->",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NUMBER_QUOTE = "№«"
# Of the characters that ftfy calls signs of a wrong decoding, each match of its pattern holds one
# that is no plain letter, dash or space; quotation marks count between certain capitals alone.
_QUOTING = ("start_punctuation", "end_punctuation")
_PLAIN = ("common", "lower_common", "upper_common")
QUOTES: Final = "".join(MOJIBAKE_CATEGORIES[name] for name in _QUOTING)
STRANGE: Final = "\u0402" + "".join(
    chars for name, chars in MOJIBAKE_CATEGORIES.items() if name not in (*_QUOTING, *_PLAIN)
)
QUOTED_CAPITALS: Final = "ВГРСΒΓΞΟ"
_MAYBE_BAD = re.compile(f"[{STRANGE}]|[{QUOTED_CAPITALS}][{QUOTES}][{QUOTED_CAPITALS}]")
# what looks like one of our own tags would otherwise become one
_OWN_TAG = re.compile(r"<(?:author|city|year)(?:_[^<>\s]*)?>")


def repair_mojibake(text: str) -> str:
    """Undo a wrong decoding (UTF-8 read as Windows-1251, 1252, …) where it left its signs."""
    if text.isascii() or not may_be_mojibake(text):
        return text
    # `дела№«А»` is written so; taken for three bytes of UTF-8 it would become one strange sign
    return _NUMBER_QUOTE.join(map(ftfy.fix_encoding, text.split(_NUMBER_QUOTE)))


def may_be_mojibake(text: str) -> bool:
    """Whether a text has what each sign of a wrong decoding has; tells it ten times as fast."""
    return _MAYBE_BAD.search(text) is not None


def may_be_markup(text: str) -> bool:
    """Whether there is anything in a text that `strip_markup` looks at."""
    if "&" in text and _ENTITY.search(text):
        return True
    return "<" in text and bool(_ELEMENT.search(text) or _OWN_TAG.search(text))


def strip_markup(text: str) -> str:
    """Remove HTML elements and comments, decode entities, and drop look-alikes of our tags."""
    while "&" in text and (decoded := _ENTITY.sub(_character, text)) != text:
        text = decoded  # `&amp;amp;…` is peeled here, where a layer costs little
    if "<" in text:
        text = _OWN_TAG.sub(" ", _ELEMENT.sub(" ", text))
    return text


def _character(entity: re.Match[str]) -> str:
    """What an entity stands for; one that HTML does not know, as `&copyright;`, is text."""
    name = entity[0][1:]
    return html.unescape(entity[0]) if name[0] == "#" else html5.get(name, entity[0])


def strip_invisible(text: str) -> str:
    """Remove what is not seen: control, zero-width and direction characters."""
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub("", _CONTROL.sub(" ", text))


def clean(text: str) -> str:
    """The whole of cleaning, idempotent: its result is what is hashed, encoded and exported.

    A removal may join what becomes markup, so it is repeated until nothing changes.
    """
    while True:
        cleaned = normalize_text(strip_invisible(strip_markup(repair_mojibake(text))))
        if cleaned == text:
            return cleaned
        text = cleaned
