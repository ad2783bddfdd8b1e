"""Any sequence of publishing, leasing, waiting and collecting → what is held can be read."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dataservice.collect.leases import Lease
from shards.dataset import open_dataset
from shards.errors import GoneError
from tests.dataservice.collect.conftest import Box

KEEP = st.integers(1, 3)
GRACE_S = st.sampled_from([0, 50, 500])
SEEDS = st.integers(0, 5)  # neighbours share a shard


class Collections(RuleBasedStateMachine):
    """What a store promises, in the words of a few lists."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="collections-"))
        self.box = Box(self.folder)
        self.published: dict[str, float] = {}
        self.latest = ""
        self.leases: list[Lease] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(seed=SEEDS)
    def first(self, seed: int) -> None:
        self.publish(seed)

    @rule(seed=SEEDS)
    def publish(self, seed: int) -> None:
        at = self.box.now
        self.latest = self.box.publish(seed)
        self.published[self.latest] = at

    @rule(number=st.integers(0, 5), ttl_s=st.sampled_from([5, 100, 1000]))
    def lease(self, number: int, ttl_s: int) -> None:
        version = sorted(self.published)[number % len(self.published)]
        there = version in self.box.store.versions("demo")
        try:
            self.leases.append(self.box.leases.acquire("demo", version, "x", ttl_s))
            assert there
        except GoneError:
            assert not there

    @rule(seconds=st.sampled_from([1, 60, 600]))
    def wait(self, seconds: int) -> None:
        self.box.now += seconds

    @rule(keep=KEEP, grace_s=GRACE_S)
    def collect(self, keep: int, grace_s: int) -> None:
        now = self.box.now
        before = set(self.box.store.versions("demo"))
        held = {lease.version for lease in self.leases if lease.expires_at.timestamp() > now}
        newest = sorted(before, key=lambda version: self.published[version])[-keep:]
        young = {version for version in before if self.published[version] > now - grace_s}
        report = self.box.collect(keep, grace_s)
        after = set(self.box.store.versions("demo"))
        assert after == {self.latest, *newest, *young, *(held & before)}
        assert {version.version for version in report.retired} == before - after
        if not grace_s:
            assert self.box.blobs() == self.box.named(*after)

    @invariant()
    def every_version_with_a_manifest_is_whole(self) -> None:
        versions = self.box.store.versions("demo")
        if versions:
            assert self.box.named(*versions) <= self.box.blobs()
            assert open_dataset(f"{self.box.store.folder}/demo").version == self.latest
        for version in set(self.published) - set(versions):
            assert self.box.store.tombstone("demo", version) is not None

    @invariant()
    def what_is_held_is_there(self) -> None:
        now = self.box.now
        held = {lease.version for lease in self.leases if lease.expires_at.timestamp() > now}
        assert held <= set(self.box.store.versions("demo"))


TestCollections = Collections.TestCase
TestCollections.settings = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCollections = pytest.mark.slow(TestCollections)
