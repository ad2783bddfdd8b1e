"""Fixtures of this room: a data folder whose files are as old as a clock that tests move."""

import os
import time
from pathlib import Path

import pytest

from dataservice.collect.leases import LeaseFolder, lease_folder
from dataservice.collect.marks import Rules
from dataservice.collect.sweep import CollectReport, collect
from shards.manifest import LENGTHS_SUFFIX, Manifest
from shards.store import LocalStore
from shards.writer import write_shard
from tests.shards.helpers import lengths_blob, make_block, make_manifest

GRACE_S = 100


class Box:
    """A data folder and its clock, a day ahead of ours: what is published is dated by it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "datasets")
        self.now = float(int(time.time())) + 24 * 3600
        self.leases: LeaseFolder = lease_folder(folder, self.clock)

    def clock(self) -> float:
        return self.now

    def publish(self, seed: int, name: str = "demo", shards: int = 2) -> str:
        """A version; neighbouring seeds share a shard."""
        version = self.store.commit(name, self.put_blobs(seed, shards))
        self.date()
        self.now += 1
        return version

    def put_blobs(self, seed: int, shards: int = 2) -> Manifest:
        """The manifest of a version whose blobs are stored, and no more."""
        numbers = range(seed, seed + shards)
        blocks = [make_block(5, number) for number in numbers]
        written = [write_shard([(f"b-{n}", b)]) for n, b in zip(numbers, blocks, strict=True)]
        infos = [info for _, info in written]
        for data, info in written:
            self.store.put_blob(data, info.suffix)
        model = self.store.put_blob(b"a tokenizer", ".model")
        self.store.put_blob(lengths_blob(infos, blocks), LENGTHS_SUFFIX)
        self.date()
        return make_manifest(infos, blocks, model)

    def date(self) -> None:
        """Give files that were written just now the time of our clock."""
        for path in self.store.folder.rglob("*"):
            if path.is_file() and abs(path.stat().st_mtime - time.time()) < 60:
                os.utime(path, (self.now, self.now))

    def collect(
        self, keep: int = 1, grace_s: float = GRACE_S, *, dry_run: bool = False
    ) -> CollectReport:
        rules = Rules(keep=keep, grace_s=grace_s)
        return collect(self.folder, rules, dry_run=dry_run, clock=self.clock)

    def blobs(self) -> set[str]:
        return {path.name for path in (self.store.folder / "blobs").iterdir()}

    def named(self, *versions: str, name: str = "demo") -> set[str]:
        """The blobs that versions name."""
        manifests = [self.store.manifest(name, version) for version in versions]
        return {Path(blob.path).name for manifest in manifests for blob in manifest.blobs()}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """An empty data folder."""
    return Box(tmp_path / "data")
