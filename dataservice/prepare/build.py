"""Build settings → a published data set version: the stages in order, and the commit at the end.

sources → clean, filter → partition → dedup, split → tokenizer → tag, encode → shards → manifest
"""

import importlib.metadata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dataservice.errors import BuildError
from dataservice.prepare.encode import EncodeResult, EncodeUnit, SplitCounts, encode_partition
from dataservice.prepare.engine import Engine
from dataservice.prepare.partition import (
    SPLITS,
    CleanResult,
    CleanUnit,
    SplitResult,
    SplitUnit,
    clean_chunk,
    read_rows,
    save_keys,
    split_partition,
)
from dataservice.prepare.report import merge_counts, statistics
from dataservice.prepare.sources import Chunk, read_chunks, write_demo_source
from dataservice.prepare.tags import choose_tag_symbols
from dataservice.prepare.tokenizer import TARGET_SYMBOLS, load_tokenizer, train_tokenizer
from dataservice.prepare.work import work_folder
from dataservice.settings import BuildSettings
from shards.cli.console import Report, silent
from shards.lengths import dump_lengths, make_split_info
from shards.manifest import (
    LENGTHS_SUFFIX,
    MODEL_SUFFIX,
    InputInfo,
    LengthsInfo,
    Manifest,
    SourceInfo,
    SplitInfo,
    TagInfo,
    TokenizerInfo,
)
from shards.sample import TAG_KINDS
from shards.store import LocalStore, disk_error

_MAX_SOURCES = 2**16
_GENERATORS = ("prometheusgpt-mini", "sentencepiece", "zstandard", "webdataset", "ftfy")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A published version."""

    name: str
    version: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _Ingested:
    chunks: tuple[Chunk, ...]
    inputs: tuple[InputInfo, ...]

    def num_partitions(self, settings: BuildSettings) -> int:
        """Decided by the text alone, so that any number of processes gives the same shards."""
        num_bytes = sum(chunk.num_bytes for chunk in self.chunks)
        return max(1, -(-num_bytes // settings.partition_bytes))


def build(settings: BuildSettings, report: Report = silent) -> BuildResult:
    """Build and publish one version; the same input and settings give the same version id.

    Raises:
        SourceError, BuildError, StoreFullError: and then nothing is published.
    """
    work = settings.data_dir / "work"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with work_folder(work) as folder, Engine(settings.processes) as engine:
            return _Build(settings, folder, engine, report).run()
    except OSError as error:
        raise disk_error(error, work / "build") from error


class _Build:
    """The stages of one build; each leaves files in `folder` for the next."""

    def __init__(
        self, settings: BuildSettings, folder: Path, engine: Engine, report: Report
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.engine = engine
        self.report = report
        self.store = LocalStore(settings.store_dir)

    def run(self) -> BuildResult:
        ingested = self.ingest()
        cleaned = self.clean(ingested)
        partitions = self.split(cleaned)
        model, symbols = self.train_tokenizer(partitions)
        sources = tuple(sorted({name for part in cleaned for name in part.read}))
        if len(sources) > _MAX_SOURCES:
            raise BuildError(
                f"the pairs name {len(sources)} sources, a data set holds {_MAX_SOURCES}; nothing "
                "was published; give `source` for a collection, not for every pair"
            )
        encoded = self.encode(partitions, model, symbols, sources)
        manifest = self.manifest(ingested, cleaned, partitions, encoded, model, symbols)
        version = self.store.commit(self.settings.name, manifest)
        return BuildResult(self.settings.name, version, manifest)

    def ingest(self) -> _Ingested:
        """Copy the sources into chunks that processes can take one by one."""
        sources = self.settings.sources
        if not sources:
            path = self.folder / "demo.jsonl"
            try:
                demo = write_demo_source(path, self.settings.demo_pairs, self.settings.demo_seed)
            except ValueError as error:
                raise BuildError(f"the demo corpus cannot be made: {error}") from error
            sources = [demo]
        chunks: list[Chunk] = []
        inputs: list[InputInfo] = []
        for number, source in enumerate(sources):
            for chunk in read_chunks(source, self.folder / f"chunks-{number}", inputs):
                chunks.append(chunk)
                self.report("read", len(chunks), None)
        return _Ingested(tuple(chunks), tuple(inputs))

    def clean(self, ingested: _Ingested) -> list[CleanResult]:
        number = ingested.num_partitions(self.settings)
        units = [
            CleanUnit(chunk, self.folder / f"{index:06d}.rows", number, self.settings)
            for index, chunk in enumerate(ingested.chunks)
        ]
        results = []
        for result in self.engine.map(clean_chunk, units):
            results.append(result)
            self.report("clean and filter", len(results), len(units))
        if not sum(result.offsets[-1] for result in results):
            self._raise_empty(results)
        return results

    def _raise_empty(self, results: list[CleanResult]) -> None:
        read = sum(result.read.total() for result in results)
        reasons = Counter[str]()
        for result in results:
            for (_, reason), dropped in result.dropped.items():
                reasons[reason] += dropped
        told = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
        raise BuildError(
            f"no pair is left to build from: {read} read, dropped: {told or 'none'}; nothing was "
            "published; check the sources, the sides (Russian first) and the filter settings"
        )

    def split(self, cleaned: list[CleanResult]) -> list[SplitResult]:
        number = len(cleaned[0].offsets) - 1
        units = [
            SplitUnit(index, tuple(cleaned), self.folder, self.settings) for index in range(number)
        ]
        results = []
        for result in self.engine.map(split_partition, units):
            results.append(result)
            self.report("deduplicate and split", len(results), len(units))
        return results

    def train_tokenizer(
        self, partitions: list[SplitResult]
    ) -> tuple[TokenizerInfo, dict[str, int]]:
        """Train on a bounded sample of train; the stored model and its tag symbols' ids."""
        self.report("train the tokenizer", 0, 1)
        tags = {
            kind: sum((part.tags[kind] for part in partitions), Counter[str]())
            for kind in TAG_KINDS
        }
        symbols = choose_tag_symbols(tags, self.settings)
        model = train_tokenizer(self._tokenizer_sample(partitions), symbols, self.settings)
        blob = self.store.put_blob(model, MODEL_SUFFIX)
        tokenizer = load_tokenizer(model)
        info = TokenizerInfo(
            sha256=blob.sha256,
            bytes=blob.bytes,
            vocab_size=tokenizer.vocab_size(),
            pad_id=tokenizer.pad_id(),
            unk_id=tokenizer.unk_id(),
            bos_id=tokenizer.bos_id(),
            eos_id=tokenizer.eos_id(),
            target_ids={
                language: tokenizer.piece_to_id(symbol)
                for language, symbol in TARGET_SYMBOLS.items()
            },
        )
        self.report("train the tokenizer", 1, 1)
        return info, {symbol: tokenizer.piece_to_id(symbol) for symbol in symbols}

    def _tokenizer_sample(self, partitions: list[SplitResult]) -> Iterator[str]:
        """Both sides of the train pairs whose key, a hash, lies below the share that fits."""
        total = sum(part.train_bytes for part in partitions)
        share = min(1.0, self.settings.tokenizer_sample_bytes / max(total, 1))
        for part in partitions:
            for row in read_rows(part.rows_files["train"]):
                if int(row.key[:12], 16) < share * 16**12:
                    yield row.ru
                    yield row.en

    def encode(
        self,
        partitions: list[SplitResult],
        model: TokenizerInfo,
        symbols: dict[str, int],
        sources: tuple[str, ...],
    ) -> list[EncodeResult]:
        conflicts_file = self.folder / "conflicts.npy"
        save_keys(conflicts_file, _target_conflicts(partitions))
        units = [
            EncodeUnit(
                partition=index,
                rows=part,
                conflicts_file=conflicts_file,
                model_file=self.settings.store_dir / model.path,
                symbols=symbols,
                sources={name: number for number, name in enumerate(sources)},
                settings=self.settings,
            )
            for index, part in enumerate(partitions)
        ]
        results = []
        for result in self.engine.map(encode_partition, units):
            results.append(result)
            self.report("encode and write", len(results), len(units))
        return results

    def manifest(
        self,
        ingested: _Ingested,
        cleaned: list[CleanResult],
        partitions: list[SplitResult],
        encoded: list[EncodeResult],
        model: TokenizerInfo,
        symbols: dict[str, int],
    ) -> Manifest:
        splits = {split: merge_counts([part.splits[split] for part in encoded]) for split in SPLITS}
        read = sum((part.read for part in cleaned), Counter[str]())
        dropped: Counter[tuple[str, str]] = Counter()
        for counter in (part.dropped for stage in (cleaned, partitions, encoded) for part in stage):
            dropped.update(counter)
        tokenizer = load_tokenizer(self.store.read_blob(model))
        if not splits["train"].shards:
            raise BuildError(
                "no pair is left to train on after the split and the token limit; nothing was "
                "published; give more text, or lower --val-fraction or raise --max-tokens"
            )
        return Manifest(
            generator={name: importlib.metadata.version(name) for name in _GENERATORS},
            languages={"src": "ru", "tgt": "en"},
            tokenizer=model,
            tags=TagInfo(
                prefix_tokens=len(TAG_KINDS),
                symbols=symbols,
                defaults={
                    "author": self.settings.default_author,
                    "city": self.settings.default_city,
                    "year": str(self.settings.default_year),
                },
            ),
            splits={split: self._split_info(counts) for split, counts in splits.items()},
            sources=tuple(
                SourceInfo(
                    name=name, samples=sum(counts.sources[name] for counts in splits.values())
                )
                for name in sorted(read)
            ),
            inputs=ingested.inputs,
            build=self.settings.version_settings(),
            stats=statistics(
                read, sum(part.changed for part in cleaned), dropped, splits, tokenizer
            ),
        )

    def _split_info(self, counts: SplitCounts) -> SplitInfo:
        """What the manifest says of a split, once the table of its lengths is stored."""
        blob = self.store.put_blob(dump_lengths(counts.lengths), LENGTHS_SUFFIX)
        return make_split_info(
            counts.shards, counts.lengths, LengthsInfo(sha256=blob.sha256, bytes=blob.bytes)
        )


def _target_conflicts(partitions: list[SplitResult]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Target sentences that stand in both splits, sorted: they may not validate en-ru either."""
    val = np.unique(np.concatenate([np.load(part.targets_files["val"]) for part in partitions]))
    found = np.zeros(len(val), bool)
    for part in partitions:
        found |= np.isin(val, np.load(part.targets_files["train"]))
    return val[found]
