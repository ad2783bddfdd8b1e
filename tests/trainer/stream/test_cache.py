"""The cache is bounded, shared, and keeps what is used."""

import pickle
import random
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.stream.origin import Origin, always, file, names, never
from trainer.stream import cache as cache_module
from trainer.stream.cache import BlobCache, Once


def test_a_blob_is_fetched_once(tmp_path: Path, origin: Origin) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch)
    info = origin.infos()[0]
    assert cache.read(info) == cache.read(info) == origin.blobs[info.sha256]
    assert origin.fetched == [info.sha256]


def test_the_limit_holds_and_the_least_recently_used_goes_first(
    tmp_path: Path, origin: Origin
) -> None:
    cache = BlobCache(tmp_path, 300, origin.fetch)
    infos = origin.infos()
    for info in infos[:3]:
        cache.read(info)
    cache.read(infos[0])
    cache.read(infos[3])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 300
    kept = {path.name.removesuffix(".bin") for path in tmp_path.iterdir()}
    assert kept == {infos[0].sha256, infos[2].sha256, infos[3].sha256}


def test_a_blob_larger_than_the_cache_is_streamed(tmp_path: Path, origin: Origin) -> None:
    cache = BlobCache(tmp_path, 99, origin.fetch)
    assert cache.read(origin.infos()[0]) == b"\0" * 100
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", [0, 1])
def test_nothing_is_evicted_for_what_would_not_fit_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(secrets, "randbelow", never)
    origin = Origin(b"a" * 100, b"b" * 100, b"c" * 250)
    mine, other, large = origin.infos()
    own = {file(mine): 100, file(large): 250}
    cache = BlobCache(tmp_path, 300, origin.fetch, own=own)
    for info in [(mine, other), (other, mine)][first]:
        cache.read(info)
    cache.read(large)
    assert names(tmp_path) == {file(mine), file(other)}


def test_an_epoch_larger_than_the_cache_finds_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = Origin(*(bytes([number]) * 100 for number in range(60)))
    monkeypatch.setattr(secrets, "randbelow", never)
    shuffled = random.Random(1)

    def misses(cache: BlobCache) -> list[int]:
        """For each epoch in an order of its own; 60 reads."""
        counts = []
        for _ in range(4):
            before = len(origin.fetched)
            for info in shuffled.sample(origin.infos(), 60):
                cache.read(info)
            counts.append(len(origin.fetched) - before)
        return counts

    own = BlobCache(tmp_path / "own", 3000, origin.fetch, own=origin.own())
    assert misses(own) == [60, 30, 30, 30]
    plain = misses(BlobCache(tmp_path / "plain", 3000, origin.fetch))
    assert min(plain[1:]) > 40, "which is why the run's own are kept"


def test_what_a_run_reads_takes_the_place_of_what_it_does_not(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", never)
    infos = origin.infos()
    for info in infos[:3]:
        BlobCache(tmp_path, 300, origin.fetch).read(info)
    own = {file(info): info.bytes for info in infos[3:]}
    cache = BlobCache(tmp_path, 300, origin.fetch, own=own)
    for info in infos[3:] * 2:
        cache.read(info)
    assert names(tmp_path) == {file(info) for info in infos[2:]}
    assert len(origin.fetched) == 5


def test_what_another_run_has_used_since_is_not_evicted(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", never)
    infos = origin.infos()
    own = {file(infos[number]): 100 for number in (0, 3, 4)}
    cache = BlobCache(tmp_path, 300, origin.fetch, own=own)
    cache.read(infos[0])
    for info in infos[1:3]:
        BlobCache(tmp_path, 300, origin.fetch).read(info)
    cache.read(infos[3])
    assert names(tmp_path) == {file(info) for info in infos[:3]}
    again = BlobCache(tmp_path, 300, origin.fetch, own=own)
    again.read(infos[0])
    again.read(infos[4])
    assert names(tmp_path) == {file(infos[number]) for number in (0, 2, 4)}


def test_what_a_run_does_not_read_any_more_is_replaced_in_the_end(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = BlobCache(tmp_path, 300, origin.fetch, own=origin.own())
    infos = origin.infos()
    for info in infos[:3]:
        cache.read(info)
    monkeypatch.setattr(secrets, "randbelow", always)
    for info in infos[3:]:
        cache.read(info)
    assert names(tmp_path) == {file(info) for info in infos[2:]}


def test_a_worker_gets_a_cache_of_the_same_folder(tmp_path: Path, origin: Origin) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch, own=origin.own(), tell=Once(print))
    sent = pickle.loads(pickle.dumps(cache))
    sent.read(origin.infos()[0])
    cache.read(origin.infos()[0])
    assert origin.fetched == []


def test_threads_may_share_a_folder(tmp_path: Path, origin: Origin) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        cache = BlobCache(tmp_path, 250, origin.fetch)
        try:
            for info in origin.infos() * 20:
                assert cache.read(info) == origin.blobs[info.sha256]
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_limit_holds_at_every_moment_for_any_number_of_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = Origin(*(bytes([number]) * 100 for number in range(40)))
    place, held = cache_module._place, list[int]()

    def slowly(folder: Any, path: Path, data: bytes) -> None:
        threading.Event().wait(0.003)  # room was made: others must not take it meanwhile
        place(folder, path, data)
        held.append(sum(one.stat().st_size for one in tmp_path.iterdir()))

    def work(seed: int) -> None:
        cache = BlobCache(tmp_path, 1000, origin.fetch)
        for info in random.Random(seed).sample(origin.infos(), 40):
            assert cache.read(info) == origin.blobs[info.sha256]

    monkeypatch.setattr(cache_module, "_place", slowly)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(held) >= 40
    assert max(held) == 1000
