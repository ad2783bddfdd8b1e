"""A version that was collected ↔ its tombstone: `retired.json` where its manifest was."""

from datetime import datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from shards.manifest import Sha256, canonical_json

TOMBSTONE: Final = "retired.json"


class Tombstone(BaseModel):
    """When a version was collected and why; its blobs that no kept version named then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    version: Sha256
    published: AwareDatetime
    retired: AwareDatetime
    reason: str
    blobs: tuple[str, ...]
    """Names of files below `blobs/`: the sha256 and the suffix."""

    def sentence(self) -> str:
        """What a reader of the version is told, and what to do."""
        return (
            f"version {self.version} of data set {self.dataset!r} was collected on "
            f"{stamp(self.retired)}: {self.reason}; train on a version that is there, the latest "
            "for example; `dataservice gc` with a higher --keep, or a lease held by the reader, "
            "keeps a version for longer, and a build of the same text and settings brings it back"
        )

    def dump(self) -> bytes:
        """The bytes of retired.json."""
        return canonical_json(self.model_dump(mode="json"))


def load_tombstone(data: bytes) -> Tombstone | None:
    """A tombstone from its bytes; None when they are none."""
    try:
        return Tombstone.model_validate_json(data)
    except ValidationError:
        return None


def stamp(moment: datetime) -> str:
    """A moment for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
