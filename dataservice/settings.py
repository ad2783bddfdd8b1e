"""YAML, environment and options → what the data service does; defaults build the demo data set."""

from pathlib import Path
from typing import Any, Final, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from dataservice.engine_settings import EngineSettings
from dataservice.filter_settings import FilterSettings
from dataservice.source_settings import (
    MAX_LINE_BYTES,
    MAX_RATIO,
    MAX_SOURCE_BYTES,
    DamagePolicy,
    Reading,
    SourceSettings,
    parse_source,
)
from shards.errors import ShardError
from shards.sample import safe_name
from shards.store import check_name

ENV_PREFIX: Final = "DATASERVICE_"


class BuildSettings(FilterSettings, EngineSettings):
    """Every setting of a build; all but the places and the engine decide the version id."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    sources: list[SourceSettings] = Field(
        [],
        title="Input",
        description="Text to read: a file, folder, pattern or URL of .jsonl, .tsv, .parquet, .tmx, "
        ".po or .mo, hf://OWNER/NAME, or two files SRC.txt,TGT.txt; none "
        "means the built-in demo corpus",
    )
    test_sources: list[SourceSettings] = Field(
        [],
        title="Input",
        description="Test sets: pairs that hold a sentence of theirs are dropped; given as sources",
    )
    src_lang: str = Field(
        "ru",
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        title="Input",
        description="Language of src",
        examples=["ru", "pt-BR"],
    )
    tgt_lang: str = Field(
        "en",
        pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$",
        title="Input",
        description="Language of tgt; empty: texts without a translation",
        examples=["en", "sr-Latn", ""],
    )
    damaged: DamagePolicy = Field(
        "error", title="Sources", description="What cannot be read ends the build, or is counted"
    )
    max_line_bytes: int = Field(
        MAX_LINE_BYTES, ge=1024, le=1 << 30, title="Sources", description="Longest line or record"
    )
    max_source_bytes: int = Field(
        MAX_SOURCE_BYTES, ge=1 << 20, title="Sources", description="Largest file, uncompressed"
    )
    max_source_ratio: int = Field(
        MAX_RATIO,
        ge=2,
        title="Sources",
        description="Uncompressed over compressed size of a file beyond its first 64 MiB",
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
    tokenizer: str = Field(
        "",
        title="Tokenizer",
        description="A .model file, or the sha256 of a model in the store, to use instead of "
        "training one; it decides the vocabulary",
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
        Path("data"),
        title="Places",
        description="Holds datasets/ (the URL tree), jobs/, work/, cache/ and leases/",
    )

    @field_validator("sources", "test_sources", mode="before")
    @classmethod
    def _parse_sources(cls, value: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        return [parse_source(item) for item in items]

    @model_validator(mode="after")
    def _two_languages(self) -> Self:
        if self.src_lang == self.tgt_lang:
            raise ValueError(
                f"src_lang and tgt_lang are both {self.src_lang!r}; give two, or an empty "
                "tgt_lang for texts without a translation"
            )
        return self

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
            raise ValueError("it has no letter or digit that a tag could keep; give another name")
        return safe_name(value)

    @property
    def store_dir(self) -> Path:
        """The folder whose tree is the URL tree."""
        return self.data_dir / "datasets"

    @property
    def cache_dir(self) -> Path:
        """What may be deleted at any time: tokenizers by their sample, and memos of their words."""
        return self.data_dir / "cache"

    @property
    def reading(self) -> Reading:
        """How the sources are read."""
        return Reading(
            src_lang=self.src_lang,
            tgt_lang=self.tgt_lang,
            damaged=self.damaged,
            max_line_bytes=self.max_line_bytes,
            max_source_bytes=self.max_source_bytes,
            max_ratio=self.max_source_ratio,
        )

    def version_settings(self) -> dict[str, Any]:
        """The settings that decide the version id, for the manifest."""
        # the manifest has the model's sha256, wherever it was read from
        places = {
            "sources",
            "test_sources",
            "name",
            "data_dir",
            "tokenizer",
            "max_memo_words",
            *EngineSettings.model_fields,
        }
        if self.sources:
            places |= {"demo_pairs", "demo_seed"}
        if self.tokenizer:
            places |= {"vocab_size", "character_coverage", "tokenizer_sample_bytes"}
        return self.model_dump(mode="json", include=set(BuildSettings.model_fields) - places)


class ServiceSettings(BuildSettings):
    """A build's settings, which a reshard starts from, and those of the server."""

    host: str = Field("127.0.0.1", title="Server", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, title="Server", description="Port; 0 picks a free one")
    source_root: Path | None = Field(
        None, title="Server", description="Folder whose files a reshard request may name as sources"
    )
    source_urls: bool = Field(
        False, title="Server", description="Let a reshard request name public http(s) URLs"
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
