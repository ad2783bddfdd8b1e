"""Where cached blobs come from in tests, and what their files are called."""

import hashlib
from pathlib import Path

from shards.manifest import BlobInfo


class Origin:
    """Blobs by content, and how often each was fetched."""

    def __init__(self, *contents: bytes) -> None:
        self.blobs = {hashlib.sha256(data).hexdigest(): data for data in contents}
        self.fetched: list[str] = []

    def infos(self) -> list[BlobInfo]:
        return [
            BlobInfo(sha256=sha256, bytes=len(data), suffix=".bin")
            for sha256, data in self.blobs.items()
        ]

    def fetch(self, info: BlobInfo) -> bytes:
        self.fetched.append(info.sha256)
        return self.blobs[info.sha256]

    def own(self) -> dict[str, int]:
        return {Path(info.path).name: info.bytes for info in self.infos()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def file(info: BlobInfo) -> str:
    return Path(info.path).name


def never(below: int) -> int:
    """The coin that has the run's own blobs replaced: never so."""
    return below - 1


def always(below: int) -> int:
    return 0 * below
