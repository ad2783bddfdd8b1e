"""Languages come from the manifest: other pairs are trained on, texts alone are streamed only."""

import json
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset
from shards.sample import ids_digest
from tests.trainer.conftest import Trainer
from trainer.errors import TrainingError
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget
from trainer.stream.selection import PairFilter, resolve
from trainer.text import TextCodec

TINY = (
    *("--d-model", "32", "--num-heads", "2", "--encoder-layers", "1", "--decoder-layers", "1"),
    *("--d-ff", "64", "--batch-size", "32", "--max-steps", "2", "--save-every", "2"),
    *("--eval-every", "2", "--eval-batches", "1", "--sample-every", "9", "--cpu-threads", "1"),
    "--no-tensorboard",
)
BUDGETS = [BatchBudget(sequences=16), BatchBudget(tokens=600)]


def codec_of(dataset: Dataset) -> TextCodec:
    model = dataset.read_blob(dataset.manifest.tokenizer)
    return TextCodec.of(model, TextCodec.describe(dataset.manifest))


@pytest.mark.parametrize("direction", ["both", "fr-de"])
def test_a_pair_of_other_languages_is_planned_trained_and_used(
    trainer: Trainer, german_french: Dataset, tmp_path: Path, direction: str
) -> None:
    data = ("--data", german_french.ref.url, "--direction", direction)
    assert trainer("plan", *data)[0] == 0
    status, output, _ = trainer("train", *data, "--run-dir", str(tmp_path), *TINY, "--json")
    assert (status, json.loads(output)["step"]) == (0, 2)
    ask = ("generate", "--checkpoint", str(tmp_path), "--max-tokens", "4", "--json", "La maison")
    (row,) = json.loads(trainer(*ask, "--to", "fr")[1])["translations"]
    assert row["to"] == "fr"
    status, output, errors = trainer(*ask)
    if direction == "both":
        assert status != 0
        assert "de and fr are written in the same letters" in errors
        assert "--to fr or --to de" in errors
    else:
        assert json.loads(output)["translations"][0]["to"] == "de"


def test_a_direction_may_be_named_by_languages(german_french: Dataset) -> None:
    def pair_ids(direction: str) -> list[list[int]]:
        config = StreamConfig(budget=BUDGETS[0], direction=direction, epochs=1)
        return [batch.input_ids.tolist() for batch in BatchStream(german_french, config)]

    assert pair_ids("de-fr") == pair_ids("src-tgt")
    assert pair_ids("fr-de") == pair_ids("tgt-src")
    assert pair_ids("fr-de") != pair_ids("de-fr")


@pytest.mark.parametrize("direction", ["ru-en", "de-de", "tgt"])
def test_a_direction_that_the_data_lacks_is_refused_with_those_it_has(
    german_french: Dataset, direction: str
) -> None:
    with pytest.raises(TrainingError, match=rf"{direction} does not fit .*de and fr.*fr-de"):
        BatchStream(german_french, StreamConfig(budget=BUDGETS[0], direction=direction))


@pytest.mark.parametrize("budget", BUDGETS)
def test_texts_alone_are_streamed_each_once_with_empty_targets(
    german: Dataset, budget: BatchBudget
) -> None:
    samples = {
        sample.pair_id: sample.src.tolist()
        for shard in german.manifest.splits["train"].shards
        for block in german.read_shard(shard)
        for sample in block.samples()
    }
    seen: list[int] = []
    for batch in BatchStream(german, StreamConfig(budget=budget, epochs=1)):
        assert batch.target_ids.shape == (len(batch.pair_ids), 0)
        assert batch.global_target_tokens == 0
        if budget.tokens:
            assert batch.input_ids.size <= budget.tokens
        for row, number in zip(batch.input_ids.tolist(), batch.pair_ids.tolist(), strict=True):
            framed = [2, *samples[number], 3]
            assert row == framed + [0] * (len(row) - len(framed))
        seen += batch.pair_ids.tolist()
    assert len(seen) == len(samples)
    assert set(seen) == set(samples)
    assert ids_digest(np.array(seen, np.uint64)) == german.manifest.splits["train"].ids_digest


def test_texts_alone_are_bucketed_by_their_own_lengths(german: Dataset) -> None:
    config = StreamConfig(budget=BatchBudget(sequences=8), epochs=1)
    batches = list(BatchStream(german, config))
    padding = sum(int((batch.input_ids == 0).sum()) for batch in batches)
    assert padding < 0.1 * sum(batch.input_ids.size for batch in batches)


def test_a_filter_looks_at_the_text_that_is_there(german: Dataset) -> None:
    wanted = PairFilter(min_tokens=12)
    selection = resolve(wanted, german.manifest, "train", german.read_shard)
    lengths = german.manifest.splits["train"].src_lengths
    assert selection.samples == sum(lengths[3 + 12 :]) > 0


def test_check_proves_the_stream_of_texts_alone(trainer: Trainer, german: Dataset) -> None:
    options = ("--batch-size", "16", "--snapshots", "1", "--tail", "2", "--json")
    status, output, errors = trainer("check", "--data", german.ref.url, *options)
    assert status == 0, errors
    assert json.loads(output)["outcome"] == "no difference"


@pytest.mark.parametrize("command", ["train", "plan"])
@pytest.mark.parametrize("mixed", [False, True])
def test_texts_alone_are_refused_before_the_first_step(
    trainer: Trainer,
    german: Dataset,
    german_french: Dataset,
    tmp_path: Path,
    command: str,
    mixed: bool,
) -> None:
    data = f"1*{german_french.ref.url} 1*{german.ref.url}" if mixed else german.ref.url
    options = ("--data", data, "--run-dir", str(tmp_path / "run"), "--min-tokens", "2")
    status, _, errors = trainer(command, *options)
    assert status == 1
    line = " ".join(errors.split())
    assert "holds de text without translations" in line
    assert "nothing was started; name a data set of pairs" in line
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert not (tmp_path / "run" / "selections").exists()


def test_a_model_of_texts_alone_does_not_translate(german: Dataset) -> None:
    codec = codec_of(german)
    told = r"de text without translations.*cannot translate"
    for direction in ("src-tgt", "both"):
        with pytest.raises(TrainingError, match=told):
            codec.target_language("Haus", direction)
    with pytest.raises(TrainingError, match=told):
        codec.encode("Haus", "fr")


def with_languages(dataset: Dataset, src: str, tgt: str) -> TextCodec:
    description = TextCodec.describe(dataset.manifest) | {"languages": {"src": src, "tgt": tgt}}
    return TextCodec.of(dataset.read_blob(dataset.manifest.tokenizer), description)


@pytest.mark.parametrize(
    ("src", "tgt", "text", "to"),
    [
        ("ru", "en", "Установите Python на сервер", "en"),
        ("ru", "en", "Install it", "ru"),
        ("ru", "en", "123", "ru"),
        ("en", "ru", "123", "ru"),
        ("el", "ru", "код", "el"),
        ("el", "ru", "κώδικας API", "ru"),
        ("ja", "zh", "これは本です", "zh"),
        ("ja", "zh", "这是一本书", "ja"),
        ("sr-Latn", "sr-Cyrl", "kuća", "sr-Cyrl"),
    ],
)
def test_a_model_of_both_directions_knows_a_text_by_its_letters(
    german_french: Dataset, src: str, tgt: str, text: str, to: str
) -> None:
    assert with_languages(german_french, src, tgt).target_language(text, "both") == to
