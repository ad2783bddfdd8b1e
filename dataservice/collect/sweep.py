"""A data folder → old versions retired, and the blobs that nobody names any more removed.

All of it under the store's lock, which a commit takes too. A version is retired first: its
tombstone is written, its manifest removed, and that made durable; only then do blobs go. So
whatever moment a crash comes at, a version that has a manifest is whole.
"""

import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, Field

from dataservice.collect.leases import Clock, LeaseFolder, lease_folder
from dataservice.collect.marks import Marked, Rules, dataset_names, mark, moment
from dataservice.prepare.work.folder import earliest_build
from shards.retired import TOMBSTONE, Tombstone
from shards.store import FOR_PEOPLE, LocalStore, sync, version_path, write_atomically

_BLOB: Final = re.compile(r"[0-9a-f]{64}(\.[a-z0-9]{1,16}){0,3}")


class KeptVersion(BaseModel):
    """A version that stays, and why."""

    dataset: str
    version: str
    reasons: list[str]


class RetiredVersion(BaseModel):
    """A version that went."""

    dataset: str
    version: str
    published: AwareDatetime
    reason: str


class CollectReport(BaseModel):
    """What a collection did, or would do in a dry run."""

    dry_run: bool
    kept: list[KeptVersion]
    retired: list[RetiredVersion]
    removed_blobs: int = 0
    bytes_freed: int = Field(0, description="By blobs and left-over files")
    kept_blobs: int = Field(0, description="Named by a version that stays")
    waiting_blobs: int = Field(
        0, description="Named by none, but younger than the grace period or than a running build"
    )
    waiting_bytes: int = 0
    temporary_files: int = Field(0, description="Left over by writers that were killed; removed")
    expired_leases: int = Field(0, description="Cleared away")


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    written: float
    bytes: int


def collect(
    data_dir: Path, rules: Rules, *, dry_run: bool = False, clock: Clock = time.time
) -> CollectReport:
    """Retire versions and remove blobs by the rules; may run beside a service and builds.

    Raises:
        CollectError: when a manifest, a pointer or a lease cannot be read; nothing is removed.
    """
    store = LocalStore(data_dir / "datasets")
    if not store.folder.is_dir():
        return CollectReport(dry_run=dry_run, kept=[], retired=[])
    leases = lease_folder(data_dir, clock)
    with store.lock():
        return _Collection(data_dir, store, leases, rules, dry_run, clock()).run()


class _Collection:
    """One collection, with the store's lock held."""

    def __init__(
        self,
        data_dir: Path,
        store: LocalStore,
        leases: LeaseFolder,
        rules: Rules,
        dry_run: bool,
        now: float,
    ) -> None:
        self.data_dir = data_dir
        self.store = store
        self.leases = leases
        self.rules = rules
        self.dry_run = dry_run
        self.now = moment(now).timestamp()  # as a tombstone can say it
        self.grace_ended = self.now - rules.grace_s
        self.stones: list[Tombstone] = []
        self.report = CollectReport(dry_run=dry_run, kept=[], retired=[])

    def run(self) -> CollectReport:
        expired = self.leases.expired()
        versions = mark(self.store, self.leases.active(), self.rules, self.now)
        kept = [version for version in versions if version.reasons]
        named = frozenset[str]().union(*(version.blobs for version in kept))
        # listed before builds are looked for: what is not in the list cannot go
        blobs = list(_files(self.store.folder / "blobs", "*"))
        temporary = [file for folder in self._folders() for file in _files(folder, ".tmp-*")]
        cutoff = self._cutoff()
        for version in versions:
            if version.reasons:
                self._keep(version)
            else:
                self._retire(version, named)
        self._sweep(blobs, named, cutoff)
        for file in temporary:
            if file.written < cutoff:
                self.report.temporary_files += 1
                self._remove(file)
        self._clear_versions()
        self.report.expired_leases = len(expired)
        if not self.dry_run:
            self.leases.clear(expired)
        self._log()
        return self.report

    def _cutoff(self) -> float:
        """What was written before may go: neither the grace period nor a build protects it."""
        begin = earliest_build(self.data_dir / "work")
        return self.grace_ended if begin is None else min(self.grace_ended, begin)

    def _keep(self, version: Marked) -> None:
        self.report.kept.append(
            KeptVersion(dataset=version.name, version=version.version, reasons=version.reasons)
        )

    def _retire(self, version: Marked, named: frozenset[str]) -> None:
        stone = Tombstone(
            dataset=version.name,
            version=version.version,
            published=moment(version.published),
            retired=moment(self.now),
            reason=f"it was not among the newest {self.rules.keep} versions, and nobody held a "
            "lease on it",
            blobs=tuple(sorted(version.blobs - named)),
        )
        self.stones.append(stone)
        self.report.retired.append(
            RetiredVersion(
                dataset=stone.dataset,
                version=stone.version,
                published=stone.published,
                reason=stone.reason,
            )
        )
        if self.dry_run:
            return
        manifest = self.store.folder / version_path(version.name, version.version)
        write_atomically(manifest.with_name(TOMBSTONE), stone.dump())
        manifest.unlink()
        sync(manifest.parent)  # before a blob goes: after a power cut it may not be back

    def _sweep(self, blobs: Iterable[_File], named: frozenset[str], cutoff: float) -> None:
        let_go = self._let_go()
        for file in blobs:
            if not _BLOB.fullmatch(file.path.name):
                continue
            if file.path.name in named:
                self.report.kept_blobs += 1
            elif file.written < cutoff and let_go.get(file.path.name, 0) <= self.grace_ended:
                self.report.removed_blobs += 1
                self._remove(file)
            else:
                self.report.waiting_blobs += 1
                self.report.waiting_bytes += file.bytes
        if self.report.removed_blobs and not self.dry_run:
            sync(self.store.folder / "blobs")

    def _let_go(self) -> dict[str, float]:
        """When each blob was last named by a version: its readers have the grace period as well."""
        for name in dataset_names(self.store):
            self.stones += self.store.tombstones(name)
        return {
            blob: stone.retired.timestamp()
            for stone in sorted(self.stones, key=lambda stone: stone.retired)
            for blob in stone.blobs
        }

    def _remove(self, file: _File) -> None:
        self.report.bytes_freed += file.bytes
        if not self.dry_run:
            file.path.unlink(missing_ok=True)

    def _clear_versions(self) -> None:
        """What a crash left over: statistics without a manifest, tombstones beside one."""
        if self.dry_run:
            return
        for name in dataset_names(self.store):
            for stone in (self.store.folder / name / "versions").glob(f"*/{TOMBSTONE}"):
                is_there = stone.with_name("manifest.json").is_file()
                for left in (TOMBSTONE,) if is_there else FOR_PEOPLE:
                    stone.with_name(left).unlink(missing_ok=True)

    def _folders(self) -> Iterator[Path]:
        """Every folder in which files are written beside their place."""
        yield from (self.store.folder, self.store.folder / "blobs")
        yield from (self.leases.folder, self.data_dir / "jobs")
        for name in dataset_names(self.store):
            yield self.store.folder / name
            yield from (self.store.folder / name / "versions").glob("*")

    def _log(self) -> None:
        done = self.report
        logging.getLogger(__name__).info(
            "%s: %d versions kept, %d retired, %d blobs removed, %d bytes freed",
            "dry run" if self.dry_run else "collected",
            len(done.kept),
            len(done.retired),
            done.removed_blobs,
            done.bytes_freed,
        )


def _files(folder: Path, pattern: str) -> Iterator[_File]:
    for path in folder.glob(pattern):
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):  # its writer has just put it in place
            continue
        if path.is_file():
            yield _File(path, status.st_mtime, status.st_size)
