"""Settings and, on a resume, what the run had → its data sets: opened, pinned, filtered."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from shards.cli.console import Report, say, silent
from shards.dataset import Dataset, open_dataset, parse_dataset_url, with_policy
from shards.errors import PrometheusError
from shards.http import RetryPolicy
from shards.manifest import BlobInfo, Split
from shards.reader import decode_shard
from shards.store import LocalStore, write_atomically
from trainer.config import TrainSettings
from trainer.errors import CheckpointError, TrainingError
from trainer.stream.batching import direction_of
from trainer.stream.cache import BlobCache, Once
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.mix import WeightedUrl, parse_mixture
from trainer.stream.order import Cursor
from trainer.stream.selection import (
    PairFilter,
    Selection,
    ShardPart,
    check_filters,
    make_selector,
    resolve,
)

_MANY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """One data set of a run, at its version, with what is read of it."""

    url: str  # as the user gave it
    weight: Fraction
    dataset: Dataset
    cache: BlobCache | None
    selections: dict[Split, Selection]  # none where nothing is left out

    def samples(self, split: Split) -> int:
        """How many samples of a split are read."""
        if split in self.selections:
            return self.selections[split].samples
        return self.dataset.manifest.splits[split].samples

    def stream(self, config: StreamConfig, cursor: Cursor | None = None) -> BatchStream:
        selection = self.selections.get(config.split)
        return BatchStream(
            self.dataset, config, cursor=cursor, cache=self.cache, selection=selection
        )

    def describe(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "url": self.url,
            "weight": str(self.weight),
            "version": self.dataset.version,
            "tokenizer_sha256": self.dataset.manifest.tokenizer.sha256,
        }


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a run was trained on so far, and what to call it: `Source.describe` of each data set."""

    subject: str
    data: list[dict[str, Any]]


def open_sources(
    settings: TrainSettings,
    pinned: Pinned | None = None,
    report: Report = silent,
    *,
    to_train: bool = True,
) -> tuple[Source, ...]:
    """Open every data set of a run at the version it is trained on, and resolve the filters.

    Texts without a translation can be streamed, but not trained on yet.

    Raises:
        ShardError, TrainingError, CheckpointError: before anything else is done.
    """
    named = parse_mixture(settings.data)
    pins = _pins(named, pinned)
    # opened with little patience, so that a wrong URL is told soon; then read with much
    datasets = [open_dataset(url, tell=say) for url in pins]
    _check_languages(datasets, settings.direction, to_train=to_train)
    _check_tokenizers(datasets, pinned)
    wanted = settings.pair_filter
    check_filters(wanted, [dataset.manifest for dataset in datasets])
    patient = RetryPolicy(attempts=_MANY, deadline_s=settings.data_timeout_s)
    blobs = [blob for dataset in datasets for blob in dataset.manifest.blobs()]
    tell = Once(say)
    sources = []
    for part, dataset in zip(named, datasets, strict=True):
        dataset = with_policy(dataset, patient)
        cache = _make_cache(settings, dataset, blobs, tell)
        source = Source(part.url, part.weight, dataset, cache, {})
        if wanted:
            _select(source, wanted, settings.run_dir, report)
        sources.append(source)
    return tuple(sources)


def filter_digest(wanted: PairFilter) -> str:
    """A name for a filter, by which a resumed run knows that it is the same."""
    told = {name: getattr(wanted, name) for name in PairFilter.__dataclass_fields__}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _pins(named: Sequence[WeightedUrl], pinned: Pinned | None) -> list[str]:
    """The URL to open of each data set: on a resume, at the version of the run."""
    if pinned is None:
        return [part.url for part in named]
    weights = [str(part.weight) for part in named]
    told = [part["weight"] for part in pinned.data]
    if weights != told:
        raise CheckpointError(
            f"{pinned.subject} was trained on {len(told)} data sets with weights "
            f"{', '.join(told)}, --data names {len(named)} with {', '.join(weights)}; the batches "
            "would be others; name them as in the run, or start a new one with another --run-dir"
        )
    return [
        _pin(part.url, one["version"], pinned.subject)
        for part, one in zip(named, pinned.data, strict=True)
    ]


def _pin(url: str, version: str, subject: str) -> str:
    ref = parse_dataset_url(url)
    if ref.version not in (None, version):
        raise CheckpointError(
            f"{subject} was trained on version {version[:12]}, --data names "
            f"{(ref.version or '')[:12]}; the steps would not go on where they stopped; name "
            "the data set without a version, or start a new run"
        )
    return ref.pinned(version).url


def _check_languages(datasets: Sequence[Dataset], direction: str, *, to_train: bool) -> None:
    """Every data set has the direction asked for, and targets if it is to be trained on."""
    for dataset in datasets:
        languages = dataset.manifest.languages
        if to_train and not dataset.manifest.has_target:
            raise TrainingError(
                f"{dataset.ref.url} holds {languages['src']} text without translations, and this "
                "release trains on pairs alone; nothing was started; name a data set of pairs"
            )
        direction_of(direction, languages, dataset.ref.url)


def _check_tokenizers(datasets: Sequence[Dataset], pinned: Pinned | None) -> None:
    """Ids mean the same text everywhere, or they may not be read together."""
    found = datasets[0].manifest.tokenizer.sha256
    for dataset in datasets[1:]:
        other = dataset.manifest.tokenizer.sha256
        if other != found:
            raise TrainingError(
                f"{dataset.ref.url} has tokenizer {other[:12]}, {datasets[0].ref.url} has "
                f"{found[:12]}; their ids mean other text, so they cannot be mixed; build one with "
                "the other's tokenizer, or both from all sources"
            )
    if pinned is not None and (told := pinned.data[0]["tokenizer_sha256"]) != found:
        raise CheckpointError(
            f"{pinned.subject} was trained with tokenizer {told[:12]}, the data has "
            f"{found[:12]}; its ids mean other text; resume with the data of the run"
        )


def _make_cache(
    settings: TrainSettings, dataset: Dataset, blobs: Sequence[BlobInfo], tell: Once
) -> BlobCache | None:
    """A local folder needs no copy of itself; `blobs` are those of all data sets of the run."""
    if not settings.cache_bytes or not dataset.ref.is_remote:
        return None
    try:
        cache_dir = settings.cache_dir.expanduser()
    except RuntimeError as error:
        tell(
            f"the cache {settings.cache_dir} has no place ({error.args[0]}); blobs are fetched "
            "whenever they are read; name a folder with --cache-dir"
        )
        return None
    if LocalStore(cache_dir).names():
        raise TrainingError(
            f"--cache-dir {cache_dir} is a folder of data sets, and a cache would remove blobs of "
            "theirs; nothing was started; name another folder"
        )
    own = {Path(blob.path).name: blob.bytes for blob in blobs}
    return BlobCache(
        cache_dir / "blobs", settings.cache_bytes, dataset.read_blob, own=own, tell=tell
    )


def _select(source: Source, wanted: PairFilter, run_dir: Path, report: Report) -> None:
    """Resolve the filter for both splits; a resumed run finds what the first one has resolved."""
    for split in source.dataset.manifest.splits:
        key = hashlib.sha256(f"{source.dataset.version} {filter_digest(wanted)}".encode())
        path = run_dir / "selections" / f"{key.hexdigest()[:16]}-{split}.json"
        source.selections[split] = _load(source, wanted, split, path) or _resolve(
            source, wanted, split, path, report
        )


def _load(source: Source, wanted: PairFilter, split: Split, path: Path) -> Selection | None:
    try:
        told = json.loads(path.read_bytes())
        manifest = source.dataset.manifest
        shards = {info.sha256: info for info in manifest.splits[split].shards}
        parts = [ShardPart(shards[sha256], *rest) for sha256, *rest in told["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or cut by a kill: it is made again
    return Selection(make_selector(wanted, manifest), tuple(parts), told["dropped"])


def _resolve(
    source: Source, wanted: PairFilter, split: Split, path: Path, report: Report
) -> Selection:
    dataset, cache = source.dataset, source.cache
    selection = resolve(
        wanted,
        dataset.manifest,
        split,
        lambda info: decode_shard(cache.read(info) if cache else dataset.read_blob(info), info),
        report,
    )
    told = {
        "parts": [[part.info.sha256, part.samples, part.digest] for part in selection.parts],
        "dropped": selection.dropped,
    }
    try:
        write_atomically(path, json.dumps(told).encode())
    except (OSError, PrometheusError) as error:
        raise TrainingError(f"{path} cannot be written ({error}); check --run-dir") from error
    return selection
