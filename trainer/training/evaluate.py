"""The val split → loss, perplexity and accuracy, and a few translations to look at."""

import itertools
import math
import threading
from collections.abc import Generator

import torch

from trainer.model.decode import DecodeSettings, decode
from trainer.stream.background import prefetch
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


def _val_batches(run: Run, stop: threading.Event | None) -> Generator[Batch]:
    """The batches of the val splits of all data sets, one after the other.

    They end early where one does not come and `stop` is set.
    """
    streams = (source.stream(_val_config(run)) for source in run.sources if source.samples("val"))
    yield from prefetch(itertools.chain.from_iterable(streams), depth=1, stop=stop)


@torch.inference_mode()
def evaluate(run: Run, stop: threading.Event | None = None) -> dict[str, float] | None:
    """Mean loss in nats a token, without smoothing, over the first `eval_batches` of val.

    None when batches did not come before `stop` was set.
    """
    run.model.eval()
    loss_sum = torch.zeros((), device=run.device)
    correct = torch.zeros((), device=run.device, dtype=torch.int64)
    tokens = num_batches = samples = 0
    batches = _val_batches(run, stop)
    for batch in itertools.islice(batches, run.settings.eval_batches or None):
        data = to_device(batch, run.device)
        with run.autocast():
            outputs = run.model(data.input_ids, data.target_ids)
        labels = data.target_ids[:, 1:]
        hits = (outputs.logits.argmax(-1) == labels) & (labels != run.model.config.pad_id)
        loss_sum += outputs.loss_sum
        correct += hits.sum()
        tokens += batch.global_target_tokens
        num_batches += 1
        samples += len(batch.global_pair_ids)
    batches.close()
    run.model.train()
    is_whole = samples == sum(source.samples("val") for source in run.sources)
    if not is_whole and num_batches != run.settings.eval_batches:
        return None
    loss = loss_sum.item() / tokens
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "accuracy": correct.item() / tokens,
        "tokens": tokens,
    }


def sample_texts(run: Run, stop: threading.Event | None = None) -> list[dict[str, str]]:
    """Greedy translations of the first sentences of val: source, reference, output.

    None of them when they do not come and `stop` is set.
    """
    batches = _val_batches(run, stop)
    batch = next(batches, None)
    batches.close()
    if batch is None:
        return []
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
