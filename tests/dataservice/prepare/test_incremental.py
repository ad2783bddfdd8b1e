"""A data set built again with something changed → what did not change is not encoded again."""

import os
from pathlib import Path
from typing import Any

import pytest

from dataservice.prepare.build import BuildResult, build
from dataservice.settings import BuildSettings
from dataservice.verify import verify
from shards.dataset import open_dataset
from tests.corpus import make_pairs
from tests.dataservice.prepare.builds import read_back, small, tagged_rows, write_rows

ROWS = tagged_rows(400)
SMALL: dict[str, Any] = {"partition_bytes": 1 << 16, "vocab_size": 600}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"shard_bytes": 1 << 16},
        {"zstd_level": 5},
        {"default_author": "Другой", "default_year": 1999},
        {"split_seed": 3, "tokenizer_sample_bytes": 10_000_000},
        {"partition_bytes": 1 << 20},
    ],
    ids=str,
)
def test_only_what_the_change_touches_is_encoded_again(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    first = build(small(tmp_path, ROWS, **SMALL))
    assert first.num_encoded == 400
    tokenizer = first.manifest.tokenizer.sha256 if "split_seed" in changed else ""
    values = {**SMALL, **changed, "tokenizer": tokenizer}
    again = build(small(tmp_path, ROWS, **values))
    assert again.num_encoded == 0
    elsewhere = tmp_path / "elsewhere"
    if not tokenizer:
        assert build(small(elsewhere, ROWS, **values)).version == again.version
    assert verify(open_dataset(f"{tmp_path}/data/datasets/small")).problems == []


def test_an_added_source_costs_its_own_pairs_alone(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one.jsonl", ROWS)
    two = write_rows(tmp_path / "two.jsonl", make_pairs(150, seed=5))
    first = build(small(tmp_path, sources=[str(one)], **SMALL))
    tokenizer = first.manifest.tokenizer.sha256
    both = small(tmp_path, sources=[str(one), str(two)], tokenizer=tokenizer, **SMALL)
    added = build(both)
    assert added.num_encoded == 150
    assert added.manifest.stats["funnel"]["kept"] == 550
    # from nothing, with the same model, it is the same version
    model = tmp_path / "data/datasets" / first.manifest.tokenizer.path
    fresh = both.model_copy(update={"data_dir": tmp_path / "fresh", "tokenizer": str(model)})
    assert build(fresh).version == added.version


def test_another_tokenizer_encodes_everything_again(tmp_path: Path) -> None:
    build(small(tmp_path, ROWS, **SMALL))
    assert build(small(tmp_path, ROWS, **{**SMALL, "vocab_size": 700})).num_encoded == 400


def test_a_damaged_shard_of_the_last_version_is_encoded_again_and_stays_unharmed_elsewhere(
    tmp_path: Path,
) -> None:
    first = build(small(tmp_path, ROWS, **SMALL))
    shard = first.manifest.splits["train"].shards[0]
    path = tmp_path / "data/datasets" / shard.path
    path.write_bytes(path.read_bytes()[:-3] + b"bad")
    again = build(small(tmp_path, ROWS, **SMALL))
    assert again.num_encoded == shard.samples
    assert again.version == first.version
    assert verify(open_dataset(f"{tmp_path}/data/datasets/small")).problems == []


def test_ids_that_were_reused_are_those_of_the_texts(tmp_path: Path) -> None:
    build(small(tmp_path, ROWS, **SMALL))
    build(small(tmp_path, ROWS, **{**SMALL, "shard_bytes": 1 << 16, "default_city": "Томск"}))
    found = read_back(open_dataset(f"{tmp_path}/data/datasets/small"))
    assert sorted((one.ru, one.en) for one in found) == sorted((r["ru"], r["en"]) for r in ROWS)


def test_a_damaged_model_in_the_cache_is_trained_anew(tmp_path: Path) -> None:
    first = build(small(tmp_path, ROWS, **SMALL))
    (path,) = (tmp_path / "data/cache/models").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert build(small(tmp_path, ROWS, **SMALL)).version == first.version
    assert path.read_bytes() == whole


def keeping(folder: Path, rows: list[dict[str, Any]] | None = None, **values: Any) -> BuildSettings:
    """Settings of a build that keeps its text, as it does by default."""
    return small(folder, rows, **{**SMALL, "keep_text_bytes": 1 << 30, **values})


def stages_of(settings: BuildSettings) -> tuple[BuildResult, set[str]]:
    """A build, and the stages that it told of."""
    told: set[str] = set()
    return build(settings, lambda stage, *_: told.add(stage)), told


@pytest.mark.parametrize(
    "changed",
    [
        {"shard_bytes": 1 << 16},
        {"zstd_level": 7},
        {"vocab_size": 700},
        {"character_coverage": 0.99},
        {"tokenizer_sample_bytes": 20_000},
        {"default_author": "Другой"},
        {"default_city": "Томск"},
        {"default_year": 1812},
        {"max_authors": 2},
        {"max_cities": 1},
        {"min_tags": 130},
        {"max_tokens": 40},
        {"max_token_ratio": 1.3},
    ],
    ids=str,
)
def test_a_reshard_from_the_kept_text_is_the_build_from_nothing(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    build(keeping(tmp_path, ROWS))
    work = list((tmp_path / "data/work").glob("build-*"))
    assert len(work) == 1
    again, told = stages_of(keeping(tmp_path, sources=[str(tmp_path / "corpus.jsonl")], **changed))
    assert any(stage == "units done before" for stage in told)
    assert list((tmp_path / "data/work").glob("build-*")) == work
    fresh = keeping(tmp_path / "fresh", ROWS, **changed)
    assert build(fresh).version == again.version


@pytest.mark.parametrize(
    "changed",
    [
        {"max_chars": 60},
        {"split_seed": 4},
        {"val_fraction": 0.3},
        {"near_duplicates": "normalized"},
        {"mask_personal": True},
        {"partition_bytes": 1 << 17},
        {"max_length_ratio": 1.2},
    ],
    ids=str,
)
def test_what_changes_the_text_is_not_built_from_the_kept_text(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    build(keeping(tmp_path, ROWS))
    again, told = stages_of(keeping(tmp_path, sources=[str(tmp_path / "corpus.jsonl")], **changed))
    assert not any(stage == "units done before" for stage in told)
    assert build(keeping(tmp_path / "fresh", ROWS, **changed)).version == again.version


def test_a_source_that_was_changed_in_place_is_read_again(tmp_path: Path) -> None:
    settings = keeping(tmp_path, ROWS)
    first = build(settings)
    path = tmp_path / "corpus.jsonl"
    before = path.stat()
    text = path.read_text()
    with path.open("r+") as file:  # the same inode, size and date
        file.write(text.replace("сервер", "ветера", 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = build(settings)
    assert again.version != first.version
    fresh = keeping(tmp_path / "fresh", sources=[str(path)])
    assert build(fresh).version == again.version


def test_another_tokenizer_at_the_same_path_is_another_version(tmp_path: Path) -> None:
    model = tmp_path / "my.model"
    for number, vocab_size in enumerate((600, 700)):
        other = build(small(tmp_path / f"{number}", ROWS, vocab_size=vocab_size)).manifest
        stored = tmp_path / f"{number}/data/datasets" / other.tokenizer.path
        model.write_bytes(stored.read_bytes())
        manifest = build(keeping(tmp_path, ROWS, tokenizer=str(model))).manifest
        assert manifest.tokenizer.sha256 == other.tokenizer.sha256
        os.utime(tmp_path / "corpus.jsonl")


def test_pairs_that_another_sentencepiece_encoded_are_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(small(tmp_path, ROWS, **SMALL))
    monkeypatch.setattr("dataservice.prepare.known.ENCODING", 2)
    assert build(small(tmp_path, ROWS, **SMALL)).num_encoded == 400


@pytest.mark.parametrize("damage", [b"", b"no zstd frame", None], ids=["empty", "junk", "gone"])
def test_a_shard_that_cannot_even_be_opened_is_healed(tmp_path: Path, damage: bytes | None) -> None:
    first = build(small(tmp_path, ROWS, **SMALL))
    path = tmp_path / "data/datasets" / first.manifest.splits["train"].shards[0].path
    path.unlink() if damage is None else path.write_bytes(damage)
    assert build(small(tmp_path, ROWS, **SMALL)).version == first.version
    assert verify(open_dataset(f"{tmp_path}/data/datasets/small")).problems == []


def test_a_place_that_is_relative_is_the_folder_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(tmp_path, ROWS, **SMALL)
    monkeypatch.chdir(tmp_path)
    relative = settings.model_copy(update={"data_dir": Path("here")})
    assert build(relative).version == build(settings).version
    assert (tmp_path / "here/datasets/small/latest.json").is_file()
