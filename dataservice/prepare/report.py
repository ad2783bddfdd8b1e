"""Counts of the stages → the statistics of a version: funnel, lengths, tags, vocabulary use."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import sentencepiece

from dataservice.errors import BuildError
from dataservice.prepare.encode import SplitCounts
from shards.lengths import histogram, merge_lengths
from shards.manifest import Split

_TOP_NAMES: Final = 200


def merge_counts(parts: Sequence[SplitCounts]) -> SplitCounts:
    """Sum the counts of partitions, shards in partition order."""
    total = SplitCounts(
        shards=[shard for part in parts for shard in part.shards],
        lengths=[lengths for part in parts for lengths in part.lengths],
        sources=Counter(),
        tags=Counter(),
        chars=Counter(),
        pieces=np.sum([part.pieces for part in parts], axis=0),
        num_chars={},
    )
    for part in parts:
        for name in ("sources", "tags", "chars"):
            getattr(total, name).update(getattr(part, name))
        for language, number in part.num_chars.items():
            total.num_chars[language] = total.num_chars.get(language, 0) + number
    return total


def statistics(
    read: Counter[str],
    changed: int,
    dropped: Counter[tuple[str, str]],
    splits: Mapping[Split, SplitCounts],
    tokenizer: sentencepiece.SentencePieceProcessor,
) -> dict[str, Any]:
    """The report of a build: every pair read is either in a split or dropped for a reason.

    Raises:
        BuildError: when the funnel does not add up, which would be a lost pair.
    """
    kept = {split: sum(counts.sources.values()) for split, counts in splits.items()}
    reasons: Counter[str] = Counter()
    for (_, reason), number in dropped.items():
        reasons[reason] += number
    if read.total() != sum(kept.values()) + reasons.total():
        raise BuildError(
            f"{read.total()} pairs were read, {sum(kept.values())} are kept and {reasons.total()} "
            "dropped, which does not add up; nothing was published; please report this defect"
        )
    by_source: dict[str, dict[str, int]] = {name: {} for name in read}
    for (source, reason), number in sorted(dropped.items()):
        by_source[source][reason] = number
    return {
        "funnel": {
            "read": read.total(),
            "changed_by_cleaning": changed,
            "dropped": dict(sorted(reasons.items())),
            "kept": sum(kept.values()),
            **kept,
        },
        "sources": {
            name: {
                "read": read[name],
                "dropped": by_source[name],
                "kept": {split: counts.sources[name] for split, counts in splits.items()},
            }
            for name in sorted(read)
        },
        "splits": {split: _split_statistics(counts, tokenizer) for split, counts in splits.items()},
    }


def _split_statistics(
    counts: SplitCounts, tokenizer: sentencepiece.SentencePieceProcessor
) -> dict[str, Any]:
    pieces = [tokenizer.id_to_piece(number) for number in range(len(counts.pieces))]
    is_byte = np.array([tokenizer.is_byte(number) for number in range(len(pieces))])
    used = int(np.count_nonzero(counts.pieces))
    tokens = int(counts.pieces.sum())
    known = frozenset("".join(piece for piece in pieces if not piece.startswith("<"))) | {" "}
    chars = counts.chars.total()
    covered = sum(number for char, number in counts.chars.items() if char in known)
    lengths = merge_lengths(counts.lengths)
    names = Counter({pieces[number]: count for number, count in counts.tags.items()})
    return {
        "samples": counts.sources.total(),
        "tokens": {
            "src": _lengths(histogram(lengths.src_len, lengths.count)),
            "tgt": _lengths(histogram(lengths.tgt_len, lengths.count)),
        },
        "vocabulary": {
            "size": len(pieces),
            "used": used,
            "used_share": _share(used, len(pieces)),
            "byte_fallback_share": _share(int(counts.pieces[is_byte].sum()), tokens),
        },
        "characters": {
            "total": chars,
            "distinct": len(counts.chars),
            "covered_share": _share(covered, chars),
            **counts.num_chars,
        },
        "authors": _top(names, "<author"),
        "cities": _top(names, "<city"),
        "years": _top(names, "<year"),
        "tagged_samples": sum(n for name, n in names.items() if name.startswith("<author")),
    }


def _lengths(by_length: Sequence[int]) -> dict[str, float | int]:
    counts = np.array(by_length, np.int64)
    total = int(counts.sum())
    if not total:
        return {"total": 0, "mean": 0.0, "p50": 0, "p90": 0, "p99": 0, "max": 0}
    ends = np.cumsum(counts)
    tokens = int(counts @ np.arange(len(counts)))
    quantiles = {
        f"p{percent}": int(np.searchsorted(ends, percent / 100 * total)) for percent in (50, 90, 99)
    }
    return {"total": tokens, "mean": round(tokens / total, 2), **quantiles, "max": len(counts) - 1}


def _top(names: Counter[str], prefix: str) -> dict[str, int]:
    chosen = [(name, number) for name, number in names.items() if name.startswith(prefix)]
    return dict(sorted(chosen, key=lambda item: (-item[1], item[0]))[:_TOP_NAMES])


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
