"""Rows of a version → samples in blocks and shards, as they read back from the store."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dataservice.prepare.build import BuildResult, build
from dataservice.prepare.counts import LENGTH_EDGES, RATIO_EDGES, count_bins
from dataservice.prepare.memo.cache import MemoCache
from dataservice.prepare.memo.memo import WordMemo
from dataservice.prepare.text.clean import clean
from dataservice.prepare.tokenizer import load_tokenizer
from shards.block import MAX_BLOCK_SAMPLES
from shards.dataset import Dataset, open_dataset
from shards.reader import read_shard
from shards.sample import pair_id, pair_key, safe_name
from shards.store import LocalStore
from tests.dataservice.prepare.builds import Read, read_back, small, tagged_rows, text_key

LETTERS = [f"{one}{other}" for one in "abcdefgh" for other in "vwxyz"]


@pytest.fixture(scope="module")
def dataset(built: BuildResult, built_root: Path) -> Dataset:
    return open_dataset(f"{built_root}/{built.name}")


@pytest.fixture(scope="module")
def samples(dataset: Dataset) -> list[Read]:
    return read_back(dataset)


def test_decoding_every_sample_gives_the_cleaned_pairs(samples: list[Read]) -> None:
    expected = sorted((clean(row["ru"]), clean(row["en"])) for row in tagged_rows(700))
    assert sorted((sample.ru, sample.en) for sample in samples) == expected


def test_every_sample_begins_with_its_three_tags(samples: list[Read]) -> None:
    known = {row["ru"]: row for row in tagged_rows(700)}
    for sample in samples:
        row = known[sample.ru]
        assert sample.tags == (
            f"<author_{safe_name(row.get('author', 'MagistrTheOne'))}>",
            f"<city_{safe_name(row.get('city', 'Krasnodar'))}>",
            f"<year_{row.get('year', 2025)}>",
        )
        assert sample.source == row["source"]


def test_a_pair_id_is_that_of_its_texts_and_unique(samples: list[Read]) -> None:
    assert all(sample.pair_id == pair_id(pair_key(sample.ru, sample.en)) for sample in samples)
    assert len({sample.pair_id for sample in samples}) == len(samples) == 700


def test_no_sentence_of_val_stands_in_train(samples: list[Read]) -> None:
    found = {
        (split, side): {text_key(getattr(s, side)) for s in samples if s.split == split}
        for split in ("train", "val")
        for side in ("ru", "en")
    }
    assert found["val", "ru"]
    assert not found["train", "ru"] & found["val", "ru"]
    assert not found["train", "en"] & found["val", "en"]


def test_the_statistics_of_a_split_are_those_of_its_samples(
    built: BuildResult, samples: list[Read]
) -> None:
    for split in ("train", "val"):
        mine = [sample for sample in samples if sample.split == split]
        told = built.manifest.stats["splits"][split]
        lengths = sorted(sample.num_tokens[0] + 3 for sample in mine)
        assert told["samples"] == told["tagged_samples"] == len(mine)
        assert told["tokens"]["src"]["total"] == sum(lengths)
        assert told["tokens"]["src"]["max"] == lengths[-1]
        assert told["tokens"]["src"]["p50"] == lengths[(len(lengths) - 1) // 2]
        assert told["authors"] == dict(
            sorted(Counter(s.tags[0] for s in mine).items(), key=lambda item: (-item[1], item[0]))
        )
        assert told["cities"] == Counter(sample.tags[1] for sample in mine)
        assert told["years"] == Counter(sample.tags[2] for sample in mine)
        assert told["characters"]["ru"] == sum(len(sample.ru) for sample in mine)
        assert told["characters"]["distinct"] == len(set("".join(s.ru + s.en for s in mine)))
        assert told["vocabulary"]["byte_fallback_share"] == 0


def test_a_character_outside_the_vocabulary_is_counted_and_survives(tmp_path: Path) -> None:
    rows = tagged_rows(300)
    rows[7] = {"ru": rows[7]["ru"] + " 🙂🦊", "en": rows[7]["en"] + " 🙂🦊", "year": 1812}
    result = build(small(tmp_path, rows, val_fraction=0.0, character_coverage=0.99))
    found = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    assert (rows[7]["ru"], rows[7]["en"]) in {(sample.ru, sample.en) for sample in found}
    told = result.manifest.stats["splits"]["train"]
    assert 0 < told["vocabulary"]["byte_fallback_share"] < 0.1
    assert 0.9 < told["characters"]["covered_share"] < 1


def test_a_name_beyond_the_limit_falls_back_to_its_kind(tmp_path: Path) -> None:
    build(small(tmp_path, tagged_rows(200), max_authors=0, max_cities=1))
    found = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    authors = {sample.tags[0] for sample in found}
    assert authors == {"<author>", "<author_MagistrTheOne>"}
    # Krasnodar, the default, is the most frequent of cities here
    assert {sample.tags[1] for sample in found} == {"<city>", "<city_Krasnodar>"}
    known = {row["ru"]: row for row in tagged_rows(200)}
    for sample in found:
        assert (sample.tags[0] == "<author>") is ("author" in known[sample.ru])


def test_samples_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = tagged_rows(200)
    result = build(small(tmp_path, rows, max_tokens=20))
    found = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    assert max(max(sample.num_tokens) for sample in found) <= 20
    dropped = result.manifest.stats["funnel"]["dropped"]
    assert dropped == {"too_many_tokens": 200 - len(found)}
    assert 0 < len(found) < 200


def test_pairs_of_uneven_tokens_are_dropped_if_asked(tmp_path: Path) -> None:
    rows = tagged_rows(200)
    uneven = {"ru": "хорошо, сервер читает новый файл", "en": "ok server reads"}
    values = {"max_token_ratio": 1.2, "ratio_slack_tokens": 0, "max_length_ratio": 9}
    result = build(small(tmp_path, [*rows, uneven], **values))
    found = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    assert all(max(one.num_tokens) <= 1.2 * min(one.num_tokens) for one in found)
    dropped = result.manifest.stats["funnel"]["dropped"]
    assert dropped == {"token_ratio": 201 - len(found)}


def test_val_targets_that_train_holds_are_dropped_from_val(tmp_path: Path) -> None:
    rows = [
        {"ru": row["ru"], "en": f"One of {LETTERS[index % 40]} answers, letters."}
        for index, row in enumerate(tagged_rows(400))
    ]
    lenient = {"max_length_ratio": 50, "max_lost_number_share": 1}
    result = build(small(tmp_path, rows, val_fraction=0.3, vocab_size=450, **lenient))
    funnel = result.manifest.stats["funnel"]
    assert funnel["dropped"]["val_target_in_train"] > 50
    found = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    train = {text_key(sample.en) for sample in found if sample.split == "train"}
    val = {text_key(sample.en) for sample in found if sample.split == "val"}
    assert not train & val


def test_what_is_dropped_while_encoding_is_in_no_count_of_characters(tmp_path: Path) -> None:
    rows = tagged_rows(400)
    for row in rows[::4]:  # in train and in val
        row["en"] = "One letter answers."
    rows[1]["en"] = " ".join([*(row["en"] for row in rows[1:4]), "Ω"])  # too long, so Ω is gone
    lenient = {"max_length_ratio": 50, "max_lost_number_share": 1, "max_token_ratio": 1.5}
    result = build(small(tmp_path, rows, val_fraction=0.3, max_tokens=20, **lenient))
    stats = result.manifest.stats
    reasons = {"too_many_tokens", "token_ratio", "val_target_in_train"}
    assert set(stats["funnel"]["dropped"]) == reasons
    found = read_back(open_dataset(str(tmp_path / "data/datasets/small")))
    sides = [s.ru for s in found], [s.en for s in found]
    src, tgt = (np.array([len(text) for text in side]) for side in sides)
    for code, side in zip(("ru", "en"), sides, strict=True):
        told = stats["fertility"][code]
        assert told["characters"] == sum(map(len, side))
        assert told["words"] == sum(len(text.split()) for text in side)
        assert told["bytes"] == sum(len(text.encode()) for text in side)
    assert "Ω" not in "".join(sides[1])
    assert stats["characters"]["distinct"] == len(set("".join(itertools.chain(*sides))))
    assert stats["ratios"]["counts"] == count_bins(tgt / src, RATIO_EDGES).tolist()
    for name, lengths in (("src", src), ("tgt", tgt)):
        told = stats["lengths"]["characters"][name]
        assert told == count_bins(lengths, LENGTH_EDGES)[: len(told)].tolist()
        assert sum(told) == len(found)


def test_words_of_the_last_partition_are_saved_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    dump = WordMemo.dump

    def counted(memo: WordMemo) -> bytes:
        saved.append(memo.num_words)
        return dump(memo)

    monkeypatch.setattr(WordMemo, "dump", counted)
    rows = [{**row, "ru": f"{row['ru']} №{at}"} for at, row in enumerate(tagged_rows(600))]
    configured = small(
        tmp_path, rows, val_fraction=0.3, partition_bytes=1 << 16, max_lost_number_share=1
    )
    model = build(configured).manifest.tokenizer
    assert len(saved) == 2  # after the first of three partitions and after the last
    assert saved[-1] < 4 * saved[-2]  # which is saved because it is the last one
    memo = MemoCache(configured.store_dir / model.path, configured.cache_dir, 1 << 20).memo
    memo.encode([row[side] for row in rows for side in ("ru", "en")])
    assert memo.num_words == saved[-1]


def test_large_partitions_become_several_blocks_and_shards(tmp_path: Path) -> None:
    result = build(small(tmp_path, tagged_rows(3500), shard_bytes=1 << 16, val_fraction=0.05))
    store = LocalStore(tmp_path / "data" / "datasets")
    shards = result.manifest.splits["train"].shards
    assert len(shards) > 2
    sizes = [
        block.num_samples for shard in shards for block in read_shard(store.read_blob(shard), shard)
    ]
    assert sum(sizes) == result.manifest.splits["train"].samples
    assert max(sizes) == MAX_BLOCK_SAMPLES


def test_every_piece_of_the_vocabulary_is_counted_as_it_is_used(
    dataset: Dataset, samples: list[Read]
) -> None:
    tokenizer = load_tokenizer(dataset.read_blob(dataset.manifest.tokenizer))
    train = [sample for sample in samples if sample.split == "train"]
    ids = tokenizer.encode([text for sample in train for text in (sample.ru, sample.en)])
    used = set(np.concatenate([np.array(part) for part in ids]).tolist())
    used |= {dataset.manifest.tags.symbols[tag] for sample in train for tag in sample.tags}
    told = dataset.manifest.stats["splits"]["train"]["vocabulary"]
    assert (told["size"], told["used"]) == (600, len(used))
