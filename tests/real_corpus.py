"""The real RU/EN corpus that PROMETHEUS_CORPUS names → its texts, for tests that need one."""

import io
import json
import os
from pathlib import Path

import pytest
import zstandard

CORPUS = os.environ.get("PROMETHEUS_CORPUS")

needs_corpus = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        CORPUS is None,
        reason="needs a real RU/EN corpus: a JSONL of about 200 thousand pairs (ru, en, and if "
        "known author, city, year, source), for example from Debian's message catalogues, or your "
        "own; set PROMETHEUS_CORPUS=FILE",
    ),
]
"""Marks of such a test: `pytestmark = needs_corpus`."""


def corpus_texts() -> tuple[list[str], list[str]]:
    """Both sides of every pair, as they stand in the file (.jsonl or .jsonl.zst)."""
    assert CORPUS is not None
    raw = Path(CORPUS).read_bytes()
    if CORPUS.endswith(".zst"):
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).readall()
    rows = [json.loads(line) for line in raw.splitlines()]
    return [row["ru"] for row in rows], [row["en"] for row in rows]
