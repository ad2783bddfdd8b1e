"""A filter keeps what it says, counted, known before the first step, and the same on a resume."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset, open_dataset
from shards.manifest import ShardInfo
from shards.sample import ids_digest
from trainer.config import TrainSettings
from trainer.errors import CheckpointError, TrainingError
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget
from trainer.stream.selection import (
    PairFilter,
    ShardPart,
    check_filters,
    make_selector,
    read_skip_ids,
    resolve,
)
from trainer.training.checkpoint import Checkpoint, newest_checkpoint
from trainer.training.data import Pinned, open_sources
from trainer.training.loop import save
from trainer.training.metrics import RunLog
from trainer.training.setup import Run, set_up

CONFIG = StreamConfig(budget=BatchBudget(sequences=40), epochs=1)
TINY = {"d_model": 16, "num_heads": 2, "encoder_layers": 1, "decoder_layers": 1, "d_ff": 16}


@dataclass(frozen=True, slots=True)
class Told:
    """A sample, as plain values."""

    id: int
    author: str
    source: str
    lengths: tuple[int, int]


@pytest.fixture(scope="module")
def samples(authored: Dataset) -> list[Told]:
    """Every train sample of the data set, read one by one."""
    manifest = authored.manifest
    names = {number: symbol for symbol, number in manifest.tags.symbols.items()}
    prefix = manifest.tags.prefix_tokens
    found = []
    for info in manifest.splits["train"].shards:
        for block in authored.read_shard(info):
            for sample, source in zip(block.samples(), block.source.tolist(), strict=True):
                author = names[int(sample.src[0])].removeprefix("<author_").removesuffix(">")
                lengths = (len(sample.src) - prefix, len(sample.tgt))
                name = manifest.sources[source].name
                found.append(Told(sample.pair_id, author, name, lengths))
    assert {one.author for one in found} == {"Anna", "Boris", "Vera"}
    assert {one.source for one in found} == {"news", "talk"}
    return found


CASES: dict[str, tuple[dict[str, object], Callable[[Told], bool]]] = {
    "authors": ({"authors": ("Anna", "Vera")}, lambda one: one.author in ("Anna", "Vera")),
    "without authors": ({"exclude_authors": ("Boris",)}, lambda one: one.author != "Boris"),
    "sources": ({"sources": ("talk",)}, lambda one: one.source == "talk"),
    "without sources": ({"exclude_sources": ("talk",)}, lambda one: one.source != "talk"),
    "min tokens": ({"min_tokens": 30}, lambda one: min(one.lengths) >= 30),
    "max tokens": ({"max_tokens": 60}, lambda one: max(one.lengths) <= 60),
    "all of them": (
        {"authors": ("Anna",), "sources": ("news",), "min_tokens": 20, "max_tokens": 80},
        lambda one: (
            (one.author, one.source) == ("Anna", "news")
            and min(one.lengths) >= 20
            and max(one.lengths) <= 80
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_filter_keeps_what_it_says_and_counts_what_it_leaves_out(
    authored: Dataset, samples: list[Told], case: str
) -> None:
    wanted, is_kept = CASES[case]
    kept = Counter(one.id for one in samples if is_kept(one))
    assert 0 < len(kept) < len(samples)
    pair_filter = PairFilter(**wanted)  # type: ignore[arg-type]  # the cases are right
    selection = resolve(pair_filter, authored.manifest, "train", authored.read_shard)
    batches = list(BatchStream(authored, CONFIG, selection=selection))
    assert Counter(number for batch in batches for number in batch.pair_ids.tolist()) == kept
    assert selection.samples == len(kept)
    assert sum(selection.dropped.values()) == len(samples) - len(kept)
    assert sum(part.samples for part in selection.parts) == len(kept)


def test_what_is_left_out_is_counted_under_the_first_reason_that_holds(
    authored: Dataset, samples: list[Told]
) -> None:
    skipped = tuple(one.id for one in samples[:10])
    wanted = PairFilter(
        skip_ids=(*skipped, 12345), authors=("Anna",), sources=("talk",), min_tokens=25
    )
    selection = resolve(wanted, authored.manifest, "train", authored.read_shard)
    rest = [one for one in samples if one.id not in skipped]
    by_anna = [one for one in rest if one.author == "Anna"]
    of_talk = [one for one in by_anna if one.source == "talk"]
    assert selection.dropped == {
        "skipped_id": 10,
        "author": len(rest) - len(by_anna),
        "source": len(by_anna) - len(of_talk),
        "too_short": sum(min(one.lengths) < 25 for one in of_talk),
    }


def test_a_shard_of_which_nothing_is_left_is_never_read_again(
    authored: Dataset, samples: list[Told]
) -> None:
    first, *others = authored.manifest.splits["train"].shards
    ids = tuple(n for block in authored.read_shard(first) for n in block.id.tolist())
    reports: list[tuple[str, int, int | None]] = []
    selection = resolve(
        PairFilter(skip_ids=ids),
        authored.manifest,
        "train",
        authored.read_shard,
        lambda *told: reports.append(told),
    )
    count = len(others) + 1
    assert reports == [("filter", number, count) for number in range(1, count + 1)]
    assert selection.parts == tuple(map(ShardPart.whole, others))
    stream = BatchStream(authored, CONFIG, selection=selection)
    read: list[ShardInfo] = []
    before = stream.read_shard

    def remember(info: ShardInfo) -> list[object]:
        read.append(info)
        return before(info)  # type: ignore[return-value]

    stream.read_shard = remember  # type: ignore[method-assign, assignment]
    assert sum(len(batch.pair_ids) for batch in stream) == len(samples) - len(ids)
    assert set(read) == set(others)


def test_the_digests_of_a_selection_are_those_of_the_samples_that_are_left(
    authored: Dataset,
) -> None:
    wanted = PairFilter(min_tokens=30)
    selection = resolve(wanted, authored.manifest, "train", authored.read_shard)
    for part in selection.parts:
        ids = [
            sample.pair_id
            for block in authored.read_shard(part.info)
            for sample in block.samples()
            if min(len(sample.src) - authored.manifest.tags.prefix_tokens, len(sample.tgt)) >= 30
        ]
        assert (part.samples, part.digest) == (len(ids), ids_digest(np.array(ids, np.uint64)))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            {"authors": ("Pushkin",)},
            "no data set knows author 'Pushkin'; .*are Anna, Boris, .*Vera",
        ),
        ({"exclude_authors": ("anna",)}, "no data set knows author 'anna'"),
        ({"sources": ("wiki",)}, "no data set knows source 'wiki'; .*known are news, talk$"),
        ({"exclude_sources": ("Talk",)}, "no data set knows source 'Talk'"),
    ],
)
def test_a_name_that_no_data_set_knows_is_refused_with_those_that_are_known(
    authored: Dataset, wanted: dict[str, tuple[str, ...]], told: str
) -> None:
    with pytest.raises(TrainingError, match=told):
        check_filters(PairFilter(**wanted), [authored.manifest])  # type: ignore[arg-type]


def test_a_name_that_one_data_set_of_a_mixture_knows_is_enough(
    authored: Dataset, pairs: Dataset
) -> None:
    wanted = PairFilter(authors=("Anna",), sources=("news",))
    check_filters(wanted, [pairs.manifest, authored.manifest])
    assert not make_selector(wanted, pairs.manifest).authors.size, "it selects nothing there"


def make_settings(data: str, folder: Path, **values: object) -> TrainSettings:
    common = {"data": data, "run_dir": folder / "run", "tensorboard": False, "cpu_threads": 1}
    return TrainSettings.model_validate({**common, **TINY, **values})


def save_and_load(run: Run) -> Checkpoint:
    with contextlib.closing(RunLog(run.settings.run_dir, step=0, tensorboard=False)) as log:
        save(run, log)
    return newest_checkpoint(run.checkpoints)[0]


def test_filters_that_leave_nothing_are_refused_before_anything_is_started(
    authored_url: str, tmp_path: Path
) -> None:
    settings = make_settings(authored_url, tmp_path, min_tokens=5000)
    with pytest.raises(TrainingError, match="no samples to train on once the filters are applied"):
        set_up(settings)
    (source,) = open_sources(settings)
    with pytest.raises(TrainingError, match=r"no samples left after the filters; .*; ask for less"):
        source.stream(CONFIG)


@pytest.mark.parametrize("content", [None, b"", b'{"parts": [["ab', b'{"parts": 3}', b"[]"])
def test_what_a_filter_found_is_kept_for_a_resume_and_found_anew_where_it_is_cut(
    authored_url: str, tmp_path: Path, content: bytes | None
) -> None:
    settings = make_settings(authored_url, tmp_path, authors=["Anna"])
    (first,) = open_sources(settings)
    kept = sorted((tmp_path / "run" / "selections").glob("*-train.json"))
    assert len(kept) == 1
    written = kept[0].read_bytes()
    if content is not None:
        kept[0].write_bytes(content)
    (again,) = open_sources(settings, Pinned("the run", [first.describe()]))
    for split, selection in first.selections.items():
        assert again.selections[split].parts == selection.parts
        assert again.selections[split].dropped == selection.dropped
    assert kept[0].read_bytes() == written


@pytest.mark.parametrize(
    "changes",
    [{"min_tokens": 3}, {"authors": ["Anna", "Vera"]}, {"sources": []}, {"max_tokens": 900}],
    ids=str,
)
def test_a_resume_with_other_filters_is_refused(
    authored_url: str, tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = make_settings(authored_url, tmp_path, authors=["Anna"], sources=["news"])
    run = set_up(settings)
    checkpoint = save_and_load(run)
    again = set_up(settings, checkpoint).sources[0].selections["train"]
    assert again.parts == run.sources[0].selections["train"].parts
    with pytest.raises(CheckpointError, match=f"was trained with {next(iter(changes))} "):
        set_up(settings.model_copy(update=changes), checkpoint)


def test_a_resume_with_other_ids_in_the_file_of_ids_is_refused(
    authored_url: str, samples: list[Told], tmp_path: Path
) -> None:
    file = tmp_path / "skip.txt"
    file.write_text(f"{samples[0].id:016x} a remark\n")
    settings = make_settings(authored_url, tmp_path, skip_ids=str(file))
    run = set_up(settings)
    assert run.sources[0].selections["train"].dropped == {"skipped_id": 1}
    checkpoint = save_and_load(run)
    file.write_text(f"# the same, said otherwise\n\n{samples[0].id:016x}\n")
    set_up(settings, checkpoint)
    file.write_text(f"{samples[0].id:016x}\n{samples[1].id:016x}\n")
    with pytest.raises(CheckpointError, match="was trained with skip_ids "):
        set_up(settings, checkpoint)


def test_a_file_of_ids_is_read_with_its_remarks(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("# none\n00000000000000ff\tnews\ttext\n\n0000000000000001 # why\n" * 2)
    assert read_skip_ids(file) == (1, 255)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"12\n", "line 1: '12' is no pair id"),
        (b"00000000000000ff\n00000000000000FF\n", "line 2: '00000000000000FF' is no pair id"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_of_ids_with_anything_else_is_refused(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes(content)
    with pytest.raises(TrainingError, match=told):
        read_skip_ids(file)


def test_each_data_set_of_a_mixture_is_filtered_by_itself(
    authored: Dataset, authored_url: str, samples: list[Told], tmp_path: Path
) -> None:
    settings = make_settings(f"2*{authored_url} {authored_url}", tmp_path, authors=["Vera"])
    sources = open_sources(settings)
    expected = sum(one.author == "Vera" for one in samples)
    assert [source.samples("train") for source in sources] == [expected, expected]
    assert open_dataset(authored_url).manifest.splits["train"].samples == len(samples)
    assert authored.version == sources[1].dataset.version
