"""Text ↔ ids of the model, with what a checkpoint keeps of the data set's tokenizer and tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece

from shards.languages import script_of, scripts_of
from shards.manifest import Manifest, Side
from shards.sample import TAG_KINDS, normalize_text, safe_name, split_tags, tag_symbol
from trainer.errors import TrainingError
from trainer.stream.batching import direction_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCodec:
    """Frames, tags and encodes source text; decodes what the model writes."""

    tokenizer: sentencepiece.SentencePieceProcessor
    languages: dict[Side, str]
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
        """What a model of this direction translates a text into; "both" looks at its script.

        Raises:
            TrainingError: when both languages are written alike, or there is no translation.
        """
        self._check_translates()
        chosen = direction_of(direction, self.languages, "the model")
        src, tgt = self.languages["src"], self.languages["tgt"]
        if chosen == "both":
            return tgt if _language_of(text, src, tgt) == src else src
        return tgt if chosen == "src-tgt" else src

    def _check_translates(self) -> None:
        if "tgt" not in self.languages:
            raise TrainingError(
                f"the model has learned {self.languages['src']} text without translations, so it "
                "cannot translate; give the checkpoint of a run on pairs"
            )

    def encode(self, text: str, to: str, tags: dict[str, str] | None = None) -> list[int]:
        """`<to_x>`, three tags, the text and `<eos>`; tags that lead the text itself count first.

        Raises:
            TrainingError: when there is no such target language, or no text.
        """
        self._check_translates()
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


def _language_of(text: str, src: str, tgt: str) -> str:
    """Which of two languages a text is in, by the letters that only one of them is written in.

    Latin letters occur in a text of any language, so others count first.
    """
    scripts = {src: scripts_of(src), tgt: scripts_of(tgt)}
    shared = scripts[src] & scripts[tgt]
    own = {language: found - shared for language, found in scripts.items()}
    if not own[src] and not own[tgt]:
        raise TrainingError(
            f"{src} and {tgt} are written in the same letters, so the text does not tell what to "
            f"translate it into; name it with --to {tgt} or --to {src}"
        )
    telling = [language for language in (src, tgt) if own[language] - {"LATIN"}]
    letters = list(map(script_of, text))
    counts = {language: sum(map(own[language].__contains__, letters)) for language in telling}
    best = max(telling, key=lambda language: counts[language])
    if counts[best] or len(telling) > 1:
        return best
    return tgt if best == src else src
