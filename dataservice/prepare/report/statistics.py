"""Counts of the stages → the statistics of a version, in which every pair read is accounted for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from dataservice.errors import BuildError
from dataservice.prepare.counts import (
    LENGTH_EDGES,
    RATIO_EDGES,
    Counts,
    SplitCounts,
    StageCounts,
    count_bins,
    merge_splits,
)
from dataservice.prepare.report.schema import (
    SCHEMA,
    Author,
    Cut,
    Duplicates,
    Histograms,
    Language,
    SourceStats,
    Stats,
)
from dataservice.prepare.report.usage import (
    Pieces,
    make_coverage,
    make_fertility,
    make_vocabulary_use,
    share_of,
)
from shards.languages import script_of
from shards.lengths import ShardLengths, histogram
from shards.manifest import Side, Split
from shards.sample import TAG_KINDS

MAX_ROWS: Final = 200
_MAX_UNCOVERED: Final = 100
_LONG: Final = ("too_long", "too_many_tokens")
_ALIKE: Final = ("duplicate", "near_duplicate", "contamination")
SPLIT_NAMES: Final[tuple[Split, ...]] = ("train", "val")
_WORD_MARK: Final = "\u2581"


def statistics(
    stages: StageCounts,
    splits: Mapping[Split, SplitCounts],
    vocabulary: Pieces,
    languages: Mapping[Side, str],
) -> Stats:
    """The report of a build: every pair read is either in a split or dropped for a reason.

    Raises:
        BuildError: when the funnel does not add up, which would be a lost pair.
    """
    dropped: Counter[str] = Counter()
    for (_, reason), number in stages.dropped.items():
        dropped[reason] += number
    both = merge_splits(list(splits.values()))
    _check_funnel(stages.read.total(), both.samples, dropped.total())
    lengths = both.lengths
    return {
        "schema": SCHEMA,
        "funnel": {
            "read": stages.read.total(),
            "changed_by_cleaning": stages.num_changed,
            "dropped": dict(sorted(dropped.items())),
            "kept": both.samples,
            "train": splits["train"].samples,
            "val": splits["val"].samples,
        },
        "changes": dict(sorted(stages.changed.items())),
        "examples": {
            reason: [{"src": one.src, "tgt": one.tgt, "source": one.source} for one in examples]
            for reason, examples in sorted(stages.examples.items())
        },
        "sources": _sources(stages, splits),
        "sources_beyond": max(0, len(stages.read) - MAX_ROWS),
        "languages": {side: _language(both, code) for side, code in languages.items()},
        "lengths": _histograms(both, lengths, languages),
        "ratios": {"edges": list(RATIO_EDGES), "counts": both.ratios.tolist()},
        "duplicates": _duplicates(stages, dropped),
        "characters": make_coverage(both, list(languages.values()), vocabulary),
        "fertility": {code: make_fertility(both, code, vocabulary) for code in languages.values()},
        "vocabulary": make_vocabulary_use(both, vocabulary),
        "cut": _cut(dropped, lengths, languages),
        "authors": _authors(splits, vocabulary),
        "splits": {
            split: _split_statistics(counts, vocabulary, languages)
            for split, counts in splits.items()
        },
    }


def _check_funnel(read: int, kept: int, dropped: int) -> None:
    if read != kept + dropped:
        raise BuildError(
            f"{read} pairs were read, {kept} are kept and {dropped} dropped, which does not add "
            "up; nothing was published; please report this defect"
        )


def _sources(stages: StageCounts, splits: Mapping[Split, SplitCounts]) -> dict[str, SourceStats]:
    """The largest sources, by name."""
    largest = sorted(stages.read, key=lambda name: (-stages.read[name], name))[:MAX_ROWS]
    dropped: dict[str, dict[str, int]] = {name: {} for name in stages.read}
    for (source, reason), number in sorted(stages.dropped.items()):
        dropped.setdefault(source, {})[reason] = number
    return {
        name: {
            "read": stages.read[name],
            "dropped": dropped[name],
            "kept": {split: counts.sources[name] for split, counts in splits.items()},
        }
        for name in sorted(largest)
    }


def _language(both: SplitCounts, code: str) -> Language:
    scripts: Counter[str] = Counter()
    points = both.points[code]
    for point, number in zip(points.points.tolist(), points.counts.tolist(), strict=True):
        scripts[script_of(chr(point))] += number
    ranked = sorted(scripts.items(), key=lambda item: (-item[1], item[0]))
    return {"code": code, "scripts": dict(ranked)}


def _histograms(
    both: SplitCounts, lengths: ShardLengths, languages: Mapping[Side, str]
) -> Histograms:
    tokens = {
        side: count_bins(values, LENGTH_EDGES, lengths.count)
        for side, values in _token_lengths(lengths, languages).items()
    }
    characters = {side: both.char_lengths[code] for side, code in languages.items()}
    filled = np.flatnonzero(sum((*tokens.values(), *characters.values())))
    used = int(filled[-1]) + 1
    return {
        "edges": list(LENGTH_EDGES[: used + 1]),
        "characters": {side: one[:used].tolist() for side, one in characters.items()},
        "tokens": {side: one[:used].tolist() for side, one in tokens.items()},
    }


def _token_lengths(lengths: ShardLengths, languages: Mapping[Side, str]) -> dict[Side, Counts]:
    """Lengths of the texts of each side, tags apart."""
    tokens: dict[Side, Counts] = {"src": lengths.src_len - len(TAG_KINDS), "tgt": lengths.tgt_len}
    return {side: tokens[side] for side in languages}


def _duplicates(stages: StageCounts, dropped: Counter[str]) -> dict[str, Duplicates]:
    return {
        reason: {
            "dropped": dropped[reason],
            "groups": _group_sizes(stages.groups.get(reason, Counter())),
        }
        for reason in _ALIKE
        if reason in dropped or reason in stages.groups
    }


def _group_sizes(groups: Counter[int]) -> dict[str, int]:
    """Groups by the edge below their size, since there is no end of sizes."""
    sizes = np.array(list(groups), np.int64)
    found = count_bins(sizes, LENGTH_EDGES, np.array(list(groups.values()), np.int64))
    return {str(LENGTH_EDGES[n]): int(found[n]) for n in np.flatnonzero(found)}


def _cut(dropped: Counter[str], lengths: ShardLengths, languages: Mapping[Side, str]) -> Cut:
    tokens = _token_lengths(lengths, languages)
    return {
        "cut": 0,
        "dropped": {reason: dropped[reason] for reason in _LONG if dropped[reason]},
        "longest_kept_tokens": {side: int(one.max(initial=0)) for side, one in tokens.items()},
    }


def _tag_counts(counts: SplitCounts, vocabulary: Pieces) -> Counter[str]:
    return Counter({vocabulary.pieces[number]: count for number, count in counts.tags.items()})


def _authors(splits: Mapping[Split, SplitCounts], vocabulary: Pieces) -> list[Author]:
    """Those with most samples; "" stands for all whose name has no tag of its own."""
    train, val = (_tag_counts(splits[split], vocabulary) for split in SPLIT_NAMES)
    return [
        {
            "name": symbol.removeprefix("<author").removeprefix("_").removesuffix(">"),
            "train": train[symbol],
            "val": val[symbol],
        }
        for symbol in _top(train + val, "<author")
    ]


def _split_statistics(
    counts: SplitCounts, vocabulary: Pieces, languages: Mapping[Side, str]
) -> dict[str, Any]:
    lengths = counts.lengths
    sides = {"src": lengths.src_len, "tgt": lengths.tgt_len}
    names = _tag_counts(counts, vocabulary)
    codes = list(languages.values())
    coverage = make_coverage(counts, codes, vocabulary)
    use = make_vocabulary_use(counts, vocabulary, with_tags=True)
    return {
        "samples": counts.samples,
        "tokens": {side: _summary(histogram(sides[side], lengths.count)) for side in languages},
        "vocabulary": {
            "size": use["size"],
            "used": use["used"],
            "used_share": share_of(use["used"], use["size"]),
            "byte_fallback_share": use["byte_fallback_share"],
        },
        "characters": {
            **{name: coverage[name] for name in ("total", "distinct", "covered_share")},
            **{code: counts.points_of(code).num_chars for code in codes},
        },
        "authors": _top(names, "<author"),
        "cities": _top(names, "<city"),
        "years": _top(names, "<year"),
        "tagged_samples": sum(n for name, n in names.items() if name.startswith("<author")),
    }


def _summary(by_length: Sequence[int]) -> dict[str, float | int]:
    """Of lengths with tags, as they are in the shards."""
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
    return dict(sorted(chosen, key=lambda item: (-item[1], item[0]))[:MAX_ROWS])
