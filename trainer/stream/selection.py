"""Names, lengths and ids that a run wants or not → which samples of each shard are read, counted.

A selection is resolved before the first step: every shard is looked through once, so that the
number of samples, the plan and the proof of an epoch are exact.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from shards.block import Block
from shards.cli.console import Report, silent
from shards.manifest import Manifest, ShardInfo, Split
from shards.sample import TAG_KINDS, ids_digest, safe_name, tag_symbol
from trainer.errors import TrainingError
from trainer.stream.window import Window, join_blocks

REASONS: Final = ("skipped_id", "author", "source", "too_short", "too_long")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFilter:
    """Which pairs are read; an empty list or 0 asks for nothing."""

    authors: tuple[str, ...] = ()
    exclude_authors: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    exclude_sources: tuple[str, ...] = ()
    min_tokens: int = 0  # of the text on either side, without tags
    max_tokens: int = 0
    skip_ids: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return self != PairFilter()


@dataclass(frozen=True, slots=True)
class Selector:
    """A filter in the numbers of one data set version."""

    wanted: PairFilter
    prefix: int
    has_target: bool
    authors: npt.NDArray[np.int64]  # ids of tags
    exclude_authors: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]
    exclude_sources: npt.NDArray[np.int64]
    skip_ids: npt.NDArray[np.uint64]

    def why_not(self, window: Window) -> npt.NDArray[np.int64]:
        """For each sample 0 if it is read, or else 1 + the place of the reason in REASONS."""
        author = window.ids[window.src.start]
        shorter = longer = window.src.length - self.prefix
        if self.has_target:
            shorter = np.minimum(shorter, window.tgt.length)
            longer = np.maximum(longer, window.tgt.length)
        tests = (
            np.isin(window.id, self.skip_ids),
            _is_unwanted(author, self.authors, self.exclude_authors, bool(self.wanted.authors)),
            _is_unwanted(
                window.source, self.sources, self.exclude_sources, bool(self.wanted.sources)
            ),
            shorter < self.wanted.min_tokens,
            (longer > self.wanted.max_tokens) & bool(self.wanted.max_tokens),
        )
        return np.select(tests, range(1, len(REASONS) + 1), 0)

    def select(self, window: Window) -> Window:
        """The part of a window that is read."""
        return window.select(self.why_not(window) == 0)


def _is_unwanted(
    values: npt.NDArray[np.unsignedinteger],
    only: npt.NDArray[np.int64],
    without: npt.NDArray[np.int64],
    limited: bool,
) -> npt.NDArray[np.bool]:
    return (limited & ~np.isin(values, only)) | np.isin(values, without)


@dataclass(frozen=True, slots=True)
class ShardPart:
    """What is read of one shard: its samples, and the digest of their pair ids."""

    info: ShardInfo
    samples: int
    digest: str

    @classmethod
    def whole(cls, info: ShardInfo) -> "ShardPart":
        return cls(info, info.samples, info.ids_digest)


@dataclass(frozen=True, slots=True)
class Selection:
    """A filter, resolved: the shards that hold anything to read, and what was left out."""

    selector: Selector
    parts: tuple[ShardPart, ...]
    dropped: Counter[str]  # samples by reason

    @property
    def samples(self) -> int:
        return sum(part.samples for part in self.parts)


def check_filters(wanted: PairFilter, manifests: Sequence[Manifest]) -> None:
    """Every name of a filter is one of at least one data set.

    Raises:
        TrainingError: when it is not; with some that are.
    """
    authors = {symbol for manifest in manifests for symbol in manifest.tags.symbols}
    sources = {source.name for manifest in manifests for source in manifest.sources}
    for kind, names, known in (
        ("author", wanted.authors + wanted.exclude_authors, _author_names(authors)),
        ("source", wanted.sources + wanted.exclude_sources, sources),
    ):
        for name in names:
            if (safe_name(name) if kind == "author" else name) not in known:
                raise TrainingError(
                    f"no data set knows {kind} {name!r}; nothing was started; known are "
                    f"{', '.join(sorted(known)[:8]) or 'none'}{', …' if len(known) > 8 else ''}"
                )


def _author_names(symbols: Iterable[str]) -> set[str]:
    prefix = "<author_"
    return {symbol[len(prefix) : -1] for symbol in symbols if symbol.startswith(prefix)}


def make_selector(wanted: PairFilter, manifest: Manifest) -> Selector:
    """A filter in the numbers of a version; a name that it does not know selects nothing there."""
    assert TAG_KINDS[0] == "author", "the first id of src is the author's tag"
    symbols = {tag_symbol("author", safe_name(name)) for name in wanted.authors}
    unwanted = {tag_symbol("author", safe_name(name)) for name in wanted.exclude_authors}
    names = [source.name for source in manifest.sources]

    def numbers(found: Iterable[int]) -> npt.NDArray[np.int64]:
        return np.array(sorted(found), np.int64)

    tags = manifest.tags.symbols
    return Selector(
        wanted=wanted,
        prefix=manifest.tags.prefix_tokens,
        has_target=manifest.has_target,
        authors=numbers(tags[symbol] for symbol in symbols if symbol in tags),
        exclude_authors=numbers(tags[symbol] for symbol in unwanted if symbol in tags),
        sources=numbers(names.index(name) for name in wanted.sources if name in names),
        exclude_sources=numbers(
            names.index(name) for name in wanted.exclude_sources if name in names
        ),
        skip_ids=np.unique(np.array(wanted.skip_ids, np.uint64)),
    )


def resolve(
    wanted: PairFilter,
    manifest: Manifest,
    split: Split,
    read_shard: Callable[[ShardInfo], list[Block]],
    report: Report = silent,
) -> Selection:
    """Look through every shard of a split once; `report` hears how many are done."""
    selector = make_selector(wanted, manifest)
    parts, dropped = [], Counter[str]()
    shards = manifest.splits[split].shards
    for number, info in enumerate(shards):
        window = join_blocks(read_shard(info))
        why = selector.why_not(window)
        counts = np.bincount(why, minlength=len(REASONS) + 1).tolist()
        dropped.update({name: n for name, n in zip(REASONS, counts[1:], strict=True) if n})
        if counts[0]:
            parts.append(ShardPart(info, counts[0], ids_digest(window.id[why == 0])))
        report("filter", number + 1, len(shards))
    return Selection(selector, tuple(parts), dropped)


def read_skip_ids(path: Path) -> tuple[int, ...]:
    """Pair ids of a text file: 16 hex digits each, one a line; the rest of a line is a remark.

    Raises:
        TrainingError: when it cannot be read, or a line does not begin with a pair id.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(
            f"--skip-ids {path} cannot be read ({error}); check the path"
        ) from error
    ids = []
    for number, line in enumerate(lines, start=1):
        word = line.partition("#")[0].split()[:1]
        if not word:
            continue
        if len(word[0]) != 16 or not set(word[0]) <= set("0123456789abcdef"):
            raise TrainingError(
                f"--skip-ids {path} line {number}: {word[0][:40]!r} is no pair id; give 16 hex "
                "digits a line, as `trainer trace` prints them"
            )
        ids.append(int(word[0], 16))
    return tuple(sorted(set(ids)))
