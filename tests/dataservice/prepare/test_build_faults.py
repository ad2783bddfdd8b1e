"""Builds that are killed, crowded or out of disk → no half version, and the one before intact."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataservice.errors import BuildError
from dataservice.prepare.build import build
from dataservice.prepare.stages import cleaning
from dataservice.prepare.work.folder import work_folder
from dataservice.verify import verify
from shards.dataset import open_dataset
from shards.errors import StoreFullError
from shards.store import LocalStore
from tests.corpus import make_pairs
from tests.dataservice.prepare.builds import small, tagged_rows, write_rows
from tests.dataservice.prepare.kills import build_command, reporting_program


def work_entries(folder: Path) -> list[str]:
    return sorted(entry.name for entry in (folder / "data" / "work").iterdir())


def session_members(session: int) -> list[int]:
    """Live processes of a session: of a program started in its own, all its descendants."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def wait_until_nobody_is_left(session: int) -> None:
    deadline = time.monotonic() + 120
    while session_members(session):
        assert time.monotonic() < deadline, "worker processes outlive their build"
        time.sleep(0.05)


def end_at(stage: str, end: str) -> str:
    """Code that ends the program when it first reports a stage: what waits for the line is late."""
    return f"""
import os, signal, threading
begun = []

def heard(stage):
    if stage.startswith({stage!r}) and not begun:
        begun.append(stage)
        {end}
"""


_KILL = "os.kill(os.getpid(), signal.SIGKILL)"
# as Ctrl-C in a terminal does, while the build goes on
_INTERRUPT = "threading.Thread(target=os.killpg, args=(os.getpid(), signal.SIGINT)).start()"


def run_build(folder: Path, source: Path, at_reports: str) -> tuple[subprocess.Popen[str], str]:
    """The command line's build in a session of its own, to its end; and all that it said."""
    options = ["--progress", "json", "--source", str(source), "--vocab-size", "600"]
    options += ["--partition-bytes", "65536", "--processes", "2"]  # many, to be caught in
    options += ["--near-duplicates", "off"]  # as `small` has it: it is the same build
    program = reporting_program(at_reports)
    with subprocess.Popen(
        build_command(folder / "data", *options, program=program),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as build:
        assert build.stderr is not None
        return build, build.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["clean and filter", "train the", "encode and write"])
def test_a_killed_build_leaves_no_version_and_the_next_one_succeeds(
    tmp_path: Path, stage: str
) -> None:
    source = write_rows(tmp_path / "corpus.jsonl", make_pairs(4000))
    program, _ = run_build(tmp_path, source, end_at(stage, _KILL))
    assert program.returncode == -signal.SIGKILL
    store = LocalStore(tmp_path / "data" / "datasets")
    assert store.names() == []
    assert not list(store.folder.glob("*/versions/*/manifest.json"))
    wait_until_nobody_is_left(program.pid)
    assert len(work_entries(tmp_path)) == 2
    result = build(small(tmp_path, sources=[{"path": source}], partition_bytes=1 << 16))
    assert work_entries(tmp_path) == ["lock"]
    assert verify(open_dataset(f"{store.folder}/small")).problems == []
    assert store.versions("small") == [result.version]


@pytest.mark.slow
def test_an_interrupted_build_leaves_only_what_it_goes_on_from_and_says_so(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "corpus.jsonl", make_pairs(4000))
    program, said = run_build(tmp_path, source, end_at("clean and filter", _INTERRUPT))
    told = [line for line in said.splitlines() if not line.startswith("{")]
    interrupted = (
        "error: interrupted; what was not finished was not published; run the same command again: "
        "a build goes on where it was"
    )
    assert (program.returncode, told) == (130, [interrupted])
    wait_until_nobody_is_left(program.pid)
    assert [name.split("-")[0] for name in work_entries(tmp_path)] == ["build", "lock"]
    assert LocalStore(tmp_path / "data/datasets").names() == []
    build(small(tmp_path, sources=[{"path": source}], partition_bytes=1 << 16))
    assert work_entries(tmp_path) == ["lock"]


def test_a_disk_of_any_size_too_small_keeps_the_version_before(
    small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "check_space", lambda *_: None)  # it would be told before
    folder = small_disk(16 << 20)
    before = build(small(folder, tagged_rows(300))).version
    shutil.rmtree(folder / "data" / "work")
    settings = small(folder, make_pairs(1200), partition_bytes=1 << 16, split_seed=5)
    outcomes = []
    for free in (0, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384, 512, 640, 768, 896, 1024, 4096):
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(folder).free - (free << 10)))
        try:
            after = build(settings).version
            outcomes.append("built")
        except StoreFullError as error:
            assert "no space left" in str(error)
            outcomes.append("full")
            dataset = open_dataset(f"{folder}/data/datasets/small")
            assert dataset.version == before
            assert verify(dataset).problems == []
            assert not list(folder.rglob(".tmp-*"))
            assert not list(folder.rglob("build-*"))
        finally:
            ballast.unlink()
    assert outcomes.count("full") >= 8
    assert outcomes[-1] == "built"
    assert open_dataset(f"{folder}/data/datasets/small").version == after != before


def test_a_build_that_the_disk_has_no_room_for_says_so_before_it_begins(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(4 << 20)
    rows = make_pairs(20_000)
    told: list[str] = []
    with pytest.raises(
        StoreFullError, match=r"needs about \d.*MB.*are free; nothing was published"
    ):
        build(
            small(folder, sources=[{"path": write_rows(folder.parent / "rows.jsonl", rows)}]),
            lambda stage, *_: told.append(stage),
        )
    assert told == ["disk, MB at most of those free"]
    assert work_entries(folder) == ["lock"]


def test_two_builds_at_once_do_not_sweep_each_other(tmp_path: Path) -> None:
    versions: list[str] = []
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for turn in range(3):
                name = f"thread{seed}-{turn}"
                settings = small(tmp_path, sources=[{"path": source}], name=name)
                versions.append(build(settings).version)
        except BaseException as error:  # noqa: BLE001  # shown by the test below
            failed.append(error)

    source = write_rows(tmp_path / "corpus.jsonl", make_pairs(150))
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(versions) == 9
    assert len(set(versions)) == 1
    assert work_entries(tmp_path) == ["lock"]


def test_a_live_work_folder_stays_and_a_stale_one_goes(tmp_path: Path) -> None:
    stale = tmp_path / "build-stale"
    (stale / "deep").mkdir(parents=True)
    (stale / "deep" / "file").write_bytes(b"left by a kill")
    bystander = tmp_path / "other"
    bystander.mkdir()
    with work_folder(tmp_path) as first, work_folder(tmp_path) as second:
        assert not stale.exists()
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
    assert not first.exists()
    assert not second.exists()
    assert bystander.is_dir()


def test_a_stored_blob_that_was_damaged_is_repaired_by_the_next_build(tmp_path: Path) -> None:
    result = build(small(tmp_path, tagged_rows(200)))
    store = tmp_path / "data" / "datasets"
    for number, blob in enumerate(result.manifest.blobs()):
        path = store / blob.path
        path.write_bytes(path.read_bytes()[:-1] + b"?" if number % 2 else b"")
    assert verify(open_dataset(f"{store}/small")).problems
    assert build(small(tmp_path, tagged_rows(200))).version == result.version
    assert verify(open_dataset(f"{store}/small")).problems == []


def test_a_data_folder_that_is_a_file_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises((OSError, BuildError)):
        build(small(tmp_path, tagged_rows(50)))
