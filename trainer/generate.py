"""A checkpoint and texts → translations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from shards.cli.console import say
from trainer.errors import CheckpointError, TrainingError
from trainer.model.decode import DecodeSettings, decode
from trainer.model.transformer import ModelConfig, Seq2SeqTransformer
from trainer.text import TextCodec
from trainer.training.checkpoint import (
    INDEX,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
)

_BATCH_TEXTS = 64


@dataclass(frozen=True, slots=True)
class Translation:
    """A text and what the model made of it."""

    source: str
    to: str
    text: str


class Generator:
    """A trained model with its tokenizer, ready to translate."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        state = checkpoint.state
        config = ModelConfig(**{**state["model"], "checkpointing": False})
        self.device = device
        self.direction: str = state["settings"]["direction"]
        self.codec = TextCodec.of(checkpoint.read("tokenizer.model"), state["text"])
        self.model = Seq2SeqTransformer(config).to(device)
        self.model.load_state_dict(checkpoint.tensors("model.safetensors"))
        self.model.eval()

    def translate(
        self,
        texts: Sequence[str],
        settings: DecodeSettings,
        *,
        to: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> list[Translation]:
        """Translate texts, some at a time; `to` is the language of the run by default.

        Raises:
            TrainingError: when a text is empty or too long, or the language is unknown.
        """
        starts = range(0, len(texts), _BATCH_TEXTS)
        parts = [texts[start : start + _BATCH_TEXTS] for start in starts]
        return [row for part in parts for row in self._translate(part, settings, to, tags)]

    def _translate(
        self,
        texts: Sequence[str],
        settings: DecodeSettings,
        to: str | None,
        tags: dict[str, str] | None,
    ) -> list[Translation]:
        targets = [to or self.codec.target_language(text, self.direction) for text in texts]
        ids = [
            torch.tensor(self.codec.encode(text, target, tags))
            for text, target in zip(texts, targets, strict=True)
        ]
        batch = torch.nn.utils.rnn.pad_sequence(
            ids, batch_first=True, padding_value=self.model.config.pad_id
        )
        try:
            outputs = decode(
                self.model, batch.to(self.device), settings, forbidden_ids=self.codec.reserved_ids
            )
        except ValueError as error:  # a text or an output longer than the model can hold
            raise TrainingError(f"this cannot be translated: {error}") from error
        return [
            Translation(text, target, self.codec.decode(output))
            for text, target, output in zip(texts, targets, outputs, strict=True)
        ]


def find_checkpoint(path: Path, *, best: bool = False) -> Checkpoint:
    """A checkpoint from its own folder, or the newest (or best) one of a run's folder.

    Raises:
        CheckpointError: when there is none, or it is damaged.
    """
    if (path / INDEX).exists():
        return load_checkpoint(path)
    for root in (path / "checkpoints", path):
        if list_checkpoints(root):
            newest, problems = newest_checkpoint(root)
            for problem in problems:
                say(f"warning: {problem}; the one before it is used")
            if not best:
                return newest
            if (step := newest.state["best_step"]) is None:
                raise CheckpointError(
                    f"run {path} has no best checkpoint: it was not evaluated yet; leave out --best"
                )
            return load_checkpoint(root / f"step-{step:08d}")
    raise CheckpointError(
        f"{path} holds no checkpoint; give a run's folder, or one of its checkpoints/step-… "
    )
