"""Mirrors that are slow or limp → how soon another one is asked, and when all are given up."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from shards.dataset import open_dataset, with_policy
from shards.errors import StoreUnavailableError
from shards.http import HttpStore, RetryPolicy
from shards.mirrors import MirrorStore, hasty
from shards.store import LocalStore
from tests.shards.fault_server import FaultServer, stall, status
from tests.shards.test_dataset import content, publish, serve
from tests.shards.test_http_waits import naps
from tests.shards.test_mirrors import DOWN, GOOD, INFO, Clock, Setup


def test_a_mirror_that_sends_a_little_and_falls_silent_is_left(
    server: FaultServer, tmp_path: Path
) -> None:
    info = LocalStore(tmp_path).put_blob(bytes(100_000), ".tar.zst")
    server.script.files[f"/{info.path}"] = bytes(100_000)
    server.script.always = stall(100)
    clock = Clock()
    # of two attempts in a row, one brings a byte within this time
    policy = hasty(RetryPolicy(read_timeout_s=0.5, first_wait_s=8))
    limping = HttpStore(
        server.url,
        policy=policy,
        sleep=clock.sleep,
        clock=lambda: clock.now + time.monotonic(),
    )
    told: list[str] = []
    mirrors = MirrorStore([(limping, "x"), (LocalStore(tmp_path), "x")], tell=told.append)
    assert mirrors.read_blob(info) == bytes(100_000)
    assert len(server.script.requests) < 6
    assert ["until the deadline of 30 s" in text for text in told] == [True]


def test_a_mirror_that_asks_for_a_long_wait_is_not_waited_for(server: FaultServer) -> None:
    server.script.always = status(503, Retry_After="60")
    assert naps(server, hasty(RetryPolicy())) == [2]


def test_no_further_mirror_is_asked_after_the_deadline() -> None:
    setup = Setup()
    for store in setup.stores:
        store.error = DOWN
        store.before = lambda: setup.clock.sleep(30)
    with pytest.raises(StoreUnavailableError, match=r"http://a.*http://b.*http://c"):
        setup.mirrors.read_blob(INFO)
    assert (setup.asked, setup.clock.now) == ([2, 1, 1], 1121)


def test_a_mirror_that_was_not_asked_is_not_avoided_for_longer() -> None:
    setup = Setup()
    first, second, third = setup.stores
    first.error = second.error = DOWN
    assert setup.mirrors.read_blob(INFO) == GOOD
    setup.clock.now += 5
    first.error = second.error = None
    assert setup.mirrors.read_blob(INFO) == GOOD
    first.error = DOWN
    assert setup.mirrors.read_blob(INFO) == GOOD
    assert setup.asked == [3, 2, 1]
    assert third.asked == 1


def test_another_patience_keeps_what_is_known_of_the_mirrors(
    server: FaultServer, tmp_path: Path
) -> None:
    publish(tmp_path)
    root = serve(server, tmp_path)
    server.script.always = status(503)
    told: list[str] = []
    quick = RetryPolicy(attempts=2, first_wait_s=0.001)
    dataset = open_dataset(f"{root}/demo,{tmp_path}/demo", policy=quick, tell=told.append)
    asked = len(server.script.requests)
    patient = with_policy(dataset, replace(quick, attempts=1000))
    assert content(patient)
    assert (len(server.script.requests), len(told)) == (asked, 1)
    assert isinstance(patient.store, MirrorStore)
    assert patient.store.policy.attempts == 1000
