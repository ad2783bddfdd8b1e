"""A checkpoint and texts → translations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

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
        """Translate texts in one batch; `to` is the language of the run's direction by default.

        Raises:
            TrainingError: when a text is empty or too long, or the language is unknown.
        """
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
            newest, _ = newest_checkpoint(root)
            step = newest.state["best_step"] if best else None
            return newest if step is None else load_checkpoint(root / f"step-{step:08d}")
    raise CheckpointError(
        f"{path} holds no checkpoint; give a run's folder, or one of its checkpoints/step-… "
    )
