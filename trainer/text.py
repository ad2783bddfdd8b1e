"""Text ↔ ids of the model, with what a checkpoint keeps of the data set's tokenizer and tags."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece

from shards.manifest import Manifest
from shards.sample import TAG_KINDS, normalize_text, safe_name, split_tags, tag_symbol
from trainer.errors import TrainingError

_CYRILLIC = re.compile("[\u0400-\u04ff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCodec:
    """Frames, tags and encodes source text; decodes what the model writes."""

    tokenizer: sentencepiece.SentencePieceProcessor
    languages: dict[str, str]
    target_ids: dict[str, int]
    symbols: dict[str, int]
    defaults: dict[str, str]

    @classmethod
    def of(cls, model: bytes, description: dict[str, Any]) -> "TextCodec":
        """From a tokenizer's bytes and `describe`'s result."""
        return cls(tokenizer=sentencepiece.SentencePieceProcessor(model_proto=model), **description)

    @staticmethod
    def describe(manifest: Manifest) -> dict[str, Any]:
        """What a checkpoint must keep besides the tokenizer."""
        return {
            "languages": dict(manifest.languages),
            "target_ids": manifest.tokenizer.target_ids,
            "symbols": manifest.tags.symbols,
            "defaults": manifest.tags.defaults,
        }

    @property
    def reserved_ids(self) -> list[int]:
        """Ids that are no text: a model must not write them."""
        return [
            self.tokenizer.unk_id(),
            *self.target_ids.values(),
            *self.symbols.values(),
        ]

    def target_language(self, text: str, direction: str) -> str:
        """What a model of this direction translates a text into; "both" looks at its script."""
        if direction != "both":
            return direction.partition("-")[2]
        return "en" if _CYRILLIC.search(text) else "ru"

    def encode(self, text: str, to: str, tags: dict[str, str] | None = None) -> list[int]:
        """`<to_x>`, three tags, the text and `<eos>`; tags that lead the text itself count first.

        Raises:
            TrainingError: when there is no such target language, or no text.
        """
        if to not in self.target_ids:
            raise TrainingError(
                f"target language {to!r} is unknown to this model; use one of "
                f"{', '.join(self.target_ids)}"
            )
        own, text = split_tags(normalize_text(text))
        if not text:
            raise TrainingError("the text is empty; give something to translate")
        chosen = self.defaults | (tags or {}) | own
        ids = [
            self.symbols.get(
                tag_symbol(kind, safe_name(chosen[kind])), self.symbols[tag_symbol(kind)]
            )
            for kind in TAG_KINDS
        ]
        return [
            self.target_ids[to],
            *ids,
            *self.tokenizer.encode(text),
            self.tokenizer.eos_id(),
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; those that are no text are left out."""
        special = {self.tokenizer.pad_id(), self.tokenizer.bos_id(), self.tokenizer.eos_id()}
        special.update(self.reserved_ids)
        return str(self.tokenizer.decode([number for number in ids if number not in special]))
