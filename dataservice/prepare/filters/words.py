"""A text → its plain words: what a translator turns into words of the other language."""

import re
from typing import Final

# every part is bounded, so that no text is slow to search
PLACEHOLDER: Final = re.compile(
    # printf, with a name or a number; GCC's %<, %> and %' are quotation marks, ~% is Lisp's
    r"(?<!~)%(?:\(\w{1,64}\)|\d{1,3}\$)?[-+#0]{0,4}(?:'(?=[\d.]{0,9}[dfiu]))?(?:\d{1,5}|\*)?"
    r"(?:\.(?:\d{1,5}|\*))?(?:hh?|ll?|[LqjztI]|I64)?[a-zA-Z](?:#?[A-Z])?"
    r"|(?<!~)%\d{1,2}(?![\d%])"  # Qt
    r"|\{\w{0,64}(?:\.\w{1,64}|\[\w{1,64}\]){0,4}(?:![rsa])?(?::[^{}\s]{0,64})?\}"
    r"|\$\{\w{1,64}\}|\$[A-Z_]{2,64}\b"
)
_SIGNS: Final = frozenset("%{$")
# `[-q | --quiet]` and `{ on | off }` are choices: code
_CHOICES: Final = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]")
_BEFORE: Final = "\"'«“„‘("
_BEHIND: Final = "\"'»”“’).,;:!?…"


def strip_placeholders(text: str) -> str:
    """The text with a space for each placeholder, whose digits count as no numbers."""
    return text if _SIGNS.isdisjoint(text) else PLACEHOLDER.sub(" ", text)


def plain_words(text: str) -> list[str]:
    """The words of small letters, or of letters that are neither small nor capital.

    Names, abbreviations, options, paths, identifiers, placeholders and choices are none.
    """
    if "[" in text or "{" in text:
        text = _CHOICES.sub(" ", text)
    stripped = (word.lstrip(_BEFORE).rstrip(_BEHIND) for word in text.split())
    return [word for word in stripped if word.isalpha() and word == word.lower()]
