"""The cache is bounded, verified, self-healing, and never in the way."""

import hashlib
import threading
from pathlib import Path

import pytest

from shards.errors import StoreFullError
from shards.manifest import BlobInfo
from trainer.stream import cache as cache_module
from trainer.stream.cache import BlobCache


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


@pytest.fixture
def origin() -> Origin:
    return Origin(*(bytes([number]) * 100 for number in range(5)))


def test_a_blob_is_fetched_once(tmp_path: Path, origin: Origin) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch)
    info = origin.infos()[0]
    assert cache.read(info) == cache.read(info) == origin.blobs[info.sha256]
    assert origin.fetched == [info.sha256]


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"\1" * 99])
def test_a_damaged_copy_is_fetched_again(tmp_path: Path, origin: Origin, damage: bytes) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch)
    info = origin.infos()[1]
    cache.read(info)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert cache.read(info) == origin.blobs[info.sha256]
    assert path.read_bytes() == origin.blobs[info.sha256]


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


def test_a_full_disk_costs_the_cache_not_the_data(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StoreFullError(f"{path} {len(data)}")

    monkeypatch.setattr(cache_module, "write_atomically", full)
    assert BlobCache(tmp_path, 1000, origin.fetch).read(origin.infos()[0]) == b"\0" * 100


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
