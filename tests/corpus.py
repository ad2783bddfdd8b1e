"""A number and a seed → distinct RU/EN pairs of varied length, for tests that need a data set."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

from dataservice.prepare.build import BuildResult, build
from dataservice.settings import BuildSettings
from dataservice.source_settings import SourceSettings

_WORDS = (
    *(("сервер", "server"), ("модель", "model"), ("файл", "file"), ("поток", "stream")),
    *(("быстро", "quickly"), ("читает", "reads"), ("пишет", "writes"), ("новый", "new")),
    *(("старый", "old"), ("пакет", "package"), ("тест", "test"), ("код", "code")),
    *(("видит", "sees"), ("ошибку", "error"), ("памяти", "memory"), ("данные", "data")),
)


def make_pairs(number: int, seed: int = 0, authors: Sequence[str] = ()) -> list[dict[str, str]]:
    """Pairs that differ by a number at their end, 2 to 26 words long.

    Authors, if any, and then two sources, take turns.
    """
    chosen = random.Random(seed)
    pairs = []
    for index in range(number):
        words = [chosen.choice(_WORDS) for _ in range(chosen.randint(1, 25))]
        ru, en = (" ".join(side) for side in zip(*words, strict=True))
        pair = {"ru": f"{ru} {index}.", "en": f"{en} {index}."}
        if authors:
            source = ("news", "talk")[index // len(authors) % 2]
            pair |= {"author": authors[index % len(authors)], "source": source}
        pairs.append(pair)
    return pairs


def build_pairs(
    folder: Path, number: int, *, authors: Sequence[str] = (), **settings: object
) -> BuildResult:
    """Build a small data set of several shards below `folder`/datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "pairs.jsonl"
    lines = [json.dumps(pair, ensure_ascii=False) for pair in make_pairs(number, authors=authors)]
    source.write_text("\n".join(lines), encoding="utf-8")
    values = {
        "sources": [SourceSettings(path=source)],
        "name": "pairs",
        "data_dir": folder,
        "processes": 1,
        "vocab_size": 500,
        "partition_bytes": 1 << 16,
        "near_duplicates": "off",  # these pairs differ by a number alone
        **settings,
    }
    return build(BuildSettings.model_validate(values))
