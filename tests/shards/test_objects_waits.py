"""A bucket that does not answer well → how long it is waited for, as long as over HTTP."""

import time
from dataclasses import replace

import pytest

from shards.errors import StoreUnavailableError
from shards.http import RetryPolicy
from shards.manifest import BlobInfo
from shards.objects import ObjectStore
from tests.shards.fault_server import FaultServer, cut, status, trickle

ROOT = "s3://bucket/sets"
QUICK = RetryPolicy(attempts=2, first_wait_s=0.001, read_timeout_s=0.3)


def test_what_comes_begins_the_count_anew_and_extends_the_deadline(
    objects: FaultServer, blob: BlobInfo
) -> None:
    objects.script.always = cut(100_000)
    now = 0.0

    def sleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s

    policy = RetryPolicy(attempts=2, first_wait_s=4, max_wait_s=4, deadline_s=5)
    store = ObjectStore(ROOT, policy=policy, sleep=sleep, clock=lambda: now)
    assert len(store.read_blob(blob)) == blob.bytes
    assert (len(objects.script.requests), now) == (6, 20)


def test_a_link_that_drips_counts_as_silent(objects: FaultServer, blob: BlobInfo) -> None:
    objects.script.faults = [trickle(0.02)]
    started = time.monotonic()
    assert len(ObjectStore(ROOT, policy=QUICK).read_blob(blob)) == blob.bytes
    assert time.monotonic() - started < 5
    assert len(objects.script.requests) == 2


def test_a_drip_that_stays_ends_with_the_deadline(objects: FaultServer, blob: BlobInfo) -> None:
    objects.script.always = trickle(0.02)
    policy = RetryPolicy(first_wait_s=0.001, max_wait_s=0.01, read_timeout_s=0.2, deadline_s=0.7)
    with pytest.raises(StoreUnavailableError, match=r"until the deadline of 0\.7 s: timed out"):
        ObjectStore(ROOT, policy=policy).read_blob(blob)
    assert len(objects.script.requests) > 2


def test_a_range_that_is_refused_costs_a_new_beginning(
    objects: FaultServer, blob: BlobInfo
) -> None:
    objects.script.faults = [cut(300_000), status(416)]
    policy = replace(QUICK, attempts=3)
    assert len(ObjectStore(ROOT, policy=policy).read_blob(blob)) == blob.bytes
    assert ["range" in request.headers for request in objects.script.requests] == [
        False,
        True,
        False,
    ]
