"""A collection: what it keeps and why, what goes in which phase, and what it refuses to touch."""

import hashlib
import json
import threading
from pathlib import Path

import pytest

from dataservice.collect.errors import CollectError
from dataservice.prepare.work.folder import work_folder
from shards.dataset import open_dataset
from shards.errors import GoneError, NotFoundError
from shards.verify import verify_dataset
from tests.dataservice.collect.conftest import GRACE_S, Box


def reasons(box: Box, **options: int) -> dict[str, list[str]]:
    report = box.collect(dry_run=True, **options)
    return {version.version: version.reasons for version in report.kept}


def test_the_newest_versions_stay_and_the_others_go(box: Box) -> None:
    versions = [box.publish(10 * seed) for seed in range(4)]
    box.now += GRACE_S
    report = box.collect(keep=2)
    assert [version.version for version in report.retired] == versions[1::-1]
    assert box.store.versions("demo") == versions[2:]
    for version in versions[2:]:
        assert (
            verify_dataset(open_dataset(f"{box.store.folder}/demo/versions/{version}")).problems
            == []
        )


def test_each_data_set_keeps_its_own_newest(box: Box) -> None:
    first = [box.publish(seed, "first") for seed in (0, 10)]
    other = box.publish(20, "other")
    box.now += GRACE_S
    box.collect(keep=1)
    assert box.store.versions("first") == first[1:]
    assert box.store.versions("other") == [other]


def test_every_version_that_stays_says_why(box: Box) -> None:
    old, held, latest, young = (box.publish(10 * seed) for seed in range(4))
    pointer = box.store.folder / "demo" / "latest.json"
    pointer.write_text(json.dumps({"version": latest}))
    box.now += GRACE_S - 2
    box.leases.acquire("demo", held, "a trainer", 60)
    told = reasons(box, keep=1)
    assert told[young] == ["among the newest 1", "younger than 100 s"]
    assert told[latest] == ["latest"]
    assert [reason[:17] for reason in told[held]] == ["held by a trainer"]
    assert old not in told


def test_a_version_younger_than_the_grace_period_stays(box: Box) -> None:
    versions = [box.publish(10 * seed) for seed in range(3)]
    assert box.collect(keep=1).retired == []
    box.now += GRACE_S
    box.collect(keep=1)
    assert box.store.versions("demo") == versions[2:]


def test_blobs_go_a_grace_period_after_their_version_and_shared_ones_stay(box: Box) -> None:
    old, new = box.publish(0), box.publish(1)  # shard 1 is in both, as is the tokenizer
    only_old = box.named(old) - box.named(new)
    size = sum((box.store.folder / "blobs" / blob).stat().st_size for blob in only_old)
    box.now += GRACE_S
    first = box.collect()
    assert (first.removed_blobs, first.waiting_blobs, first.waiting_bytes) == (0, 1, size)
    assert box.blobs() == box.named(new) | only_old
    box.now += GRACE_S
    second = box.collect()
    assert (second.removed_blobs, second.bytes_freed, second.waiting_blobs) == (1, size, 0)
    assert box.blobs() == box.named(new)
    assert second.kept_blobs == len(box.named(new))


def test_without_a_grace_period_all_goes_at_once(box: Box) -> None:
    box.publish(0)
    new = box.publish(10)
    report = box.collect(grace_s=0)
    assert (len(report.retired), report.removed_blobs) == (1, 2)
    assert box.blobs() == box.named(new)


def test_a_dry_run_says_the_same_and_changes_nothing(box: Box) -> None:
    for seed in range(3):
        box.publish(10 * seed)
    (box.store.folder / "blobs" / ".tmp-left").write_bytes(b"half")
    box.date()
    box.now += 1
    before = sorted(path for path in box.folder.rglob("*"))
    planned = box.collect(grace_s=0, dry_run=True)
    assert sorted(path for path in box.folder.rglob("*")) == before
    done = box.collect(grace_s=0)
    assert planned == done.model_copy(update={"dry_run": True})
    assert (done.temporary_files, done.removed_blobs) == (1, 4)
    later = [box.collect(dry_run=True, grace_s=0), box.collect(grace_s=0)]
    assert [(r.retired, r.removed_blobs, r.bytes_freed) for r in later] == [([], 0, 0)] * 2


def test_of_a_collected_version_only_its_tombstone_is_left(box: Box) -> None:
    version = box.store.commit("demo", box.put_blobs(0), {"report.html": b"<p>"})
    box.publish(10)
    folder = box.store.folder / "demo" / "versions" / version
    box.collect(grace_s=0)
    assert sorted(path.name for path in folder.iterdir()) == ["retired.json"]


def test_the_pointer_never_names_a_version_that_is_gone(box: Box) -> None:
    first = box.publish(0)
    for seed in range(1, 4):
        box.publish(10 * seed)
    (box.store.folder / "demo" / "latest.json").write_text(json.dumps({"version": first}))
    box.collect(grace_s=0)
    dataset = open_dataset(f"{box.store.folder}/demo")
    assert dataset.version == first
    assert verify_dataset(dataset).problems == []


def test_a_reader_of_the_folder_is_told_that_its_version_was_collected(box: Box) -> None:
    old, _ = box.publish(0), box.publish(10)
    box.collect(grace_s=0)
    with pytest.raises(GoneError, match=f"{old}.*was collected on 20.*newest 1 versions.*lease"):
        open_dataset(f"{box.store.folder}/demo/versions/{old}")
    stone = box.store.tombstone("demo", old)
    assert stone is not None
    for blob in stone.blobs:
        with pytest.raises(GoneError, match=f"{old}.*was collected on"):
            box.store.read(f"blobs/{blob}")
    with pytest.raises(NotFoundError) as missing:
        open_dataset(f"{box.store.folder}/demo/versions/{'0' * 64}")
    assert not isinstance(missing.value, GoneError)


def test_a_tombstone_names_the_blobs_that_went_with_the_version(box: Box) -> None:
    old, new = box.publish(0), box.publish(1)
    only_old = box.named(old) - box.named(new)
    box.collect(grace_s=0)
    stone = box.store.tombstone("demo", old)
    assert stone is not None
    assert set(stone.blobs) == only_old
    assert stone.retired.timestamp() == box.now
    folder = box.store.folder / "demo" / "versions" / old
    assert [path.name for path in folder.iterdir()] == ["retired.json"]


def test_a_version_that_is_built_again_comes_back_to_life(box: Box) -> None:
    old, new = box.publish(0), box.publish(10)
    box.collect(grace_s=0)
    assert box.publish(0) == old
    assert set(box.store.versions("demo")) == {old, new}
    assert box.store.tombstone("demo", old) is None
    assert box.store.tombstones("demo") == []
    assert open_dataset(f"{box.store.folder}/demo").version == old
    assert verify_dataset(open_dataset(f"{box.store.folder}/demo")).problems == []
    box.collect(grace_s=0)
    assert box.store.versions("demo") == [old]


def test_an_expired_lease_holds_nothing_and_is_cleared_away(box: Box) -> None:
    old, new = box.publish(0), box.publish(10)
    box.leases.acquire("demo", old, "a trainer", 60)
    box.now += 59
    assert box.collect(grace_s=0).retired == []
    box.now += 1
    report = box.collect(grace_s=0)
    assert [version.version for version in report.retired] == [old]
    assert report.expired_leases == 1
    assert not list(box.leases.folder.iterdir())
    assert box.store.versions("demo") == [new]


def test_what_a_running_build_has_stored_stays_however_old_it_is(box: Box) -> None:
    box.publish(0)
    (box.folder / "work").mkdir()
    with work_folder(box.folder / "work"):
        manifest = box.put_blobs(50)  # dated a day ahead of the build's begin
        box.now += 10 * GRACE_S
        assert box.collect(grace_s=0).waiting_blobs == 2
        version = box.store.commit("demo", manifest)
    assert (
        verify_dataset(open_dataset(f"{box.store.folder}/demo/versions/{version}")).problems == []
    )


def test_what_a_build_stored_that_published_nothing_goes_later(box: Box) -> None:
    box.publish(0)
    (box.folder / "work").mkdir()
    with work_folder(box.folder / "work"):
        box.put_blobs(50)
    box.now += GRACE_S + 1
    assert box.collect().removed_blobs == 2


def test_a_blob_that_a_build_uses_again_counts_as_new(box: Box) -> None:
    old, _ = box.publish(0), box.publish(10)
    box.now += GRACE_S
    box.collect()
    box.now += GRACE_S
    manifest = box.put_blobs(0)
    assert box.collect().removed_blobs == 0
    assert box.store.commit("demo", manifest) == old


def test_a_commit_waits_for_a_collection_and_fails_when_its_blobs_are_gone(box: Box) -> None:
    box.publish(10)
    manifest = box.put_blobs(0)
    box.now += 1
    failed: list[Exception] = []

    def commit() -> None:
        try:
            box.store.commit("demo", manifest)
        except NotFoundError as error:
            failed.append(error)

    thread = threading.Thread(target=commit)
    with box.store.lock():
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        for blob in manifest.blobs():
            (box.store.folder / blob.path).unlink()
    thread.join()
    assert "the version is not published" in str(failed[0])


@pytest.mark.parametrize("what", ["manifest", "pointer", "lease"])
def test_what_cannot_be_read_stops_a_collection_and_is_named(box: Box, what: str) -> None:
    old, _ = box.publish(0), box.publish(10)
    lease = box.leases.acquire("demo", old, "x", 1)
    path = {
        "manifest": box.store.folder / f"demo/versions/{old}/manifest.json",
        "pointer": box.store.folder / "demo/latest.json",
        "lease": box.leases.folder / f"{lease.id}.json",
    }[what]
    path.write_bytes(b"{")
    before = box.blobs()
    with pytest.raises(CollectError, match=f"{path.name}.*nothing is removed"):
        box.collect(grace_s=0)
    assert box.blobs() == before
    assert box.store.tombstones("demo") == []


def test_a_data_set_without_a_pointer_keeps_all_its_versions(box: Box) -> None:
    versions = [box.publish(10 * seed) for seed in range(3)]
    (box.store.folder / "demo" / "latest.json").unlink()
    report = box.collect(grace_s=0)
    assert (report.retired, box.store.versions("demo")) == ([], versions)


def rewrite(box: Box, version: str, **changes: object) -> str:
    """The same version with another manifest, as another release writes it."""
    folder = box.store.folder / "demo" / "versions" / version
    data = json.dumps(json.loads((folder / "manifest.json").read_bytes()) | changes).encode()
    (folder / "manifest.json").write_bytes(data)
    return folder.rename(folder.with_name(hashlib.sha256(data).hexdigest())).name


def test_versions_of_an_older_format_are_kept_and_collected_like_any_other(box: Box) -> None:
    old, kept, _ = (box.publish(10 * seed) for seed in range(3))
    blobs = box.named(kept)
    old, kept = (rewrite(box, version, format_version=1, then="known") for version in (old, kept))
    box.leases.acquire("demo", kept, "a reader of that release", 60)
    report = box.collect(grace_s=0)
    assert [version.version for version in report.retired] == [old]
    assert blobs <= box.blobs()


def test_a_version_of_a_newer_format_stops_a_collection(box: Box) -> None:
    old, _ = box.publish(0), box.publish(10)
    rewrite(box, old, format_version=99)
    with pytest.raises(CollectError, match=r"format version 99.*nothing is removed"):
        box.collect(grace_s=0)


def test_files_of_others_are_not_touched(box: Box) -> None:
    box.publish(0)
    for path in (
        "blobs/notes.txt",
        "blobs/folder/x",
        "demo/README",
        "demo/versions/x/manifest.json",
    ):
        (box.store.folder / path).parent.mkdir(exist_ok=True)
        (box.store.folder / path).write_text("mine")
    box.date()
    box.now += 1
    box.collect(grace_s=0)
    assert (box.store.folder / "blobs/notes.txt").read_text() == "mine"
    assert (box.store.folder / "blobs/folder/x").read_text() == "mine"
    assert (box.store.folder / "demo/versions/x/manifest.json").read_text() == "mine"


def test_left_over_temporary_files_go_when_they_are_old_enough(box: Box) -> None:
    version = box.publish(0)
    places = (".", "blobs", "demo", f"demo/versions/{version}", "../jobs", "../leases")
    for place in places:
        (box.store.folder / place).mkdir(exist_ok=True)
        (box.store.folder / place / ".tmp-abc").write_bytes(b"12345")
    for path in box.folder.rglob(".tmp-*"):
        path.touch()
    report = box.collect(grace_s=48 * 3600)
    assert report.temporary_files == 0
    report = box.collect()
    assert (report.temporary_files, report.bytes_freed) == (len(places), 5 * len(places))
    assert not list(box.folder.rglob(".tmp-*"))


def test_an_empty_folder_has_nothing_to_collect(tmp_path: Path) -> None:
    report = Box(tmp_path / "nothing").collect()
    assert (report.kept, report.retired) == ([], [])
    assert not (tmp_path / "nothing").exists()
