"""What the stages left → the manifest of a version, which says it all."""

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataservice.errors import BuildError
from dataservice.prepare.counts import SplitCounts, StageCounts
from dataservice.prepare.known import ENCODING
from dataservice.prepare.model import Vocabulary, open_tokenizer
from dataservice.prepare.report.statistics import statistics
from dataservice.prepare.report.usage import Pieces
from dataservice.prepare.split_file import SplitFile
from dataservice.prepare.tags import default_names
from dataservice.settings import BuildSettings
from shards.lengths import ShardLengths, dump_lengths, load_parts, make_split_info
from shards.manifest import (
    LENGTHS_SUFFIX,
    InputInfo,
    LengthsInfo,
    Manifest,
    Side,
    SourceInfo,
    Split,
    SplitInfo,
    TagInfo,
)
from shards.sample import TAG_KINDS
from shards.store import LocalStore

_GENERATORS: Final = ("prometheusgpt-mini", "sentencepiece", "zstandard", "ftfy")


@dataclass(frozen=True, slots=True)
class Finished:
    """Everything that is known once all shards are stored."""

    inputs: Sequence[InputInfo]
    num_partitions: int
    folder: Path
    funnel: StageCounts
    splits: dict[Split, SplitCounts]
    vocabulary: Vocabulary


def make_manifest(finished: Finished, settings: BuildSettings, store: LocalStore) -> Manifest:
    """The manifest, once the tables of lengths are stored.

    Raises:
        BuildError: when nothing is left to train on, or pairs do not add up.
    """
    splits, funnel, vocabulary = finished.splits, finished.funnel, finished.vocabulary
    if not splits["train"].shards:
        raise BuildError(
            "no pair is left to train on after the split and the token limit; nothing was "
            "published; give more text, or lower --val-fraction or raise --max-tokens"
        )
    languages: dict[Side, str] = {"src": settings.src_lang}
    if settings.tgt_lang:
        languages["tgt"] = settings.tgt_lang
    tokenizer = open_tokenizer(vocabulary, settings.store_dir)
    symbols = {*vocabulary.symbols.values(), *vocabulary.info.target_ids.values()}
    pieces = Pieces.of(tokenizer, symbols)
    return Manifest(
        generator={name: importlib.metadata.version(name) for name in _GENERATORS},
        languages=languages,
        tokenizer=vocabulary.info,
        tags=TagInfo(
            prefix_tokens=len(TAG_KINDS),
            symbols=vocabulary.symbols,
            defaults=default_names(settings),
        ),
        splits={
            split: _split_info(
                counts, _StoredLengths(finished.folder, finished.num_partitions, split), store
            )
            for split, counts in splits.items()
        },
        sources=tuple(
            SourceInfo(name=name, samples=sum(counts.sources[name] for counts in splits.values()))
            for name in sorted(funnel.read)
        ),
        inputs=tuple(finished.inputs),
        build=settings.version_settings()
        | {"num_partitions": finished.num_partitions, "encoding": ENCODING},
        stats=dict(statistics(funnel, splits, pieces, languages)),
    )


class _StoredLengths:
    """The lengths of every shard of a split, partition by partition, from the disk."""

    def __init__(self, folder: Path, num_partitions: int, split: Split) -> None:
        self._files = [
            folder / SplitFile(folder, part, split).lengths_path for part in range(num_partitions)
        ]

    def __iter__(self) -> Iterator[ShardLengths]:
        for file in self._files:
            yield from load_parts(file.read_bytes())


def _split_info(
    counts: SplitCounts, lengths: Iterable[ShardLengths], store: LocalStore
) -> SplitInfo:
    blob = store.put_blob(dump_lengths(lengths), LENGTHS_SUFFIX)
    return make_split_info(
        counts.shards, lengths, LengthsInfo(sha256=blob.sha256, bytes=blob.bytes)
    )
