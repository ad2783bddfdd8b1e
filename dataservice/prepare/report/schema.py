"""The statistics of a version ↔ their types: what `dataset_stats.json` and the manifest hold."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

# typing's own is of no use to pydantic before Python 3.12
from typing_extensions import TypedDict

from dataservice.errors import BuildError
from shards.manifest import Side, Split

SCHEMA: Final = 2

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Number = TypeVar("Number", int, float)


def _rising(edges: list[Number]) -> list[Number]:
    """Edges of bins that have a width, none of which is negative."""
    if any(edge < 0 for edge in edges[:1]) or not all(
        one < other for one, other in itertools.pairwise(edges)
    ):
        raise ValueError("edges of bins do not rise from 0")
    return edges


class Funnel(TypedDict):
    """Pairs, from what was read to what is kept."""

    read: Count
    changed_by_cleaning: Count
    dropped: dict[str, Count]
    kept: Count
    train: Count
    val: Count


class SourceStats(TypedDict):
    """One source: what was read, dropped by reason, and kept by split."""

    read: Count
    dropped: dict[str, Count]
    kept: dict[str, Count]


class ExamplePair(TypedDict):
    """A pair that was dropped."""

    src: str
    tgt: str
    source: str


class Language(TypedDict):
    """One side of all samples."""

    code: str
    scripts: dict[str, Count]


class Histograms(TypedDict):
    """Samples by length: entry n counts those from edge n up to the next edge."""

    edges: Annotated[list[int], AfterValidator(_rising)]
    characters: dict[str, list[Count]]
    tokens: dict[str, list[Count]]


class Ratios(TypedDict):
    """Samples by characters of tgt over those of src."""

    edges: Annotated[list[float], AfterValidator(_rising)]
    counts: list[Count]


class Duplicates(TypedDict):
    """Pairs dropped as one of several alike; groups by size, the kept pair too."""

    dropped: Count
    groups: dict[str, Count]


class MissingCharacter(TypedDict):
    """A character that is spelled in bytes, since no piece has it."""

    char: str
    point: str
    name: str
    count: Count


class Coverage(TypedDict):
    """Characters that pieces of the vocabulary have, and the most frequent ones that none has."""

    total: Count
    distinct: Count
    covered_share: Share
    uncovered: list[MissingCharacter]


class Fertility(TypedDict):
    """One language: how much text a token is."""

    samples: Count
    characters: Count
    words: Count
    bytes: Count
    tokens: Count
    tokens_per_char: Share
    tokens_per_word: Share
    bytes_per_token: Share
    byte_fallback_share: Share


class Rank(TypedDict):
    """The piece that is at this rank by frequency, and the share of tokens up to it."""

    rank: Count
    count: Count
    share: Share


class VocabularyUse(TypedDict):
    """How the pieces are used, tags apart."""

    size: Count
    used: Count
    used_once: Count
    byte_fallback_share: Share
    ranks: list[Rank]


class Cut(TypedDict):
    """Samples that are not whole: none, since those too long are dropped."""

    cut: Count
    dropped: dict[str, Count]
    longest_kept_tokens: dict[str, Count]


class Author(TypedDict):
    """Samples that carry an author's tag."""

    name: str
    train: Count
    val: Count


class Stats(TypedDict):
    """All that a build counted."""

    schema: Literal[2]
    funnel: Funnel
    changes: dict[str, Count]
    examples: dict[str, list[ExamplePair]]
    sources: dict[str, SourceStats]
    sources_beyond: Count
    languages: dict[Side, Language]
    lengths: Histograms
    ratios: Ratios
    duplicates: dict[str, Duplicates]
    characters: Coverage
    fertility: dict[str, Fertility]
    vocabulary: VocabularyUse
    cut: Cut
    authors: list[Author]
    splits: dict[Split, dict[str, Any]]


def parse_stats(value: Mapping[str, Any], subject: str) -> Stats:
    """The statistics of a manifest, checked: they may come from anywhere.

    Raises:
        BuildError: when they are not those of this release.
    """
    try:
        return TypeAdapter(Stats).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BuildError(
            f"{subject} has no statistics that this release can show ({where}: {first['msg']}); "
            "the data itself is not concerned; build it again to get a report"
        ) from error
