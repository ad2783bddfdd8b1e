"""A number and a seed → distinct RU/EN pairs of varied length, for tests that need a data set."""

import json
import random
from pathlib import Path

from dataservice.prepare.build import BuildResult, build
from dataservice.settings import BuildSettings, SourceSettings

_WORDS = (
    *(("сервер", "server"), ("модель", "model"), ("файл", "file"), ("поток", "stream")),
    *(("быстро", "quickly"), ("читает", "reads"), ("пишет", "writes"), ("новый", "new")),
    *(("старый", "old"), ("пакет", "package"), ("тест", "test"), ("код", "code")),
    *(("видит", "sees"), ("ошибку", "error"), ("памяти", "memory"), ("данные", "data")),
)


def make_pairs(number: int, seed: int = 0) -> list[dict[str, str]]:
    """Pairs that differ by a number at their end, 2 to 26 words long."""
    chosen = random.Random(seed)
    pairs = []
    for index in range(number):
        words = [chosen.choice(_WORDS) for _ in range(chosen.randint(1, 25))]
        ru, en = (" ".join(side) for side in zip(*words, strict=True))
        pairs.append({"ru": f"{ru} {index}.", "en": f"{en} {index}."})
    return pairs


def build_pairs(folder: Path, number: int, **settings: object) -> BuildResult:
    """Build a small data set of several shards below `folder`/datasets."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "pairs.jsonl"
    lines = [json.dumps(pair, ensure_ascii=False) for pair in make_pairs(number)]
    source.write_text("\n".join(lines), encoding="utf-8")
    values = {
        "sources": [SourceSettings(path=source)],
        "name": "pairs",
        "data_dir": folder,
        "processes": 1,
        "vocab_size": 500,
        "partition_bytes": 1 << 16,
        **settings,
    }
    return build(BuildSettings.model_validate(values))
