"""The built-in demo corpus → a JSONL source, so that it takes the path of any other."""

import json
from pathlib import Path

from dataservice.demo.corpus import demo_pairs
from dataservice.source_settings import SourceSettings


def write_demo_source(path: Path, num_pairs: int, seed: int) -> SourceSettings:
    """Write the corpus."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for pair in demo_pairs(num_pairs, seed):
            record = {
                "ru": pair.ru,
                "en": pair.en,
                "author": pair.author,
                "city": pair.city,
                "year": pair.year,
                "source": pair.source,
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return SourceSettings(path=str(path))
