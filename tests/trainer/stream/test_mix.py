"""Data sets are mixed at their weights at every moment, each with its own cursor and version."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from shards.dataset import Dataset, open_dataset
from tests.corpus import build_pairs
from trainer.config import TrainSettings
from trainer.errors import CheckpointError, TrainingError
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.mix import WeightedUrl, advance, next_stream, parse_mixture, read_mixture
from trainer.stream.order import BatchBudget
from trainer.stream.proof import Progress
from trainer.training.data import Pinned, open_sources

CONFIG = StreamConfig(budget=BatchBudget(sequences=40), seed=3, window_samples=300)


@pytest.fixture
def streams(pairs: Dataset, authored: Dataset) -> list[BatchStream]:
    tokens = BatchBudget(tokens=1200)
    return [
        BatchStream(pairs, CONFIG),
        BatchStream(authored, CONFIG),
        BatchStream(pairs, replace(CONFIG, budget=tokens, seed=4)),
    ]


def read(
    streams: Sequence[BatchStream],
    weights: Sequence[Fraction],
    progress: list[Progress],
    count: int,
) -> list[tuple[int, list[int]]]:
    """Some batches as numbers and ids; the progress goes on with them."""
    at = [stream.at(part.cursor) for stream, part in zip(streams, progress, strict=True)]
    found = []
    for number, batch in itertools.islice(read_mixture(at, weights, progress), count):
        progress[number] = advance(progress[number], batch, streams[number])
        found.append((number, batch.global_pair_ids.tolist()))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", [("a/b", 1)]),
        ("3*a/b  0.5*c/d", [("a/b", 3), ("c/d", Fraction(1, 2))]),
        ("1/3*a/b c/d", [("a/b", Fraction(1, 3)), ("c/d", 1)]),
        ("2*a,b", [("a,b", 2)]),
    ],
)
def test_a_mixture_is_urls_with_weights(text: str, expected: list[tuple[str, Fraction]]) -> None:
    assert parse_mixture(text) == tuple(WeightedUrl(url, Fraction(w)) for url, w in expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no data set is named"),
        ("0*a/b", "a weight above 0"),
        ("-1*a/b", "a weight above 0"),
        ("1/0*a/b", "is no weight"),
        ("much*a/b", "'much' is no weight; write for example 3[*]a/b"),
        ("3*", "and a URL"),
        ("nan*a/b", "is no weight"),
    ],
)
def test_a_mixture_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        parse_mixture(text)


@pytest.mark.parametrize(
    "weights",
    [(1, 1), (3, 1), (1, 7), (Fraction(1, 3), Fraction(1, 2)), (5, 3, 2), (8, 1, 1)],
    ids=str,
)
def test_the_weights_hold_at_every_moment_to_within_a_batch(
    streams: list[BatchStream], weights: Sequence[Fraction]
) -> None:
    shares = [Fraction(weight) / Fraction(sum(weights)) for weight in weights]
    used = streams[: len(weights)]
    found = read(used, [Fraction(weight) for weight in weights], [Progress() for _ in used], 150)
    drawn = [0] * len(used)
    largest = max(len(ids) for _, ids in found)
    for number, ids in found:
        drawn[number] += len(ids)
        for one, share in zip(drawn, shares, strict=True):
            assert one - share * sum(drawn) <= largest, "none is further ahead"
            behind = share * sum(drawn) - one
            assert behind <= share * largest * (len(used) - 1), "and none further behind"


def test_whose_turn_it_is_follows_from_the_samples_so_far_alone() -> None:
    weights = [Fraction(2), Fraction(1), Fraction(1)]
    assert next_stream([0, 0, 0], weights) == 0
    assert next_stream([10, 0, 0], weights) == 1
    assert next_stream([20, 10, 9], weights) == 2
    assert next_stream([19, 10, 10], weights) == 0


@pytest.mark.parametrize("hops", [(1,) * 30, (7, 11, 12), (29, 1)], ids=str)
def test_a_mixture_is_deterministic_and_goes_on_from_any_progress(
    streams: list[BatchStream], hops: tuple[int, ...]
) -> None:
    weights = [Fraction(3), Fraction(2), Fraction(1)]
    whole = read(streams, weights, [Progress() for _ in streams], sum(hops))
    progress = [Progress() for _ in streams]
    parts = []
    for count in hops:
        parts += read(streams, weights, progress, count)
        progress = [Progress.load(part.dump()) for part in progress]
    assert parts == whole


def test_each_data_set_has_a_cursor_and_epochs_of_its_own(streams: list[BatchStream]) -> None:
    progress = [Progress(), Progress()]
    found = read(streams[:2], [Fraction(1), Fraction(3)], progress, 60)
    alone = [Progress(), Progress()]
    for number, stream in enumerate(streams[:2]):
        own = [ids for one, ids in found if one == number]
        alone_ids = read([stream], [Fraction(1)], alone[number : number + 1], len(own))
        assert [ids for _, ids in alone_ids] == own, "the batches are those of the data set alone"
    assert progress[1].cursor.epoch > progress[0].cursor.epoch


@pytest.fixture
def two(tmp_path: Path) -> Callable[[int], str]:
    """A data set that is built anew with so many pairs; its URL."""

    def make(number: int) -> str:
        build_pairs(tmp_path, number)
        return str(tmp_path / "datasets" / "pairs")

    return make


def test_each_data_set_of_a_resumed_mixture_stays_on_its_version(
    two: Callable[[int], str], tmp_path: Path
) -> None:
    url = two(300)
    settings = TrainSettings(data=f"3*{url} 1*{url}", run_dir=tmp_path / "run")
    first = open_sources(settings)
    pinned = Pinned("the run", [source.describe() for source in first])
    two(310)
    assert open_dataset(url).version != first[0].dataset.version
    again = open_sources(settings, pinned)
    assert [one.dataset.version for one in again] == [one.dataset.version for one in first]


@pytest.mark.parametrize("mixture", ["1*{url} 1*{url}", "{url}", "3*{url} 1*{url} 1*{url}"])
def test_a_resume_with_other_weights_is_refused(
    pairs_url: str, tmp_path: Path, mixture: str
) -> None:
    settings = TrainSettings(data=f"3*{pairs_url} 1*{pairs_url}", run_dir=tmp_path)
    pinned = Pinned("the run", [source.describe() for source in open_sources(settings)])
    other = settings.model_copy(update={"data": mixture.format(url=pairs_url)})
    with pytest.raises(CheckpointError, match="the run was trained on 2 data sets with weights"):
        open_sources(other, pinned)


def test_data_sets_with_other_tokenizers_are_not_mixed(
    pairs_url: str, other_tokenizer_url: str, tmp_path: Path
) -> None:
    settings = TrainSettings(data=f"{pairs_url} {other_tokenizer_url}", run_dir=tmp_path)
    with pytest.raises(TrainingError, match="so they cannot be mixed"):
        open_sources(settings)
