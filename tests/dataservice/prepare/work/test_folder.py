"""Builds that end, are killed, meet or run short of disk → whose folder stays, and for how long."""

import fcntl
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dataservice.errors import SourceError, UnfinishedError
from dataservice.prepare.journal import Journal
from dataservice.prepare.work.folder import (
    JOURNAL_FILE,
    build_key,
    check_space,
    earliest_build,
    file_identity,
    work_folder,
)
from dataservice.prepare.work.versions import code_digest, versions
from shards.errors import StoreFullError


def folders(work: Path) -> list[str]:
    return sorted(path.name for path in work.glob("build-*"))


def abandon(work: Path, key: str, age_s: float = 0.0) -> Path:
    """What a build leaves that was killed so many seconds ago."""
    folder = work / f"build-{key}"
    folder.mkdir()
    (folder / "lock").write_bytes(b"1")
    with Journal(folder):
        (folder / "spill").write_bytes(bytes(1000))
    then = time.time() - age_s
    os.utime(folder / JOURNAL_FILE, (then, then))
    return folder


def test_a_build_that_succeeds_or_fails_for_good_leaves_nothing(tmp_path: Path) -> None:
    with work_folder(tmp_path, "a"), Journal(tmp_path / "build-a"):
        pass
    with pytest.raises(SourceError), work_folder(tmp_path, "b"):
        raise SourceError("broken")
    assert folders(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, UnfinishedError])
def test_a_build_that_was_interrupted_finds_its_folder_again(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), work_folder(tmp_path, "a", keep_s=100) as folder, Journal(folder):
        (folder / "file").write_bytes(b"1")
        raise error
    with work_folder(tmp_path, "other", keep_s=100):
        assert folders(tmp_path) == ["build-a", "build-other"]
    with work_folder(tmp_path, "a", keep_s=100) as folder:
        assert (folder / "file").read_bytes() == b"1"
    assert folders(tmp_path) == []


def test_without_a_key_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), work_folder(tmp_path) as folder, Journal(folder):
        raise KeyboardInterrupt
    assert folders(tmp_path) == []


def test_abandoned_work_is_kept_for_a_while_and_then_swept(tmp_path: Path) -> None:
    for age in (50, 150):
        abandon(tmp_path, f"of-{age}", age)
    (tmp_path / "build-gone-1").mkdir()  # killed while it was removed
    with work_folder(tmp_path, "new", keep_s=100):
        assert folders(tmp_path) == ["build-new", "build-of-50"]


def test_work_older_than_that_is_still_resumed_by_its_own_build(tmp_path: Path) -> None:
    folder = abandon(tmp_path, "mine", 1000)
    with work_folder(tmp_path, "mine", keep_s=100) as mine:
        assert mine == folder
        assert (mine / "spill").exists()


def test_the_same_build_waits_and_begins_anew_when_the_first_has_ended(tmp_path: Path) -> None:
    waiting, inside = threading.Event(), threading.Event()

    def second() -> None:
        with work_folder(tmp_path, "a", report=lambda *_: waiting.set()) as folder:
            assert not (folder / "file").exists()
            inside.set()

    thread = threading.Thread(target=second)
    with work_folder(tmp_path, "a") as folder:
        (folder / "file").write_bytes(b"1")
        thread.start()
        assert waiting.wait(20)
        with work_folder(tmp_path, "b"):  # others do not wait for either
            assert not inside.is_set()
    thread.join(20)
    assert inside.is_set()
    assert folders(tmp_path) == []


def test_many_same_builds_take_turns(tmp_path: Path) -> None:
    at_once, most = [0], [0]

    def one() -> None:
        for _ in range(5):
            with work_folder(tmp_path, "a") as folder:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
                (folder / "file").touch(exist_ok=False)
                at_once[0] -= 1

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1]
    assert folders(tmp_path) == []


def test_the_earliest_build_is_the_oldest_at_work(tmp_path: Path) -> None:
    assert earliest_build(tmp_path) is None
    before = int(time.time())
    abandon(tmp_path, "killed")
    with work_folder(tmp_path, "a", keep_s=100) as folder, work_folder(tmp_path):
        begin = earliest_build(tmp_path)
        assert begin is not None
        assert before - 2 <= begin <= time.time()
        (folder / "lock").write_bytes(b"12345")
        assert earliest_build(tmp_path) == 12345
    assert earliest_build(tmp_path) is None


def test_a_resumed_build_begins_anew(tmp_path: Path) -> None:
    abandon(tmp_path, "a")
    with work_folder(tmp_path, "a", keep_s=100):
        begin = earliest_build(tmp_path)
        assert begin is not None
        assert begin > time.time() - 60


def test_a_key_changes_with_what_decides_the_build(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"one")
    first = build_key({"file": file_identity(path)})
    assert build_key({"file": file_identity(path)}) == first
    path.write_bytes(b"other")
    assert build_key({"file": file_identity(path)}) != first
    missing = build_key({"file": file_identity(tmp_path / "missing")})
    assert missing not in (first, build_key({}))


def test_a_key_changes_with_the_code(tmp_path: Path) -> None:
    file = tmp_path / "dataservice" / "prepare" / "x.py"
    file.parent.mkdir(parents=True)
    digests = set()
    for text in ("one", "two"):
        file.write_text(text)
        digests.add(code_digest(tmp_path))
    file.rename(file.with_name("y.py"))
    digests.add(code_digest(tmp_path))
    assert len(digests) == 3
    assert versions()["code"] not in digests
    assert {"python", "numpy", "sentencepiece", "prometheusgpt-mini"} <= set(versions())


def test_the_disk_that_a_build_takes_is_told_before_it(tmp_path: Path) -> None:
    told = []
    with work_folder(tmp_path, "a") as folder:
        (folder / "have").write_bytes(bytes(3_000_000))
        check_space(folder, 10_000_000, "the build", lambda *args: told.append(args))
        free = shutil.disk_usage(folder).free
    ((stage, needed, total),) = told
    assert (stage, needed) == ("disk, MB at most of those free", 7)
    assert total == pytest.approx(free / 1e6, rel=0.1)


def test_a_disk_that_is_too_small_is_an_error_and_abandoned_work_goes_first(
    tmp_path: Path,
) -> None:
    with work_folder(tmp_path, "a", keep_s=100) as folder:
        abandon(tmp_path, "killed")
        with pytest.raises(
            StoreFullError, match=r"the build needs about 1000000\.0 GB.* are free.*--data-dir"
        ):
            check_space(folder, 10**15, "the build")
        assert folders(tmp_path) == ["build-a"]
        with (folder / "lock").open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # and ours is still ours


def test_finished_work_is_kept_up_to_so_many_bytes_the_latest_first(tmp_path: Path) -> None:
    def work(key: str, **values: Any) -> None:
        with work_folder(tmp_path, key, keep_s=100, **values) as folder, Journal(folder):
            (folder / "file").write_bytes(bytes(1000))

    def kept() -> list[str]:
        return sorted(path.name for path in tmp_path.glob("build-*"))

    work("a", keep_bytes=2500)
    work("b", keep_bytes=2500)
    assert kept() == ["build-a", "build-b"]
    work("not-kept", keep_bytes=2500, keep_this=False)
    assert kept() == ["build-a", "build-b"], "it costs nobody else's"
    work("c", keep_bytes=2500)
    assert kept() == ["build-b", "build-c"]
    work("d", keep_bytes=0)
    assert kept() == []
