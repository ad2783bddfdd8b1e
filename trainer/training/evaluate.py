"""The val split → loss, perplexity and accuracy, and a few translations to look at."""

import itertools
import math
from collections.abc import Iterator

import torch

from trainer.model.decode import DecodeSettings, decode
from trainer.stream.batching import Batch
from trainer.stream.dataset import StreamConfig
from trainer.stream.loader import to_device
from trainer.training.setup import Run


def _val_config(run: Run) -> StreamConfig:
    settings = run.settings
    return StreamConfig(
        budget=settings.budget,
        window_samples=settings.window_samples,
        split="val",
        direction=settings.direction,
        epochs=1,
    )


def _val_batches(run: Run) -> Iterator[Batch]:
    """The batches of the val splits of all data sets, one after the other."""
    for source in run.sources:
        if source.samples("val"):
            yield from source.stream(_val_config(run))


@torch.inference_mode()
def evaluate(run: Run) -> dict[str, float]:
    """Mean loss in nats a token, without smoothing, over the first `eval_batches` of val."""
    run.model.eval()
    loss_sum = torch.zeros((), device=run.device)
    correct = torch.zeros((), device=run.device, dtype=torch.int64)
    tokens = 0
    batches = itertools.islice(_val_batches(run), run.settings.eval_batches or None)
    for batch in batches:
        data = to_device(batch, run.device)
        with run.autocast():
            outputs = run.model(data.input_ids, data.target_ids)
        labels = data.target_ids[:, 1:]
        hits = (outputs.logits.argmax(-1) == labels) & (labels != run.model.config.pad_id)
        loss_sum += outputs.loss_sum
        correct += hits.sum()
        tokens += batch.global_target_tokens
    run.model.train()
    loss = loss_sum.item() / tokens
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "accuracy": correct.item() / tokens,
        "tokens": tokens,
    }


def sample_texts(run: Run) -> list[dict[str, str]]:
    """Greedy translations of the first sentences of val: source, reference, output."""
    batch = next(_val_batches(run))
    rows = min(run.settings.num_samples, len(batch.pair_ids))
    data = to_device(batch, run.device)
    with run.autocast():
        outputs = decode(
            run.model,
            data.input_ids[:rows],
            DecodeSettings(max_tokens=64),
            forbidden_ids=run.codec.reserved_ids,
        )
    return [
        {
            "source": run.codec.decode(batch.input_ids[row].tolist()),
            "reference": run.codec.decode(batch.target_ids[row].tolist()),
            "output": run.codec.decode(ids),
        }
        for row, ids in enumerate(outputs)
    ]
