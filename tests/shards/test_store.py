"""A folder as a tree of data sets: names, blobs, versions, and what a reader may see of them."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.dataset import open_dataset
from shards.errors import (
    CorruptBlobError,
    NotFoundError,
    ShardError,
    StoreFullError,
    StoreUnavailableError,
)
from shards.manifest import BlobInfo, dump_manifest
from shards.store import LocalStore, check_name, is_version, write_atomically
from shards.verify import verify_dataset
from tests.shards.helpers import fill_store, make_manifest


def files(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["a", "demo", "Ru-En_2.0", "0", "x" * 64, "a..b", "versions"])
def test_a_name_that_survives_a_url_and_a_folder_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/a",
        "a\\b",
        "blobs",
        ".hidden",
        "-option",
        "_x",
        "a b",
        "a\n",
        "a\0",
        "имя",
        "é",
        "a%2f",
        "a?b",
        "a#b",
        "x" * 65,
    ],
)
def test_any_other_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ShardError, match="take up to 64 of A-Z"):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0" * 64, True),
        ("ab12" * 16, True),
        ("AB12" * 16, False),
        ("0" * 63, False),
        ("0" * 65, False),
        ("0" * 64 + "\n", False),
        ("", False),
        ("latest", False),
    ],
)
def test_a_version_is_64_hex_digits(text: str, expected: bool) -> None:
    assert is_version(text) is expected


def test_a_blob_reads_back_and_leaves_one_file(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    info = store.put_blob(b"bytes", ".model")
    assert store.read_blob(info) == b"bytes"
    assert files(tmp_path) == [info.path]
    assert (tmp_path / info.path).stat().st_mode & 0o777 == 0o644


def test_an_intact_blob_is_not_written_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    path = tmp_path / store.put_blob(b"bytes", ".model").path
    before = path.stat()
    store.put_blob(b"bytes", ".model")
    assert path.stat().st_ino == before.st_ino


def test_an_intact_blob_that_is_stored_again_counts_as_written_now(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    path = tmp_path / store.put_blob(b"bytes", ".model").path
    os.utime(path, (1, 1))
    store.put_blob(b"bytes", ".model")
    assert path.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("damaged", [b"", b"byte", b"bytEs", b"bytes and more"])
def test_storing_a_blob_again_repairs_a_damaged_copy(tmp_path: Path, damaged: bytes) -> None:
    store = LocalStore(tmp_path)
    info = store.put_blob(b"bytes", ".model")
    (tmp_path / info.path).write_bytes(damaged)
    with pytest.raises(CorruptBlobError, match=info.path):
        store.read_blob(info)
    assert store.put_blob(b"bytes", ".model") == info
    assert store.read_blob(info) == b"bytes"


@pytest.mark.parametrize("path", ["nothing", "nothing/below", "blobs", "blobs/x/y"])
def test_what_is_not_there_is_named(tmp_path: Path, path: str) -> None:
    store = LocalStore(tmp_path)
    store.put_blob(b"", ".model")
    with pytest.raises(NotFoundError, match=str(tmp_path / path)):
        store.read(path)


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    info = BlobInfo(sha256="1" * 64, bytes=1, suffix=".tar.zst")
    with pytest.raises(NotFoundError, match="1" * 64):
        LocalStore(tmp_path).read_blob(info)


def test_a_committed_version_is_listed_read_and_latest(tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path)
    version = store.commit("demo", manifest)
    assert version == dump_manifest(manifest)[1]
    assert store.names() == ["demo"]
    assert store.versions("demo") == [version]
    assert store.manifest("demo", version) == manifest
    assert json.loads((tmp_path / "demo/latest.json").read_bytes()) == {"version": version}
    folder = tmp_path / "demo" / "versions" / version
    assert files(folder) == ["dataset_stats.json", "manifest.json"]
    assert json.loads((folder / "dataset_stats.json").read_bytes()) == manifest.stats


def test_a_report_lies_beside_the_manifest_and_changes_no_version(tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path)
    version = store.commit("demo", manifest, {"report.html": b"<p>"})
    folder = tmp_path / "demo" / "versions" / version
    assert files(folder) == ["dataset_stats.json", "manifest.json", "report.html"]
    assert (folder / "report.html").read_bytes() == b"<p>"
    assert version == dump_manifest(manifest)[1]


def test_latest_moves_on_and_older_versions_stay_readable(tmp_path: Path) -> None:
    versions = []
    for seed in range(3):
        store, manifest = fill_store(tmp_path, seed)
        versions.append(store.commit("demo", manifest))
    assert open_dataset(str(tmp_path / "demo")).version == versions[-1]
    assert set(store.versions("demo")) == set(versions)
    for version in versions:
        old = open_dataset(f"{tmp_path}/demo/versions/{version}")
        assert verify_dataset(old).problems == []


def test_two_data_sets_share_blobs_of_the_same_bytes(tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path)
    before = files(tmp_path / "blobs")
    assert store.commit("one", manifest) == store.commit("two", manifest)
    assert files(tmp_path / "blobs") == before
    assert store.names() == ["one", "two"]


def test_committing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path)
    version = store.commit("demo", manifest)
    before = files(tmp_path)
    assert store.commit("demo", manifest) == version
    assert files(tmp_path) == before


def test_a_version_without_its_blobs_is_not_published(tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path)
    (tmp_path / manifest.blobs()[1].path).write_bytes(b"short")
    with pytest.raises(CorruptBlobError, match="has 5 bytes on disk"):
        store.commit("demo", manifest)
    (tmp_path / manifest.blobs()[1].path).unlink()
    with pytest.raises(NotFoundError, match=manifest.blobs()[1].sha256):
        store.commit("demo", manifest)
    assert store.names() == []


def test_a_bad_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store, manifest = fill_store(tmp_path)
    before = files(tmp_path)
    with pytest.raises(ShardError, match="cannot be used"):
        store.commit("../outside", manifest)
    assert files(tmp_path) == before


def test_the_same_version_from_many_threads_is_one_version(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    found: list[str] = []

    def work() -> None:
        together.wait()
        store, manifest = fill_store(tmp_path, shards=2)
        found.append(store.commit("demo", manifest))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    dataset = open_dataset(str(tmp_path / "demo"))
    assert verify_dataset(dataset).problems == []
    assert len(files(tmp_path)) == len(dataset.manifest.blobs()) + 4  # three of the version, .lock


def test_writing_replaces_a_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert files(tmp_path) == ["new/folder/file"]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(64 << 10)
    store = LocalStore(folder)
    kept = store.put_blob(b"small", ".model")
    with pytest.raises(StoreFullError, match=r"no space left.*free some space"):
        store.put_blob(bytes(range(256)) * 1024, ".tar.zst")
    assert files(folder) == [kept.path]
    assert store.read_blob(kept) == b"small"


def test_a_disk_that_fills_during_a_commit_keeps_the_version_before(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(96 << 10)
    store, manifest = fill_store(folder)
    before = store.commit("demo", manifest)
    large = make_manifest(
        manifest.splits["train"].shards,
        model=manifest.tokenizer,
        splits=manifest.splits,
        build={"text": "x" * (128 << 10)},
    )
    with pytest.raises(StoreFullError, match=r"manifest\.json"):
        store.commit("demo", large)
    dataset = open_dataset(str(folder / "demo"))
    assert dataset.version == before
    assert store.versions("demo") == [before]
    assert not any(".tmp-" in name for name in files(folder))


def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "latest.json").symlink_to("latest.json")  # ELOOP, which root meets as well
    with pytest.raises(StoreUnavailableError, match=r"latest.json cannot be read .*symbolic links"):
        LocalStore(tmp_path).read("latest.json")
