"""Pairs kept and dropped → the counts of a build, its statistics, and a manifest that has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dataservice.prepare.counts import SplitCounts, StageCounts, TextCounts
from dataservice.prepare.report.schema import Stats
from dataservice.prepare.report.statistics import statistics
from dataservice.prepare.report.usage import Pieces
from shards.lengths import count_lengths
from shards.manifest import Manifest, Side, Split
from tests.dataservice.prepare.lines import text_of
from tests.shards.helpers import make_block, make_manifest, make_shard

PAIR: dict[Side, str] = {"src": "ru", "tgt": "en"}
ALONE: dict[Side, str] = {"src": "de"}
LETTERS = "абвгдежзиклмнопрстуabcdefghijklmnopqrstuvwxyz ."
TAGS = ("<author>", "<author_Anna>", "<author_Boris>", "<city>", "<year>")
PIECES = ("<pad>", "<unk>", *TAGS, *(f"<0x{n:02X}>" for n in range(256)), *LETTERS)
"""A vocabulary of characters, with bytes for the others."""

_FIRST_BYTE = 2 + len(TAGS)
_FIRST_LETTER = _FIRST_BYTE + 256


def vocabulary() -> Pieces:
    numbers = np.arange(len(PIECES))
    is_byte = (numbers >= _FIRST_BYTE) & (numbers < _FIRST_LETTER)
    return Pieces(PIECES, is_byte, numbers >= _FIRST_LETTER)


def encode(text: str) -> list[int]:
    """A piece a character, or a byte of one that has none."""
    ids: list[int] = []
    for char in text:
        place = LETTERS.find(char)
        ids += [_FIRST_LETTER + place] if place >= 0 else [_FIRST_BYTE + b for b in char.encode()]
    return ids


def split_counts(
    texts: Sequence[tuple[str, ...]], languages: Mapping[Side, str], author: int = 3
) -> SplitCounts:
    """Counts of one partition: pairs, or texts alone, all of one source and author."""
    counts = SplitCounts()
    counts.sources["news"] = len(texts)
    counts.tags.update({author: len(texts), 5: len(texts), 6: len(texts)})
    sides = list(zip(*texts, strict=True)) or [()] * len(languages)
    columns = dict(zip(languages.values(), sides, strict=True))
    counts.add_texts({code: TextCounts.of(text_of(column)) for code, column in columns.items()})
    lengths = []
    for code, column in columns.items():
        ids = [encode(text) for text in column]
        flat = np.array([one for text in ids for one in text], np.uint16)
        counts.add_pieces(code, flat, len(PIECES))
        lengths.append(np.array([len(text) for text in ids], np.int64))
    tgt = lengths[1] if len(lengths) > 1 else np.zeros(len(texts), np.int64)
    counts.lengths = count_lengths(np.arange(len(texts), dtype=np.uint64), lengths[0] + 3, tgt)
    return counts


TRAIN = [("да и нет.", "yes and no."), ("кот 🦊", "cat"), ("дом стоит", "a house stands here")]
VAL = [("лес", "wood")]


def stage_counts(dropped: Sequence[tuple[str, str, str]] = (), kept: int = 4) -> StageCounts:
    """A stage that read what is kept, and dropped these: (reason, src, tgt)."""
    counts = StageCounts()
    counts.read["news"] = kept + len(dropped)
    for reason, src, tgt in dropped:
        counts.drop(reason, "news", src, tgt)
    return counts


def make_stats(stages: StageCounts | None = None) -> Stats:
    splits: dict[Split, SplitCounts] = {
        "train": split_counts(TRAIN, PAIR),
        "val": split_counts(VAL, PAIR, author=4),
    }
    return statistics(stages or stage_counts(), splits, vocabulary(), PAIR)


def manifest_of(stats: Mapping[str, Any], **changes: Any) -> Manifest:
    """A manifest with these statistics, whatever its samples are."""
    return make_manifest([make_shard(5)[1]], [make_block(5)], stats=dict(stats), **changes)
