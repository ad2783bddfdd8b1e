"""A bucket that does not answer well → how long it is waited for, as long as over HTTP."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from shards.errors import StoreUnavailableError
from shards.http import RetryPolicy
from shards.manifest import BlobInfo
from shards.objects import ObjectStore
from tests.shards.fault_server import FaultServer, cut, status, trickle

ROOT = "s3://bucket/sets"
QUICK = RetryPolicy(attempts=2, first_wait_s=0.001)
# by the clock below: twenty pieces, if they are small; a whole blob comes in larger ones
PATIENCE = replace(QUICK, read_timeout_s=10, max_wait_s=0.01)


def moments() -> Callable[[], float]:
    """A clock by which half a second passes between any two looks at it, on any machine."""
    return (number / 2 for number in itertools.count()).__next__


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
    store = ObjectStore(ROOT, policy=PATIENCE, clock=moments())
    assert len(store.read_blob(blob)) == blob.bytes
    assert len(objects.script.requests) == 2


def test_a_drip_that_stays_ends_with_the_deadline(objects: FaultServer, blob: BlobInfo) -> None:
    objects.script.always = trickle(0.02)
    policy = replace(PATIENCE, deadline_s=30)
    with pytest.raises(StoreUnavailableError, match="until the deadline of 30 s: timed out"):
        ObjectStore(ROOT, policy=policy, clock=moments()).read_blob(blob)
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
