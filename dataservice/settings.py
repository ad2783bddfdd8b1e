"""YAML, environment and options → what the data service does; defaults build the demo data set."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from shards.errors import ShardError
from shards.sample import safe_name
from shards.store import check_name

ENV_PREFIX: Final = "DATASERVICE_"


class SourceSettings(BaseModel):
    """One source of pairs: a file of pairs, or two files whose lines correspond."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path | None = Field(None, description="A .jsonl or .tsv file, plain, .gz or .zst")
    ru: Path | None = Field(None, description="Russian lines, with `en` beside it")
    en: Path | None = Field(None, description="English lines, as many as `ru` has")
    name: str | None = Field(None, description="Source name of pairs that carry none")
    author: str | None = Field(None, description="Author of pairs that carry none")
    city: str | None = Field(None, description="City of pairs that carry none")
    year: int | None = Field(None, description="Year of pairs that carry none")

    @model_validator(mode="after")
    def _one_form(self) -> "SourceSettings":
        pair = self.ru is not None and self.en is not None
        if (self.path is not None) == pair or (self.ru is None) != (self.en is None):
            raise ValueError("a source is either `path`, or `ru` and `en` together")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The files to read, in the order in which a pair's sides come from them."""
        return tuple(file for file in (self.path, self.ru, self.en) if file is not None)

    @property
    def label(self) -> str:
        """What errors and statistics call the source."""
        if self.name:
            return self.name
        name = self.files[0].name
        return name.removesuffix(".gz").removesuffix(".zst").rsplit(".", 1)[0] or name


class BuildSettings(BaseModel):
    """Every setting of a build; all but the places and `processes` decide the version id."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    sources: Annotated[list[SourceSettings], NoDecode] = Field(
        [],
        title="Input",
        description="Text to read: FILE.jsonl, FILE.tsv, or RU.txt,EN.txt, each also .gz or .zst; "
        "may be given several times; none means the built-in demo corpus",
    )
    demo_pairs: int = Field(10_000, ge=400, title="Input", description="Size of the demo corpus")
    demo_seed: int = Field(0, title="Input", description="Seed of the demo corpus")
    default_author: str = Field(
        "MagistrTheOne", title="Tags", description="Author of pairs whose source names none"
    )
    default_city: str = Field(
        "Krasnodar", title="Tags", description="City of pairs whose source names none"
    )
    default_year: int = Field(
        2025, ge=0, le=9999, title="Tags", description="Year of pairs whose source names none"
    )
    max_authors: int = Field(
        1000, ge=0, title="Tags", description="Most frequent authors that get a tag of their own"
    )
    max_cities: int = Field(
        200, ge=0, title="Tags", description="Most frequent cities that get a tag of their own"
    )
    min_tags: int = Field(
        100,
        ge=3,
        le=2000,
        title="Tags",
        description="Tags in the vocabulary at least; years fill the rest",
    )
    min_chars: int = Field(1, ge=1, title="Filters", description="Shortest side, in characters")
    max_chars: int = Field(
        4000, ge=1, le=250_000, title="Filters", description="Longest side, in characters"
    )
    max_length_ratio: float = Field(
        3.0, ge=1, title="Filters", description="Longer side over shorter, in characters"
    )
    ratio_slack_chars: int = Field(
        12, ge=0, title="Filters", description="Added to both sides before their ratio is taken"
    )
    min_script_share: float = Field(
        0.5, ge=0, le=1, title="Filters", description="Share of letters in a side's own script"
    )
    max_tokens: int = Field(
        512, ge=8, le=60_000, title="Filters", description="Longest side, in tokens without tags"
    )
    val_fraction: float = Field(
        0.1, ge=0, lt=1, title="Split", description="Share of the source sentences that validate"
    )
    split_seed: int = Field(0, title="Split", description="Another seed is another split")
    vocab_size: int = Field(
        3000, ge=400, le=1_000_000, title="Tokenizer", description="Pieces, tags and bytes included"
    )
    character_coverage: float = Field(
        0.9995, gt=0, le=1, title="Tokenizer", description="Share of characters that get a piece"
    )
    tokenizer_sample_bytes: int = Field(
        30_000_000, ge=10_000, title="Tokenizer", description="Text that the tokenizer learns from"
    )
    shard_bytes: int = Field(
        4 << 20, ge=1 << 16, title="Shards", description="A shard is closed at this size, raw"
    )
    zstd_level: int = Field(1, ge=1, le=19, title="Shards", description="Compression level")
    partition_bytes: int = Field(
        4 << 20, ge=1 << 16, title="Shards", description="Raw text that is sorted in one piece"
    )
    name: str = Field("demo", title="Places", description="Name of the data set")
    data_dir: Path = Field(
        Path("data"), title="Places", description="Holds datasets/ (the URL tree), jobs/ and work/"
    )
    processes: int = Field(
        0, ge=0, title="Places", description="Worker processes; 0 means one for each core"
    )

    @field_validator("sources", mode="before")
    @classmethod
    def _parse_sources(cls, value: Any) -> Any:
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = json.loads(value)
        items = [value] if isinstance(value, str | dict) else value
        return [_parse_source(item) for item in items] if isinstance(items, list) else items

    @field_validator("name")
    @classmethod
    def _usable_name(cls, value: str) -> str:
        try:
            return check_name(value)
        except ShardError as error:
            raise ValueError(str(error)) from error

    @field_validator("default_author", "default_city")
    @classmethod
    def _token_safe(cls, value: str) -> str:
        if not safe_name(value):
            raise ValueError("has no letter or digit that a tag could keep; give another name")
        return safe_name(value)

    @property
    def store_dir(self) -> Path:
        """The folder whose tree is the URL tree."""
        return self.data_dir / "datasets"

    def version_settings(self) -> dict[str, Any]:
        """The settings that decide the version id, for the manifest."""
        places = {"sources", "name", "data_dir", "processes"}
        if self.sources:
            places |= {"demo_pairs", "demo_seed"}
        return self.model_dump(mode="json", include=set(BuildSettings.model_fields) - places)


class ServiceSettings(BuildSettings):
    """A build's settings, which a reshard starts from, and those of the server."""

    host: str = Field("127.0.0.1", title="Server", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, title="Server", description="Port; 0 picks a free one")
    source_root: Path | None = Field(
        None, title="Server", description="Folder whose files a reshard request may name as sources"
    )
    build_on_start: bool = Field(
        True, title="Server", description="Build a first version when the store is empty"
    )
    keep_versions: int = Field(
        3,
        ge=1,
        title="Collection",
        description="Newest versions of each data set that a collection keeps",
    )
    collect_grace_s: int = Field(
        3600,
        ge=0,
        title="Collection",
        description="What is younger, or was named by a version until then, is not collected",
    )
    collect_after_build: bool = Field(
        False, title="Collection", description="Collect old versions after each job that succeeded"
    )


def _parse_source(item: Any) -> Any:
    if not isinstance(item, str):
        return item
    first, comma, second = item.partition(",")
    return {"ru": first or None, "en": second or None} if comma else {"path": first}
