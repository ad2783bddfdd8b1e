"""Whatever is wrong with the folder of a cache costs the cache, never the data."""

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from shards.dataset import Dataset
from shards.errors import StoreFullError
from tests.trainer.stream.origin import Origin, always, file, names, never
from trainer.config import TrainSettings
from trainer.errors import TrainingError
from trainer.stream import cache as cache_module
from trainer.stream.cache import BlobCache, Once
from trainer.training.data import _make_cache, open_sources


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"\1" * 99])
def test_a_damaged_copy_is_fetched_again(tmp_path: Path, origin: Origin, damage: bytes) -> None:
    cache = BlobCache(tmp_path, 1000, origin.fetch)
    info = origin.infos()[1]
    cache.read(info)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert cache.read(info) == origin.blobs[info.sha256]
    assert path.read_bytes() == origin.blobs[info.sha256]


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


def test_where_there_is_no_proc_files_get_a_name_from_the_start(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_proc(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "no /proc")

    monkeypatch.setattr(os, "link", no_proc)
    told: list[str] = []
    cache = BlobCache(tmp_path, 1000, origin.fetch, tell=told.append)
    info = origin.infos()[0]
    for _ in range(2):
        assert cache.read(info) == origin.blobs[info.sha256]
    assert (names(tmp_path), len(origin.fetched), told) == ({file(info)}, 1, [])


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

    def fail(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with (tmp_path / file(info)).open("rb") as before:  # while it is open, no other has its number
        with monkeypatch.context() as patch:
            opening(patch, fail)
            assert cache.read(info) == origin.blobs[info.sha256]
        assert (tmp_path / file(info)).stat().st_ino != os.fstat(before.fileno()).st_ino
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


def test_a_folder_of_data_sets_is_refused_as_a_cache(pairs: Dataset) -> None:
    folder = Path(pairs.ref.root)
    settings = TrainSettings(data=pairs.ref.url, cache_dir=folder)
    assert open_sources(settings)[0].cache is None, "a local data set needs none"
    http = replace(pairs.ref, root="http://127.0.0.1:9")
    with pytest.raises(TrainingError, match="is a folder of data sets"):
        _make_cache(settings, replace(pairs, ref=http), [], Once(print))
