"""What a user says of a source → where its files are, how they are read, and how far one goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Format = Literal["jsonl", "tsv", "txt", "parquet", "tmx", "po", "mo"]
FieldName = Literal["src", "tgt", "author", "city", "year", "source"]
DamagePolicy = Literal["error", "skip"]

PACKINGS: Final = (".gz", ".zst", ".xz")
FORMATS: Final[dict[str, Format]] = {
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "tsv": "tsv",
    "txt": "txt",
    "parquet": "parquet",
    "tmx": "tmx",
    "po": "po",
    "mo": "mo",
}
MAX_LINE_BYTES: Final = 16 << 20
MAX_SOURCE_BYTES: Final = 1 << 38
MAX_RATIO: Final = 200

Location = Annotated[str, BeforeValidator(lambda at: str(at) if isinstance(at, Path) else at)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How sources are read: the languages, what is done with damage, and the limits."""

    src_lang: str = "ru"
    tgt_lang: str = "en"  # empty: texts without a translation
    damaged: DamagePolicy = "error"
    max_line_bytes: int = MAX_LINE_BYTES
    max_source_bytes: int = MAX_SOURCE_BYTES
    max_ratio: int = MAX_RATIO


class SourceSettings(BaseModel):
    """One source: files that hold whole pairs, or two text files whose lines correspond."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Location | None = Field(
        None, description="A file, a folder, a pattern as `text/*.jsonl.zst`, a URL, or hf://"
    )
    src: Location | None = Field(None, description="Source lines, with `tgt` beside it")
    tgt: Location | None = Field(None, description="Target lines, as many as `src` has")
    format: Format | None = Field(None, description="Format, where a name's ending does not say it")
    fields: dict[FieldName, str] = Field(
        {}, description="Names of the fields of JSONL and Parquet, where they are others"
    )
    config: str | None = Field(None, description="Configuration of a Hugging Face data set")
    split: str | None = Field(None, description="Split of a Hugging Face data set; all by default")
    name: str | None = Field(None, description="Source name of pairs that carry none")
    author: str | None = Field(None, description="Author of pairs that carry none")
    city: str | None = Field(None, description="City of pairs that carry none")
    year: int | None = Field(None, description="Year of pairs that carry none")
    public_only: bool = Field(
        False, description="Refuse URLs that lead to a private address, as a reshard always does"
    )

    @model_validator(mode="after")
    def _one_form(self) -> "SourceSettings":
        pair = self.src is not None and self.tgt is not None
        if (self.path is not None) == pair or (self.src is None) != (self.tgt is None):
            raise ValueError("a source is either `path`, or `src` and `tgt` together")
        return self

    @property
    def locations(self) -> tuple[str, ...]:
        """Where it is, in the order in which a pair's sides come from there."""
        return tuple(at for at in (self.path, self.src, self.tgt) if at is not None)

    @property
    def label(self) -> str:
        """What errors and statistics call the source."""
        return self.name or label_of(self.locations[0])


def label_of(location: str) -> str:
    """A file's name without the endings that say how it is written."""
    name = _file_name(location)
    return _unpacked(name).rsplit(".", 1)[0] or name


def format_of(location: str) -> Format | None:
    """The format that a name's ending tells."""
    return FORMATS.get(_unpacked(_file_name(location)).rsplit(".", 1)[-1].lower())


def packing_of(location: str) -> str:
    """The ending of a compressed file; empty for a plain one."""
    name = _file_name(location).lower()
    return next((ending for ending in PACKINGS if name.endswith(ending)), "")


def is_url(location: str) -> bool:
    return "://" in location


def parse_source(item: Any) -> Any:
    """A source given as a string: FILE, or SRC.txt,TGT.txt."""
    if not isinstance(item, str):
        return item
    first, comma, second = item.partition(",")
    return {"src": first or None, "tgt": second or None} if comma else {"path": first or None}


def _file_name(location: str) -> str:
    if is_url(location):
        location = location.partition("?")[0].partition("#")[0].rstrip("/")
    return location.rstrip("/").rsplit("/", 1)[-1] or location


def _unpacked(name: str) -> str:
    ending = next((end for end in PACKINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]
