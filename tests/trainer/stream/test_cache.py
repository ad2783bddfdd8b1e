"""The cache is bounded, verified, self-healing, and never in the way."""

import contextlib
import errno
import fcntl
import hashlib
import os
import pickle
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from shards.dataset import Dataset
from shards.errors import StoreFullError
from shards.manifest import BlobInfo
from trainer.config import TrainSettings
from trainer.errors import TrainingError
from trainer.stream import cache as cache_module
from trainer.stream.cache import BlobCache, Once
from trainer.training.data import _make_cache, open_sources


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


def test_no_room_where_files_need_a_name_costs_the_cache_not_the_data(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StoreFullError(f"{path} {len(data)}")

    monkeypatch.setattr(cache_module, "_UNNAMED", 0)
    monkeypatch.setattr(cache_module, "write_atomically", full)
    told: list[str] = []
    cache = BlobCache(tmp_path, 1000, origin.fetch, tell=told.append)
    assert cache.read(origin.infos()[0]) == b"\0" * 100
    assert len(told) == 1


def test_a_file_system_without_unnamed_files_is_cached_on_as_well(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_UNNAMED", 0)
    cache = BlobCache(tmp_path, 300, origin.fetch)
    for info in origin.infos() + origin.infos()[2:]:
        assert cache.read(info) == origin.blobs[info.sha256]
    assert names(tmp_path) == {file(info) for info in origin.infos()[2:]}
    assert len(origin.fetched) == 5


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE]
)
@pytest.mark.parametrize("call", ["open", "link", "utime", "fstatvfs", "listdir", "mkdir"])
def test_whatever_is_wrong_with_the_folder_is_told_once_and_reading_goes_on(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(secrets, "randbelow", always)
    told: list[str] = []
    folder = tmp_path / "cache"
    cache = BlobCache(folder, 1000, origin.fetch, own=origin.own(), tell=Once(told.append))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        for info in origin.infos() * 2:
            assert cache.read(info) == origin.blobs[info.sha256]
    (line,) = told
    assert str(folder) in line
    assert os.strerror(number) in line
    assert "--cache-dir" in line
    assert "\n" not in line
    assert not list(tmp_path.rglob("*.*"))
    for info in origin.infos() * 2:  # mended
        assert cache.read(info) == origin.blobs[info.sha256]
    assert names(folder) == set(origin.own())


@pytest.mark.parametrize("place", ["file", "file/deeper", "loop"])
def test_a_folder_that_is_none_costs_the_cache_not_the_data(
    tmp_path: Path, origin: Origin, place: str
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "loop").symlink_to("loop")
    told: list[str] = []
    cache = BlobCache(tmp_path / place, 1000, origin.fetch, tell=Once(told.append))
    for info in origin.infos():
        assert cache.read(info) == origin.blobs[info.sha256]
    assert len(told) == 1
    assert (tmp_path / "file").read_bytes() == b"mine"


def opening(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]) -> None:
    """Something happens to every cached file between its opening and its reading."""
    whole = Path.open

    def wrapped(path: Path, *args: Any, **kwargs: Any) -> IO[Any]:
        with contextlib.ExitStack() as stack:
            opened: IO[Any] = stack.enter_context(whole(path, *args, **kwargs))
            act(path)
            stack.pop_all()
        return opened

    monkeypatch.setattr(Path, "open", wrapped)


def test_a_file_that_is_evicted_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch)
    info = origin.infos()[0]
    cache.read(info)
    opening(monkeypatch, Path.unlink)
    assert cache.read(info) == origin.blobs[info.sha256]
    assert len(origin.fetched) == 1
    assert not names(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_file_that_cannot_be_read_is_fetched_and_replaced(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch)
    info = origin.infos()[0]
    cache.read(info)
    before = (tmp_path / file(info)).stat()

    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        opening(patch, fail)
        assert cache.read(info) == origin.blobs[info.sha256]
    assert (tmp_path / file(info)).stat().st_ctime_ns > before.st_ctime_ns
    assert cache.read(info) == origin.blobs[info.sha256]
    assert len(origin.fetched) == 2


def test_a_folder_in_the_place_of_a_file_is_left_there_and_told(
    tmp_path: Path, origin: Origin
) -> None:
    info = origin.infos()[0]
    (tmp_path / file(info)).mkdir()
    told: list[str] = []
    cache = BlobCache(tmp_path, 1000, origin.fetch, tell=Once(told.append))
    assert cache.read(info) == cache.read(info) == origin.blobs[info.sha256]
    assert len(told) == 1


def test_a_damaged_file_is_replaced_in_a_cache_that_is_full_of_what_the_run_reads(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", never)
    cache = BlobCache(tmp_path, 300, origin.fetch, own=origin.own())
    infos = origin.infos()
    for info in infos:
        cache.read(info)
    path = tmp_path / file(infos[1])
    path.write_bytes(b"1")
    assert cache.read(infos[1]) == origin.blobs[infos[1].sha256]
    assert path.read_bytes() == origin.blobs[infos[1].sha256]


def test_nothing_is_evicted_for_what_would_not_fit_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", never)
    origin = Origin(b"a" * 100, b"b" * 100, b"c" * 250)
    mine, other, large = origin.infos()
    own = {file(mine): 100, file(large): 250}
    cache = BlobCache(tmp_path, 300, origin.fetch, own=own)
    for info in (mine, other, large):
        cache.read(info)
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


def test_left_overs_of_killed_writers_are_swept_and_strangers_are_not(
    tmp_path: Path, origin: Origin
) -> None:
    (tmp_path / ".tmp-killed").write_bytes(b"x" * 250)
    (tmp_path / "notes.txt").write_bytes(b"x" * 50)
    cache = BlobCache(tmp_path, 250, origin.fetch)
    for info in origin.infos():
        cache.read(info)
    assert names(tmp_path) == {"notes.txt", *(file(info) for info in origin.infos()[3:])}


def test_without_locks_young_temporaries_count_and_old_ones_are_swept(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "as NFS says")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / ".tmp-young").write_bytes(b"x" * 100)
    (tmp_path / ".tmp-old").write_bytes(b"x" * 100)
    os.utime(tmp_path / ".tmp-old", (time.time() - 4000,) * 2)
    cache = BlobCache(tmp_path, 300, origin.fetch)
    for info in origin.infos():
        cache.read(info)
    assert names(tmp_path) == {".tmp-young", *(file(info) for info in origin.infos()[3:])}


def test_a_holder_that_was_stopped_holds_up_nobody(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_LOCK_PATIENCE_S", 0.05)
    told: list[str] = []
    cache = BlobCache(tmp_path, 300, origin.fetch, tell=told.append)
    holder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        assert cache.read(origin.infos()[0]) == b"\0" * 100
        assert not names(tmp_path)
    finally:
        os.close(holder)
    cache.read(origin.infos()[0])
    assert names(tmp_path) == {file(origin.infos()[0])}
    assert told == []


def test_room_is_left_on_the_disk_for_checkpoints(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch, tell=(told := list[str]()).append)
    cache.read(origin.infos()[0])
    values = list(os.statvfs(tmp_path))
    values[:2] = 1, 1  # bytes of a block
    values[2], values[4] = 2000, 199  # blocks, and those that are free: a twentieth must stay so
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(values))
    assert cache.read(origin.infos()[1]) == b"\1" * 100
    assert names(tmp_path) == {file(origin.infos()[1])}, "the cache does not grow"
    empty = BlobCache(tmp_path / "empty", 1000, origin.fetch, tell=told.append)
    assert empty.read(origin.infos()[1]) == b"\1" * 100
    assert not names(tmp_path / "empty")
    assert ["checkpoints" in line for line in told] == [True]


def test_a_worker_gets_a_cache_of_the_same_folder(tmp_path: Path, origin: Origin) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch, own=origin.own(), tell=Once(print))
    sent = pickle.loads(pickle.dumps(cache))
    sent.read(origin.infos()[0])
    cache.read(origin.infos()[0])
    assert origin.fetched == []


def test_a_folder_of_data_sets_is_refused_as_a_cache(pairs: Dataset) -> None:
    folder = Path(pairs.ref.root)
    settings = TrainSettings(data=pairs.ref.url, cache_dir=folder)
    assert open_sources(settings)[0].cache is None, "a local data set needs none"
    http = replace(pairs.ref, root="http://127.0.0.1:9")
    with pytest.raises(TrainingError, match="is a folder of data sets"):
        _make_cache(settings, replace(pairs, ref=http), [], Once(print))


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
