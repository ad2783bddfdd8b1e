"""The sources of a build → chunks in its folder, of which each is a unit of work."""

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataservice.errors import BuildError, SourceError
from dataservice.prepare.reuse import names_blob
from dataservice.prepare.sources import Chunk, read_chunks, write_demo_source
from dataservice.prepare.sources.locate import locate
from dataservice.prepare.work.folder import build_key, file_identity
from dataservice.prepare.work.spill import SpillFile
from dataservice.settings import BuildSettings
from dataservice.source_settings import SourceSettings, is_url, packing_of
from shards.errors import PrometheusError
from shards.manifest import InputInfo

_PACKED_RATIO: Final = 6
AFTER_TEXT: Final = frozenset(
    {
        *("default_author", "default_city", "default_year"),
        *("max_authors", "max_cities", "min_tags", "max_tokens"),
        *("max_token_ratio", "ratio_slack_tokens"),
        *("vocab_size", "character_coverage", "tokenizer_sample_bytes"),
        *("shard_bytes", "zstd_level"),
    }
)
"""Settings that change nothing before the tokenizer."""
_AFTER_VOCABULARY: Final = frozenset(
    {"max_tokens", "max_token_ratio", "ratio_slack_tokens", "shard_bytes", "zstd_level"}
)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What was read: chunks of raw text, and the files that they came from."""

    chunks: tuple[Chunk, ...]
    inputs: tuple[InputInfo, ...]
    spilled: tuple[SpillFile, ...]

    def files(self) -> tuple[SpillFile, ...]:
        return self.spilled

    @property
    def num_bytes(self) -> int:
        """Bytes of raw text."""
        return sum(chunk.num_bytes for chunk in self.chunks)

    def joined(self, other: "Ingested") -> "Ingested":
        """This and what was read after it."""
        return Ingested(
            self.chunks + other.chunks, self.inputs + other.inputs, self.spilled + other.spilled
        )

    @classmethod
    def of_parts(cls, parts: Sequence["Ingested"]) -> "Ingested":
        """Many parts in the order of reading, at once."""
        return cls(
            tuple(chunk for part in parts for chunk in part.chunks),
            tuple(info for part in parts for info in part.inputs),
            tuple(file for part in parts for file in part.spilled),
        )


def ingest_source(
    settings: BuildSettings,
    number: int,
    before: Ingested,
    folder: Path,
    note: Callable[[Chunk], None],
) -> Ingested:
    """Copy one source into chunks below the build's folder; others were read before it.

    `note` is called with each chunk, whose files are whole.

    Raises:
        SourceError: when it is not there or damaged; see `read_chunks`.
        BuildError: when the demo corpus, which stands in for no source, cannot be made.
    """
    source = settings.sources[number] if settings.sources else _demo(settings, folder)
    inputs = list(before.inputs)
    chunks: list[Chunk] = []
    spilled: list[SpillFile] = []
    own = f"read-{number}"
    for chunk in read_chunks(source, folder / own, inputs, settings.reading):
        chunks.append(chunk)
        spilled += [file.below(own) for file in chunk.spilled]
        note(chunk)
    return Ingested(tuple(chunks), tuple(inputs[len(before.inputs) :]), tuple(spilled))


def _demo(settings: BuildSettings, folder: Path) -> SourceSettings:
    try:
        return write_demo_source(folder / "demo.jsonl", settings.demo_pairs, settings.demo_seed)
    except ValueError as error:
        raise BuildError(f"the demo corpus cannot be made: {error}") from error


def check_sources(settings: BuildSettings) -> None:
    """See to it that every local file is there, before hours go into the first one.

    Raises:
        SourceError: when one is not.
    """
    for path in _local_files(settings):
        if not os.path.lexists(path):
            raise SourceError(f"source {path} is not there; nothing was read; check its path")


def text_estimate(settings: BuildSettings) -> int:
    """Bytes of text in the local sources, compressed ones taken for a sixth of theirs."""
    total = 0
    for path in _local_files(settings):
        with suppress(OSError):  # reading it will say what is wrong
            total += path.stat().st_size * (_PACKED_RATIO if packing_of(str(path)) else 1)
    return total


def _tokenizer_identity(settings: BuildSettings) -> str:
    """A given tokenizer by its content; building will say what is wrong with one that is not."""
    if settings.tokenizer and not names_blob(settings.tokenizer):
        with suppress(OSError, ValueError):
            return hashlib.sha256(Path(settings.tokenizer).read_bytes()).hexdigest()
    return settings.tokenizer


def encode_key(settings: BuildSettings) -> str:
    """What two builds of the same text have in common that may share their shards."""
    tokenizer = _tokenizer_identity(settings)
    decides = {"settings": settings.version_settings(), "tokenizer": tokenizer}
    return build_key(decides)[:16]


def vocabulary_key(settings: BuildSettings) -> str:
    """What two builds of the same text have in common that may share their tokenizer."""
    known = settings.version_settings()
    decides = {name: known[name] for name in AFTER_TEXT & known.keys() - _AFTER_VOCABULARY}
    return build_key({"settings": decides, "tokenizer": _tokenizer_identity(settings)})[:16]


def text_key(settings: BuildSettings) -> str:
    """What two builds have in common that may share their cleaned text."""
    known = settings.version_settings()
    return build_key(
        {
            "place": str(settings.data_dir.absolute()),  # the units name files in it
            "settings": {name: known[name] for name in known.keys() - AFTER_TEXT},
            "sources": [source.model_dump(mode="json") for source in settings.sources],
            "test_sources": [source.model_dump(mode="json") for source in settings.test_sources],
            "files": [file_identity(path) for path in _local_files(settings)],
        }
    )


def is_local(settings: BuildSettings) -> bool:
    """Whether every source is a file here, of which it can be told that it is the same again."""
    sources = (*settings.sources, *settings.test_sources)
    return not any(is_url(at) for source in sources for at in source.locations)


def _local_files(settings: BuildSettings) -> list[Path]:
    found = []
    for source in (*settings.sources, *settings.test_sources):
        if any(map(is_url, source.locations)):
            continue
        with suppress(PrometheusError):  # reading it will say what is wrong
            places = [place for group in locate(source, settings.reading) for place in group]
            found += [Path(place.location) for place in places]
    return found
