"""Settings and sources → one version: the same for the same input, whatever ran it."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from dataservice.errors import BuildError, SourceError
from dataservice.prepare.build import build
from dataservice.verify import verify
from shards.dataset import open_dataset
from shards.store import LocalStore
from tests.corpus import make_pairs
from tests.dataservice.prepare.builds import check_funnel, read_back, small, tagged_rows, write_rows

ROWS = tagged_rows(500) + tagged_rows(60)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a store by its path."""
    root = folder / "data" / "datasets"
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_build_gives_a_version_that_verifies(tmp_path: Path) -> None:
    result = build(small(tmp_path, ROWS))
    dataset = open_dataset(str(tmp_path / "data/datasets/small"))
    assert dataset.version == result.version
    assert verify(dataset).problems == []
    check_funnel(result.manifest)
    assert result.manifest.stats["funnel"]["dropped"] == {"duplicate": 60}


def test_a_second_run_and_another_folder_give_the_same_bytes(tmp_path: Path) -> None:
    first = build(small(tmp_path / "one", ROWS))
    before = tree(tmp_path / "one")
    assert build(small(tmp_path / "one", ROWS)).version == first.version
    assert tree(tmp_path / "one") == before
    assert build(small(tmp_path / "another", ROWS)).version == first.version
    assert tree(tmp_path / "another") == before


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    # several chunks and partitions, so that processes have something to share
    rows = make_pairs(1000)
    for processes in (1, 2):
        folder = tmp_path / f"{processes}"
        build(small(folder, rows, processes=processes, partition_bytes=1 << 16))
    assert tree(tmp_path / "1") == tree(tmp_path / "2")
    manifest = open_dataset(str(tmp_path / "1/data/datasets/small")).manifest
    assert len(manifest.splits["train"].shards) > 2


def test_name_and_place_are_no_part_of_a_version(tmp_path: Path) -> None:
    version = build(small(tmp_path, ROWS)).version
    assert build(small(tmp_path, ROWS, name="other")).version == version
    assert build(small(tmp_path, ROWS, data_dir=tmp_path / "elsewhere")).version == version
    assert LocalStore(tmp_path / "data/datasets").names() == ["other", "small"]


@pytest.mark.parametrize(
    "changed",
    [
        {"vocab_size": 601},
        {"val_fraction": 0.2},
        {"split_seed": 1},
        {"default_author": "Другой"},
        {"default_year": 2024},
        {"max_authors": 1},
        {"min_tags": 120},
        {"max_chars": 100},
        {"zstd_level": 3},
        {"max_tokens": 500},
    ],
    ids=str,
)
def test_another_setting_is_another_version(
    tmp_path: Path, built_version: str, changed: dict[str, Any]
) -> None:
    assert build(small(tmp_path, tagged_rows(300), **changed)).version != built_version


@pytest.fixture(scope="module")
def built_version(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("version")
    return build(small(folder, tagged_rows(300))).version


def test_other_text_is_another_version(tmp_path: Path, built_version: str) -> None:
    assert build(small(tmp_path, tagged_rows(301))).version != built_version


def test_the_manifest_says_what_went_in(tmp_path: Path) -> None:
    settings = small(tmp_path, ROWS, val_fraction=0.2)
    manifest = build(settings).manifest
    (info,) = manifest.inputs
    assert (info.file, info.pairs) == ("corpus.jsonl", 560)
    assert info.bytes == (tmp_path / "corpus.jsonl").stat().st_size
    assert manifest.build["val_fraction"] == 0.2
    assert not {"processes", "data_dir", "name", "sources"} & set(manifest.build)
    assert str(tmp_path) not in manifest.model_dump_json()
    assert manifest.languages == {"src": "ru", "tgt": "en"}
    assert {"sentencepiece", "ftfy", "zstandard"} <= set(manifest.generator)


def test_the_statistics_file_is_the_manifests_own(tmp_path: Path) -> None:
    result = build(small(tmp_path, ROWS))
    path = tmp_path / "data/datasets/small/versions" / result.version / "dataset_stats.json"
    assert json.loads(path.read_bytes()) == result.manifest.stats


def test_there_are_tags_enough_and_every_sample_has_three(tmp_path: Path) -> None:
    result = build(small(tmp_path, ROWS))
    assert len(result.manifest.tags.symbols) >= 100
    samples = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    assert len(samples) == 500
    assert all(
        [tag[1:].split("_")[0].rstrip(">") for tag in sample.tags] == ["author", "city", "year"]
        for sample in samples
    )


def test_files_of_all_kinds_are_one_corpus_with_their_own_defaults(tmp_path: Path) -> None:
    pairs = [make_pairs(100, seed) for seed in (1, 2, 3)]
    ru, en, tsv = (tmp_path / name for name in ("ru.txt", "en.txt", "more.tsv"))
    ru.write_text("".join(f"{pair['ru']}\n" for pair in pairs[0]))
    en.write_text("".join(f"{pair['en']}\n" for pair in pairs[0]))
    tsv.write_text("".join(f"{pair['ru']}\t{pair['en']}\n" for pair in pairs[1]))
    jsonl = write_rows(tmp_path / "rest.jsonl", pairs[2])
    sources = [
        {"src": ru, "tgt": en, "name": "lines", "author": "Анна"},
        {"path": tsv, "city": "Омск"},
        {"path": jsonl, "year": 1999},
    ]
    result = build(small(tmp_path, sources=sources))
    assert {source.name: source.samples for source in result.manifest.sources} == {
        "lines": 100,
        "more": 100,
        "rest": 100,
    }
    tags = {
        sample.source: sample.tags
        for sample in read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    }
    assert tags == {
        "lines": ("<author_Анна>", "<city_Krasnodar>", "<year_2025>"),
        "more": ("<author_MagistrTheOne>", "<city_Омск>", "<year_2025>"),
        "rest": ("<author_MagistrTheOne>", "<city_Krasnodar>", "<year_1999>"),
    }


def test_the_demo_corpus_tells_written_pairs_from_generated_ones(tmp_path: Path) -> None:
    result = build(small(tmp_path, demo_pairs=600, vocab_size=900))
    samples = {source.name: source.samples for source in result.manifest.sources}
    assert set(samples) == {"demo-written", "demo-generated"}
    assert min(samples.values()) > 50
    check_funnel(result.manifest)
    dataset = open_dataset(str(tmp_path / "data/datasets/small"))
    found = {sample.source for sample in read_back(dataset)}
    assert found == {"demo-written", "demo-generated"}


def test_block_keys_are_unique_within_a_split(tmp_path: Path) -> None:
    rows = make_pairs(3000)
    result = build(small(tmp_path, rows, partition_bytes=1 << 16, shard_bytes=1 << 16))
    store = LocalStore(tmp_path / "data/datasets")
    for split, info in result.manifest.splits.items():
        keys = []
        for shard in info.shards:
            raw = zstandard.ZstdDecompressor().decompress(store.read_blob(shard))
            with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
                keys += sorted({name.split(".")[0] for name in tar.getnames()})
        assert len(keys) == len(set(keys)) == sum(shard.blocks for shard in info.shards)
        assert all(key.startswith(f"{split}-") for key in keys)


def test_the_report_tells_every_stage_to_its_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    build(small(tmp_path, ROWS), lambda *args: told.append(args))
    stages = list(dict.fromkeys(stage for stage, _, _ in told if "disk" not in stage))
    assert stages == [
        "read",
        "clean and filter",
        "deduplicate and split",
        "train the tokenizer",
        "encode and write",
    ]
    for stage in stages[1:]:
        assert [(done, total) for name, done, total in told if name == stage][-1][0] == 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "0 read, dropped: none"),
        ([{"ru": "", "en": ""}] * 3, "3 read, dropped: empty 3"),
        ([{"ru": "Hello, world", "en": "Привет, мир"}], "wrong_script 1"),
    ],
)
def test_a_corpus_without_a_usable_pair_says_what_became_of_it(
    tmp_path: Path, rows: list[dict[str, str]], told: str
) -> None:
    with pytest.raises(BuildError, match=rf"no pair is left.*{told}.*ru first"):
        build(small(tmp_path, rows))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("changed", [{"val_fraction": 0.999}, {"max_tokens": 8}], ids=str)
def test_a_corpus_without_a_pair_to_train_on_is_a_build_error(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    rows = [
        {"ru": f"очень длинное предложение {n} про слова", "en": f"a very long line {n} of words"}
        for n in range(3)
    ]
    with pytest.raises(BuildError):
        build(small(tmp_path, rows, vocab_size=420, **changed))
    assert LocalStore(tmp_path / "data/datasets").names() == []


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_broken_line_ends_a_build_with_its_place(tmp_path: Path, processes: int) -> None:
    path = write_rows(tmp_path / "c.jsonl", ROWS[:10])
    path.write_text(path.read_text() + "{broken\n")
    with pytest.raises(SourceError, match=r"c\.jsonl:11: broken JSON"):
        build(small(tmp_path, sources=[{"path": path}], processes=processes))
    assert tree(tmp_path) == {}
    assert [entry.name for entry in (tmp_path / "data/work").iterdir()] == ["lock"]


def test_a_vocabulary_that_does_not_fit_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="--vocab-size to"):
        build(small(tmp_path, ROWS, vocab_size=20_000))
    assert tree(tmp_path) == {}
