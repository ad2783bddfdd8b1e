"""The store's folder → what it holds: data sets, versions, and whether they can be read."""

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dataservice.web.pages import (
    DatasetEntry,
    DatasetPage,
    SplitPage,
    TokenizerPage,
    VersionEntry,
    VersionPage,
)
from shards.dataset import read_latest
from shards.errors import GoneError, ManifestError, NotFoundError, ShardError
from shards.manifest import Manifest, SplitInfo
from shards.retired import Tombstone
from shards.store import (
    REPORT,
    STATISTICS,
    LocalStore,
    check_name,
    is_version,
    version_path,
)

_MANIFESTS_KEPT: Final = 64


class Catalog:
    """Questions about a store; `root` in them is the URL of /datasets, as the asker sees it."""

    def __init__(self, folder: Path) -> None:
        self._store = LocalStore(folder)
        # manifests never change, and parsing a long one for each request would cost
        self._manifest = functools.lru_cache(_MANIFESTS_KEPT)(self._store.manifest)

    @property
    def folder(self) -> Path:
        return self._store.folder

    def names(self) -> list[str]:
        """The data sets that have a version and a name that works in a URL, sorted."""
        return [name for name in self._store.names() if _is_name(name)]

    def pointer(self, name: str) -> bytes:
        """The bytes of a data set's latest.json. Raises NotFoundError."""
        self.require_dataset(name)
        return self._store.read(f"{name}/latest.json")

    def latest(self, name: str) -> str:
        """The latest version of a data set.

        Raises:
            NotFoundError: when there is no such data set.
            ManifestError: when its pointer is damaged.
        """
        self.require_dataset(name)
        return read_latest(self._store, name)

    def dataset_entry(self, name: str, root: str) -> DatasetEntry:
        """A data set in short; a damaged one has a problem. Raises NotFoundError."""
        url = f"{root}/{name}"
        page = DatasetEntry(name=name, latest=None, url=url, versions_url=f"{url}/versions")
        try:
            latest = self.latest(name)
        except ManifestError as error:
            return page.model_copy(update={"problem": str(error)})
        entry = self._version_entry(name, latest, latest, root)
        counts = {"samples": entry.samples, "problem": entry.problem}
        report = self._report_url(name, latest, root)
        links = {"latest": latest, "latest_url": entry.url, "report_url": report}
        return page.model_copy(update={**links, **counts})

    def dataset_page(self, name: str, root: str) -> DatasetPage:
        """A data set with the ids of its versions. Raises NotFoundError."""
        entry = self.dataset_entry(name, root)
        return DatasetPage(**entry.model_dump(), versions=self._store.versions(name))

    def version_entries(self, name: str, root: str) -> list[VersionEntry]:
        """The versions of a data set, those collected too, oldest first. Raises as `latest`."""
        latest = self.latest(name)
        there = [
            self._version_entry(name, version, latest, root)
            for version in self._store.versions(name)
        ]
        retired = [_retired_entry(stone, root) for stone in self._store.tombstones(name)]
        return sorted([*retired, *there], key=lambda entry: entry.published)

    def version_page(self, name: str, version: str, root: str) -> VersionPage:
        """One version. Raises NotFoundError, ManifestError."""
        self.require_version(name, version)
        manifest = self._manifest(name, version)
        entry = self._version_entry(name, version, self.latest(name), root)
        tokenizer = manifest.tokenizer
        return VersionPage(
            **entry.model_dump(),
            name=name,
            manifest_url=f"{entry.url}/manifest.json",
            stats_url=f"{entry.url}/{STATISTICS}",
            report_url=self._report_url(name, version, root),
            languages={str(side): language for side, language in manifest.languages.items()},
            splits={str(split): _split_page(info) for split, info in manifest.splits.items()},
            tokenizer=TokenizerPage(url=f"{root}/{tokenizer.path}", **tokenizer.model_dump()),
            funnel=manifest.stats.get("funnel", {}),
            build=manifest.build,
        )

    def problem(self, name: str) -> str | None:
        """Why the latest version of a data set cannot be read; a check of sizes, not of hashes."""
        try:
            version = self.latest(name)
            self.require_version(name, version)
            manifest = self._manifest(name, version)
        except ShardError as error:
            return str(error)
        for blob in manifest.blobs():
            try:
                size = (self.folder / blob.path).stat().st_size
            except OSError as error:
                size, what = -1, error.strerror
            else:
                what = f"{size} bytes"
            if size != blob.bytes:
                return (
                    f"data set {name!r} cannot be read: blob {blob.path} should have {blob.bytes} "
                    f"bytes ({what}); restore it, or POST /reshard to build it again"
                )
        return None

    def require_dataset(self, name: str) -> None:
        """Raise NotFoundError, saying what exists, unless a data set of that name does."""
        try:
            there = (self.folder / check_name(name) / "latest.json").is_file()
        except ShardError as error:
            raise NotFoundError(str(error)) from error
        if not there:
            known = ", ".join(self.names())
            raise NotFoundError(
                f"there is no data set {name!r} here, but {known}; GET /datasets lists them"
                if known
                else f"there is no data set {name!r} here, nor any other yet; GET /readyz says "
                "whether one is being built, POST /reshard builds one"
            )

    def require_version(self, name: str, version: str) -> None:
        """Raise NotFoundError, saying where to look, unless a data set has that version.

        It is a GoneError when the version was collected.
        """
        self.require_dataset(name)
        if not is_version(version):
            raise NotFoundError(
                f"{version[:80]!r} is no version of a data set: a version is the sha256 of its "
                f"manifest, 64 digits of 0-9 a-f; GET /datasets/{name}/versions lists them"
            )
        if not (self.folder / version_path(name, version)).is_file():
            if stone := self._store.tombstone(name, version):
                raise GoneError(_collected(stone))
            raise NotFoundError(
                f"data set {name!r} has no version {version}; "
                f"GET /datasets/{name}/versions lists those it has"
            )

    def gone_blob(self, file: str) -> GoneError | None:
        """Why a blob is not there, if that is because its version was collected."""
        stone = self._store.tombstone_of_blob(file)
        return None if stone is None else GoneError(f"blob {file} is gone: {_collected(stone)}")

    def _version_entry(self, name: str, version: str, latest: str, root: str) -> VersionEntry:
        entry = VersionEntry(
            version=version,
            latest=version == latest,
            published=self._published(name, version),
            url=f"{root}/{name}/versions/{version}",
        )
        try:
            manifest = self._manifest(name, version)
        except ShardError as error:
            return entry.model_copy(update={"problem": str(error)})
        return entry.model_copy(update=_counts(manifest))

    def _report_url(self, name: str, version: str, root: str) -> str | None:
        path = version_path(name, version, REPORT)
        return f"{root}/{path}" if (self.folder / path).is_file() else None

    def _published(self, name: str, version: str) -> datetime:
        path = self.folder / version_path(name, version)
        seconds = path.stat().st_mtime if path.is_file() else 0
        return datetime.fromtimestamp(seconds, UTC)


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except ShardError:
        return False


def _collected(stone: Tombstone) -> str:
    there = f"GET /datasets/{stone.dataset}/versions lists the versions that are there"
    return f"{stone.sentence()}; {there}"


def _retired_entry(stone: Tombstone, root: str) -> VersionEntry:
    return VersionEntry(
        version=stone.version,
        latest=False,
        published=stone.published,
        url=f"{root}/{stone.dataset}/versions/{stone.version}",
        retired=stone.retired,
    )


def _counts(manifest: Manifest) -> dict[str, object]:
    splits = manifest.splits.values()
    return {
        "samples": sum(split.samples for split in splits),
        "tokens": sum(split.src_tokens + split.tgt_tokens for split in splits),
        "sources": {source.name: source.samples for source in manifest.sources},
        "vocab_size": manifest.tokenizer.vocab_size,
    }


def _split_page(info: SplitInfo) -> SplitPage:
    return SplitPage(
        samples=info.samples,
        src_tokens=info.src_tokens,
        tgt_tokens=info.tgt_tokens,
        shards=len(info.shards),
        bytes=sum(shard.bytes for shard in info.shards),
        raw_bytes=sum(shard.raw_bytes for shard in info.shards),
    )
