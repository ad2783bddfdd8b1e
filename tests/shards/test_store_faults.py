"""A write that fails at any step → the version before, or the new one whole; never a half."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shards.dataset import open_dataset
from shards.errors import StoreFullError
from shards.store import LocalStore, write_atomically
from shards.verify import verify_dataset
from shards.writer import write_shard
from tests.shards.helpers import fill_store, make_block, make_manifest

STEPS = ((os, "fsync"), (os, "replace"), (os, "chmod"), (tempfile, "mkstemp"))


class FaultAt:
    """Lets the first `good` calls of the functions above through, and fails the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, good: int, error: BaseException) -> None:
        self.good = good
        self.calls = 0
        self.error = error
        for module, name in STEPS:
            monkeypatch.setattr(module, name, self._wrap(getattr(module, name)))

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self.good + 1:
                raise self.error
            return function(*args, **kwargs)

        return wrapped


def publish(folder: Path, seed: int) -> str:
    store, manifest = fill_store(folder, seed)
    return store.commit("demo", manifest)


def num_steps(folder: Path) -> int:
    """How many steps a second publication has, counted on one that meets no fault."""
    publish(folder, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        counter = FaultAt(patch, good=10**6, error=AssertionError())
        publish(folder, seed=1)
    return counter.calls


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()],
    ids=["disk fault", "interrupt"],
)
def test_whatever_step_fails_readers_see_one_whole_version(
    tmp_path: Path, error: BaseException
) -> None:
    steps = num_steps(tmp_path / "count")
    # a shard; three blobs and their folder; statistics, manifest and pointer, of five steps each
    assert steps == 3 + 4 + 3 * 5
    seen = set()
    for good in range(steps):
        folder = tmp_path / f"{good}"
        before = publish(folder, seed=0)
        with pytest.MonkeyPatch.context() as patch:
            FaultAt(patch, good, error)
            with pytest.raises(type(error)):
                publish(folder, seed=1)
        dataset = open_dataset(str(folder / "demo"))
        assert verify_dataset(dataset).problems == []
        for version in LocalStore(folder).versions("demo"):
            pinned = open_dataset(f"{folder}/demo/versions/{version}")
            assert verify_dataset(pinned).problems == []
        assert not list(folder.rglob(".tmp-*"))
        seen.add(dataset.version == before)
        # and the same command again finishes the work
        after = publish(folder, seed=1)
        assert open_dataset(str(folder / "demo")).version == after != before
    assert seen == {True, False}


def test_the_manifest_is_written_after_all_it_names_and_latest_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    replace = os.replace

    def recording(source: Path, target: Path) -> None:
        written.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", recording)
    publish(tmp_path, seed=0)
    assert written[-3:] == ["dataset_stats.json", "manifest.json", "latest.json"]
    assert len(written) == 6


def test_bytes_reach_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for module, name in STEPS[:2]:
        function = getattr(module, name)

        def wrapped(*args: Any, name: str = name, function: Any = function) -> Any:
            order.append(name)
            return function(*args)

        monkeypatch.setattr(module, name, wrapped)
    write_atomically(tmp_path / "file", b"bytes")
    assert order == ["fsync", "replace", "fsync"]


def test_blobs_reach_the_disk_before_a_manifest_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def syncing(descriptor: int) -> None:
        fsync(descriptor)
        events.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")

    def naming(source: Path, target: Path) -> None:
        events.append(f"name {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", naming)
    store, manifest = fill_store(tmp_path, 0)
    store.commit("demo", manifest)
    blobs = {f"sync {Path(blob.path).name}" for blob in manifest.blobs()}
    before = events[: events.index("sync blobs")]
    assert blobs == {event for event in before if event.startswith("sync")}
    assert events.index("sync blobs") < events.index("name manifest.json")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("good", range(4))
def test_no_room_at_any_step_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, good: int
) -> None:
    FaultAt(monkeypatch, good, OSError(number, os.strerror(number)))
    with pytest.raises(StoreFullError, match="to write file"):
        write_atomically(tmp_path / "file", b"bytes")
    assert not (tmp_path / "file").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_blob_write_keeps_the_damaged_copy_out_of_a_version(tmp_path: Path) -> None:
    data, info = write_shard([("k", make_block(5))])
    store = LocalStore(tmp_path)
    store.put_blob(data, info.suffix)
    model = store.put_blob(b"model", ".model")
    (tmp_path / info.path).write_bytes(data[:-1])
    with pytest.MonkeyPatch.context() as patch:
        FaultAt(patch, 0, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(OSError, match="Input/output"):
            store.put_blob(data, info.suffix)
    with pytest.raises(Exception, match="bytes on disk"):
        store.commit("demo", make_manifest([info], [make_block(5)], model))
    assert store.names() == []
