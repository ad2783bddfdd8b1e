"""Manifest ↔ canonical JSON bytes, whose sha256 is the version."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shards.errors import ManifestError
from shards.sample import combine_digests

FORMAT_VERSION: Final = 3
SHARD_SUFFIX: Final = ".tar.zst"
MODEL_SUFFIX: Final = ".model"
LENGTHS_SUFFIX: Final = ".lengths.npy.zst"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Split = Literal["train", "val"]
Side = Literal["src", "tgt"]
# it stands in names of files: no dot, no slash
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BlobInfo(_Frozen):
    """A file named by its content: `blobs/<sha256><suffix>`."""

    sha256: Sha256
    bytes: Count
    suffix: str

    @property
    def path(self) -> str:
        return f"blobs/{self.sha256}{self.suffix}"


class ShardInfo(BlobInfo):
    """One shard: what its file is, and what must come out of it."""

    suffix: Literal[".tar.zst"] = SHARD_SUFFIX
    raw_bytes: Count
    blocks: Count
    samples: Count
    src_tokens: Count
    tgt_tokens: Count
    ids_digest: str


class LengthsInfo(BlobInfo):
    """How long the samples of each shard are, on both sides together: `shards.lengths`."""

    suffix: Literal[".lengths.npy.zst"] = LENGTHS_SUFFIX


class SplitInfo(_Frozen):
    """One split: its shards in order, their sums, and how long its samples are.

    Lengths are counts by exact number of ids, tags included: `src_lengths[n]` samples have n.
    """

    shards: tuple[ShardInfo, ...]
    samples: Count
    src_tokens: Count
    tgt_tokens: Count
    src_lengths: tuple[Count, ...]
    tgt_lengths: tuple[Count, ...]
    lengths: LengthsInfo

    @property
    def ids_digest(self) -> str:
        return combine_digests([shard.ids_digest for shard in self.shards])

    @model_validator(mode="after")
    def _sums_agree(self) -> Self:
        for name in ("samples", "src_tokens", "tgt_tokens"):
            total = sum(getattr(shard, name) for shard in self.shards)
            if total != getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}, its shards hold {total}")
        return self


class TokenizerInfo(BlobInfo):
    """The SentencePiece model and the ids that mean something beyond text."""

    suffix: Literal[".model"] = MODEL_SUFFIX
    vocab_size: Count
    pad_id: Count
    unk_id: Count
    bos_id: Count
    eos_id: Count
    target_ids: dict[str, int]
    """Language → id of the symbol that asks for a translation into it."""


class TagInfo(_Frozen):
    """The tags before every `src`: how many ids, their symbols, and the defaults."""

    prefix_tokens: Count
    symbols: dict[str, int]
    defaults: dict[str, str]


class SourceInfo(_Frozen):
    """Where samples came from: one entry a source name, with the files that held it."""

    name: str
    samples: Count


class InputInfo(_Frozen):
    """One input file, as it was read: its sha256 is of the bytes on disk, compressed or not."""

    file: str
    sha256: Sha256
    bytes: Count
    pairs: Count


class Manifest(_Frozen):
    """A data set version, whole and immutable."""

    format_version: Literal[3] = FORMAT_VERSION
    generator: dict[str, str]
    languages: dict[Side, Language]
    """Without "tgt" no sample has a target: the text stands alone."""
    tokenizer: TokenizerInfo
    tags: TagInfo
    splits: dict[Split, SplitInfo]
    sources: tuple[SourceInfo, ...]
    inputs: tuple[InputInfo, ...]
    build: dict[str, Any]
    stats: dict[str, Any]

    @property
    def has_target(self) -> bool:
        """Whether samples are pairs; if not, none of them has a target."""
        return "tgt" in self.languages

    @model_validator(mode="after")
    def _languages_agree(self) -> Self:
        if "src" not in self.languages or len(set(self.languages.values())) < len(self.languages):
            raise ValueError(f"languages {self.languages} are no src, or no src and another tgt")
        unnamed = set(self.languages.values()) - set(self.tokenizer.target_ids)
        if self.has_target and unnamed:
            raise ValueError(f"target_ids name no symbol for {', '.join(sorted(unnamed))}")
        for name, split in self.splits.items():
            if self.has_target and any(split.tgt_lengths[:1]):
                raise ValueError(f"{split.tgt_lengths[0]} pairs of {name} have an empty target")
            if not self.has_target and split.tgt_tokens:
                raise ValueError(f"{name} has {split.tgt_tokens} tgt_tokens and no target language")
        return self

    def blobs(self) -> tuple[BlobInfo, ...]:
        """Every blob of the version, the tokenizer first, each once."""
        unique: dict[str, BlobInfo] = {self.tokenizer.path: self.tokenizer}
        for split in self.splits.values():
            for blob in (*split.shards, split.lengths):
                unique.setdefault(blob.path, blob)
        return tuple(unique.values())


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """JSON in one spelling: sorted keys, no spaces, UTF-8, no NaN, a newline at the end."""
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode() + b"\n"


def dump_manifest(manifest: Manifest) -> tuple[bytes, str]:
    """The manifest's bytes and its version, the sha256 of them."""
    data = canonical_json(manifest.model_dump(mode="json"))
    return data, hashlib.sha256(data).hexdigest()


def load_manifest(data: bytes, version: str, where: str) -> Manifest:
    """Check manifest bytes against the version they claim to be, and parse them.

    Raises:
        ManifestError: on another sha256, an unknown format version, or contradicting content.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != version:
        raise ManifestError(
            f"manifest {where} has sha256 {found[:12]}, its version says {version[:12]}; it is "
            "damaged or was edited and is not used; restore it or build the data set again"
        )
    try:
        value = json.loads(data)
        declared = value.get("format_version") if isinstance(value, dict) else None
        if declared != FORMAT_VERSION:
            raise ManifestError(
                f"manifest {where} has format version {declared}, this program reads "
                f"{FORMAT_VERSION}; use a program of the matching release, or build again"
            )
        return Manifest.model_validate(value)
    except (ValueError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise ManifestError(
            f"manifest {where} contradicts itself: {reason}; it is not used; build again"
        ) from error
