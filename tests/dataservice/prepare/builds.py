"""Small corpora and builds, and the samples that come back out of the shards."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataservice.prepare.text.keys import fold_keys
from dataservice.prepare.text.points import CodePoints
from dataservice.prepare.tokenizer import load_tokenizer
from dataservice.settings import BuildSettings
from shards.dataset import Dataset
from shards.manifest import Manifest, Split
from tests.corpus import make_pairs

Row = Mapping[str, Any]


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """A JSONL source."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def tagged_rows(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Distinct pairs of two sources; every third has all tags, every fifth an author alone."""
    rows: list[dict[str, Any]] = []
    for index, pair in enumerate(make_pairs(number, seed)):
        tags: dict[str, Any] = {}
        if index % 3 == 0:
            tags = {
                "author": f"Автор {index % 7}",
                "city": ("Омск", "Томск")[index % 2],
                "year": 1990 + index % 9,
            }
        elif index % 5 == 0:
            tags = {"author": "A. Writer"}
        rows.append({**pair, **tags, "source": ("letters", "books")[index % 4 == 0]})
    return rows


def small(folder: Path, rows: Sequence[Row] | None = None, **values: Any) -> BuildSettings:
    """Settings of a quick build below a folder; `rows` become its only source."""
    if rows is not None:
        values["sources"] = [{"path": write_rows(folder / "corpus.jsonl", rows)}]
    defaults = {
        "data_dir": folder / "data",
        "name": "small",
        "processes": 1,
        "vocab_size": 600,
        "keep_text_bytes": 0,
        "near_duplicates": "off",  # the pairs of `tagged_rows` differ by a number alone
    }
    return BuildSettings.model_validate(defaults | values)


@dataclass(frozen=True)
class Read:
    """One sample, as text again."""

    split: Split
    pair_id: int
    tags: tuple[str, ...]
    ru: str
    en: str
    source: str
    num_tokens: tuple[int, int]


def read_back(dataset: Dataset) -> list[Read]:
    """Every sample of a version, in the order of its shards."""
    manifest = dataset.manifest
    tokenizer = load_tokenizer(dataset.read_blob(manifest.tokenizer))
    symbols = {number: symbol for symbol, number in manifest.tags.symbols.items()}
    prefix = manifest.tags.prefix_tokens
    return [
        Read(
            split=split,
            pair_id=sample.pair_id,
            tags=tuple(symbols[number] for number in sample.src[:prefix].tolist()),
            ru=tokenizer.decode(sample.src[prefix:].tolist()),
            en=tokenizer.decode(sample.tgt.tolist()),
            source=manifest.sources[sample.source].name,
            num_tokens=(len(sample.src) - prefix, len(sample.tgt)),
        )
        for split, info in manifest.splits.items()
        for shard in info.shards
        for block in dataset.read_shard(shard)
        for sample in block.samples()
    ]


def check_funnel(manifest: Manifest) -> None:
    """Every pair of one-file sources is in a split, or dropped for a reason, by source too."""
    funnel = manifest.stats["funnel"]
    samples = {split: info.samples for split, info in manifest.splits.items()}
    assert funnel["read"] == sum(info.pairs for info in manifest.inputs)
    assert funnel["read"] == funnel["kept"] + sum(funnel["dropped"].values())
    assert funnel["kept"] == sum(samples.values())
    assert {split: funnel[split] for split in samples} == samples
    by_source = manifest.stats["sources"]
    for part in by_source.values():
        assert part["read"] == sum(part["kept"].values()) + sum(part["dropped"].values())
    assert funnel["read"] == sum(part["read"] for part in by_source.values())
    for reason, number in funnel["dropped"].items():
        assert number == sum(part["dropped"].get(reason, 0) for part in by_source.values())
    for source in manifest.sources:
        assert source.samples == sum(by_source[source.name]["kept"].values())


def text_key(text: str) -> int:
    """The folded key of a single text."""
    return int(fold_keys(CodePoints.of([text]))[0])
