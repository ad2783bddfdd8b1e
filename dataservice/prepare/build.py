"""Build settings → a published data set version: the stages in order, and the commit at the end.

sources → clean, filter → partition → dedup, split → tokenizer → tag, encode → shards → manifest
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataservice.errors import BuildError, SourceError
from dataservice.prepare.ahead import read_sources
from dataservice.prepare.chunks import CleanUnit, clean_chunk
from dataservice.prepare.conflicts import target_conflicts
from dataservice.prepare.contamination import write_test_keys
from dataservice.prepare.counts import SplitCounts, StageCounts, merge_splits, merge_stages
from dataservice.prepare.encode import EncodeUnit, encode_partition
from dataservice.prepare.engine import Engine, open_engine
from dataservice.prepare.journal import Journal
from dataservice.prepare.known import last_shards
from dataservice.prepare.model import TrainTexts, Vocabulary, make_vocabulary
from dataservice.prepare.near import NearUnit, find_near, join_near
from dataservice.prepare.partition import SplitUnit, split_partitions, split_units
from dataservice.prepare.publish import Finished, make_manifest
from dataservice.prepare.reading import (
    Ingested,
    check_sources,
    encode_key,
    is_local,
    text_estimate,
    text_key,
    vocabulary_key,
)
from dataservice.prepare.report.page import report_page
from dataservice.prepare.rows import NUM_BUCKETS, BucketFile, dump_array, join_starts
from dataservice.prepare.sources import count_pairs
from dataservice.prepare.split_file import SPLITS
from dataservice.prepare.tags import TagCounts
from dataservice.prepare.work.cache import trim_cache
from dataservice.prepare.work.folder import check_space, work_folder
from dataservice.prepare.work.memory import release_memory
from dataservice.prepare.work.spill import SpillFile, spill
from dataservice.settings import BuildSettings
from shards.cli.console import Report, silent
from shards.manifest import Manifest, Split
from shards.store import REPORT, LocalStore, disk_error

_MAX_SOURCES: Final = 2**16
_STARTS: Final = "starts"
_CONFLICTS: Final = "conflicts.npy"
_SPILL_RATIO: Final = 3  # disk that the stages take at most, over the bytes of text


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A published version, and how many of its pairs were encoded for it, not found encoded."""

    name: str
    version: str
    manifest: Manifest
    num_encoded: int


def build(settings: BuildSettings, report: Report = silent) -> BuildResult:
    """Build and publish one version; the same input and settings give the same version id.

    A build that was killed goes on where it was when it is asked for again, and one of the same
    text as the last begins with the text cleaned.

    Raises:
        SourceError, BuildError, StoreFullError: and then nothing is published.
    """
    # workers of a cluster stand in other folders
    settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    work = settings.data_dir / "work"
    key = text_key(settings)
    try:
        for folder in (work, settings.store_dir):
            folder.mkdir(parents=True, exist_ok=True)
        with (
            work_folder(
                work,
                key,
                keep_s=settings.keep_unfinished_s,
                keep_bytes=settings.keep_text_bytes,
                keep_this=is_local(settings),
                report=report,
            ) as folder,
            open_engine(settings, (work, settings.store_dir)) as engine,
            Journal(folder, LocalStore(settings.store_dir)) as journal,
        ):
            result = _Build(settings, folder, key, engine, journal, report).run()
        trim_cache(settings.cache_dir, settings.keep_cache_bytes, work)
        return result
    except OSError as error:
        raise disk_error(error, work / "build") from error


@dataclass(frozen=True, slots=True)
class _Made:
    """A file that the build itself made between two stages."""

    spilled: SpillFile

    def files(self) -> tuple[SpillFile, ...]:
        return (self.spilled,)


@dataclass(frozen=True, slots=True)
class _Known:
    """That something is so, without a file."""

    def files(self) -> tuple[SpillFile, ...]:
        return ()


@dataclass(slots=True)
class _Found:
    """What was read of the sources: its parts, and all of it at last."""

    parts: list[Ingested] = field(default_factory=list)
    total: Ingested | None = None


@dataclass(slots=True)
class _Partitions:
    """What the split left, summed over the partitions."""

    tags: TagCounts
    train_bytes: list[int]
    num_val: int = 0

    def __len__(self) -> int:
        return len(self.train_bytes)


def _load_stages(_: int) -> None:
    """Import the stages, which finding this function does."""


def _release(_: int) -> None:
    """Let a worker give back what it has freed."""
    release_memory()


class _Build:
    """The stages of one build; each leaves files in `folder` for the next."""

    def __init__(
        self,
        settings: BuildSettings,
        folder: Path,
        text: str,
        engine: Engine,
        journal: Journal,
        report: Report,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.text = text
        self.engine = engine
        self.journal = journal
        self.report = report
        self.store = LocalStore(settings.store_dir)
        self.funnel = StageCounts()
        self.num_read: list[int] = []  # pairs of each chunk
        self.num_encoded = 0
        self.key = encode_key(settings)

    def run(self) -> BuildResult:
        if known := self.journal.num_known:
            self.report("units done before", known, known)
        ingested = self.clean()
        partitions = self.split(ingested)
        vocabulary = self.vocabulary(partitions)
        splits = self.encode(partitions, vocabulary)
        finished = Finished(
            inputs=count_pairs(ingested.inputs, ingested.chunks, self.num_read),
            folder=self.folder,
            num_partitions=len(partitions),
            funnel=self.funnel,
            splits=splits,
            vocabulary=vocabulary,
        )
        manifest = make_manifest(finished, self.settings, self.store)
        page = report_page(self.settings.name, manifest).encode()
        version = self.store.commit(self.settings.name, manifest, {REPORT: page})
        self.journal.forget(f"encode {self.key}")
        return BuildResult(self.settings.name, version, manifest, self.num_encoded)

    def clean(self) -> Ingested:
        """Clean and filter every chunk as it is read, into rows by bucket."""
        check_sources(self.settings)
        check_space(
            self.folder, _SPILL_RATIO * text_estimate(self.settings), "the build", self.report
        )
        self.engine.warm(_load_stages)
        (self.folder / "clean").mkdir(exist_ok=True)
        found = _Found()
        num_rows = 0
        digest = hashlib.blake2b(digest_size=16)
        with closing(read_sources(self.settings, self.folder, self.journal, self.report)) as parts:
            units = self._clean_units(parts, found)
            results = self.journal.map(self.engine, "clean", clean_chunk, units)
            for number, result in enumerate(results, 1):
                self.funnel = merge_stages([self.funnel, result.funnel])
                if len(self.funnel.read) > _MAX_SOURCES:
                    self._raise_sources()
                num_rows += result.num_rows
                digest.update("".join(file.digest for file in result.spilled).encode())
                self.num_read.append(result.funnel.read.total())
                num_units = len(found.total.chunks) if found.total else None
                self.report("clean and filter", number, num_units)
        if not num_rows:
            self._raise_empty()
        assert found.total is not None, "there are no results beyond the last unit"
        files = [BucketFile.of_chunk(self.folder, n) for n in range(len(found.total.chunks))]
        self._forget_other_rows(digest.hexdigest())
        self.journal.once("starts", "", lambda: _Made(join_starts(files, self.folder, _STARTS)))
        self.journal.drop("read")
        return found.total

    def _forget_other_rows(self, digest: str) -> None:
        """Forget what was made of rows that are no longer there.

        They are others when a source was another one when it was read again.
        """
        if not self.journal.knows("rows", digest):
            self.journal.forget_all_but("read", "tests", "clean")
        self.journal.once("rows", digest, _Known)

    def _clean_units(self, parts: Iterable[Ingested], found: _Found) -> Iterator[CleanUnit]:
        """A unit for each chunk; `found` grows by what is read."""
        tests = None
        if self.settings.test_sources:
            write = functools.partial(write_test_keys, self.settings, self.folder)
            made = self.journal.once("tests", "", lambda: _Made(write()))
            tests = made.spilled.under(self.folder)
        first = 0
        for part in parts:
            found.parts.append(part)
            for number, chunk in enumerate(part.chunks, first):
                yield CleanUnit(
                    number=number,
                    chunk=chunk,
                    rows=BucketFile.of_chunk(self.folder, number),
                    label=f"{chunk.names[0]}, from record {chunk.first}",
                    test_file=tests,
                    settings=self.settings,
                )
            first += len(part.chunks)
        if text_key(self.settings) != self.text:
            raise SourceError(
                "a source was changed while it was read; nothing was published, since nobody knows "
                "what was read of it; run the same command again when it is whole"
            )
        found.total = Ingested.of_parts(found.parts)
        check_space(self.folder, _SPILL_RATIO * found.total.num_bytes, "the build", self.report)

    def _raise_sources(self) -> None:
        raise BuildError(
            f"the pairs name more than {_MAX_SOURCES} sources, which is what a data set holds; "
            "nothing was published; give `source` for a collection, not for every pair"
        )

    def _raise_empty(self) -> None:
        reasons = Counter[str]()
        for (_, reason), dropped in self.funnel.dropped.items():
            reasons[reason] += dropped
        told = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
        raise BuildError(
            f"no pair is left to build from: {self.funnel.read.total()} read, dropped: "
            f"{told or 'none'}; nothing was published; check the sources, the sides "
            f"({self.settings.src_lang} first) and the filter settings"
        )

    def split(self, ingested: Ingested) -> _Partitions:
        """Deduplicate and split every partition."""
        # decided by the text alone, so that any number of processes gives the same shards
        number = -(-ingested.num_bytes // self.settings.partition_bytes)
        number = min(max(1, number), NUM_BUCKETS)
        (self.folder / "split").mkdir(exist_ok=True)
        near_file = self._near(len(ingested.chunks), number)
        units = [
            SplitUnit(
                partitions=partitions,
                num_partitions=number,
                num_chunks=len(ingested.chunks),
                folder=self.folder,
                starts_file=_STARTS,
                near_file=near_file,
                settings=self.settings,
            )
            for partitions in split_units(number)
        ]
        total = _Partitions(TagCounts(), [])
        for result in self.journal.map(self.engine, "split", split_partitions, units):
            for partition in result.partitions:
                self.funnel = merge_stages([self.funnel, partition.funnel])
                total.tags.add(partition.tags)
                total.train_bytes.append(partition.train_bytes)
                total.num_val += partition.num_val
            self.report("deduplicate and split", len(total), number)
        for stage in ("clean", "starts", "near", "near ids"):
            self.journal.drop(stage)
        return total

    def _near(self, num_chunks: int, num_units: int) -> str | None:
        """The ids of longer pairs that resemble earlier ones, by MinHash if that is set."""
        if self.settings.near_duplicates != "minhash":
            return None
        (self.folder / "near").mkdir(exist_ok=True)
        units = [NearUnit(unit, num_units, num_chunks, self.folder) for unit in range(num_units)]
        results = []
        for result in self.journal.map(self.engine, "near", find_near, units):
            results.append(result)
            self.report("compare bands", len(results), num_units)
        made = self.journal.once("near ids", "", lambda: _Made(join_near(self.folder, results)))
        return made.spilled.path

    def vocabulary(self, partitions: _Partitions) -> Vocabulary:
        """Train a tokenizer on a sample of train, or take the one that is given."""
        self.report("train the tokenizer", 0, 1)
        self.engine.warm(_release)  # training takes much, and the workers need nothing meanwhile
        texts = TrainTexts(self.folder, partitions.train_bytes)
        key = vocabulary_key(self.settings)
        found = self.journal.once(
            "vocabulary",
            key,
            lambda: make_vocabulary(texts, partitions.tags, self.settings),
        )
        self.report("train the tokenizer", 1, 1)
        return found

    def encode(self, partitions: _Partitions, vocabulary: Vocabulary) -> dict[Split, SplitCounts]:
        """Encode, tag and store every partition."""
        self.journal.once("conflicts", "", lambda: self._conflicts(partitions))
        known = last_shards(self.store, self.settings, vocabulary)
        units = (
            EncodeUnit(
                partition=partition,
                is_last=partition == len(partitions) - 1,
                folder=self.folder,
                conflicts_file=_CONFLICTS,
                model=vocabulary.info,
                symbols=vocabulary.symbols,
                sources={name: number for number, name in enumerate(sorted(self.funnel.read))},
                known=known.overlapping(partition, len(partitions)) if known else (),
                settings=self.settings,
            )
            for partition in range(len(partitions))
        )
        splits = {split: SplitCounts() for split in SPLITS}
        results = self.journal.map(self.engine, f"encode {self.key}", encode_partition, units)
        for number, result in enumerate(results, 1):
            self.funnel = merge_stages([self.funnel, result.funnel])
            self.num_encoded += result.num_encoded
            for split, counts in result.splits.items():
                splits[split] = merge_splits([splits[split], counts])
            self.report("encode and write", number, len(partitions))
        return splits

    def _conflicts(self, partitions: _Partitions) -> _Made:
        keys = target_conflicts(self.folder, len(partitions), partitions.num_val)
        release_memory()
        return _Made(spill(self.folder, _CONFLICTS, dump_array(keys)))
