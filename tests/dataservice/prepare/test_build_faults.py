"""Builds that are killed, crowded or out of disk → no half version, and the one before intact."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataservice.errors import BuildError
from dataservice.prepare import ahead
from dataservice.prepare import build as build_module
from dataservice.prepare.build import build
from dataservice.prepare.chunks import CleanResult, CleanUnit, clean_chunk
from dataservice.prepare.reading import Ingested, ingest_source, text_key
from dataservice.prepare.sources import Chunk
from dataservice.prepare.work.folder import work_folder
from dataservice.settings import BuildSettings
from dataservice.verify import verify
from shards.dataset import open_dataset
from shards.errors import StoreFullError
from shards.store import LocalStore
from tests.corpus import make_pairs
from tests.dataservice.prepare.builds import small, tagged_rows, write_rows


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
    deadline = time.monotonic() + 20
    while session_members(session):
        assert time.monotonic() < deadline, "worker processes outlive their build"
        time.sleep(0.05)


def start_build(folder: Path, source: Path) -> subprocess.Popen[str]:
    """The command line's build in a session of its own, with many partitions to be caught in."""
    command = [sys.executable, "-m", "dataservice", "build", "--progress", "json"]
    command += ["--source", str(source), "--data-dir", str(folder / "data"), "--name", "small"]
    command += ["--vocab-size", "600", "--partition-bytes", "65536", "--processes", "2"]
    command += ["--near-duplicates", "off"]  # as `small` has it: it is the same build
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["clean and filter", "train the", "encode and write"])
def test_a_killed_build_leaves_no_version_and_the_next_one_succeeds(
    tmp_path: Path, stage: str
) -> None:
    source = write_rows(tmp_path / "corpus.jsonl", make_pairs(4000))
    program = start_build(tmp_path, source)
    assert program.stderr is not None
    with program, program.stderr as lines:
        for line in lines:
            if f'"stage": "{stage}' in line:
                break
        os.kill(program.pid, signal.SIGKILL)
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
    program = start_build(tmp_path, source)
    assert program.stderr is not None
    for line in program.stderr:
        if '"stage": "clean and filter' in line:
            break
    os.killpg(program.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    with program:
        told = [line for line in program.stderr.read().splitlines() if not line.startswith("{")]
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
    monkeypatch.setattr(build_module, "check_space", lambda *_: None)  # it would be told before
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


class CutReading:
    """Lets builds of a file of many chunks be interrupted when two are cleaned and three read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cleaned: list[int] = []
        self._two_cleaned = threading.Event()
        monkeypatch.setattr("dataservice.prepare.sources.lines.CHUNK_BYTES", 5000)
        monkeypatch.setattr("dataservice.prepare.sources.po.CHUNK_BYTES", 5000)
        monkeypatch.setattr("dataservice.prepare.sources.po._HEADER_BYTES", 2000)
        monkeypatch.setattr(build_module, "clean_chunk", self._clean)

    def _clean(self, unit: CleanUnit) -> CleanResult:
        self.cleaned.append(unit.number)
        return clean_chunk(unit)

    def _ingest(
        self,
        settings: BuildSettings,
        number: int,
        before: Ingested,
        folder: Path,
        note: Callable[[Chunk], None],
    ) -> Ingested:
        chunks: list[Chunk] = []

        def noted(chunk: Chunk) -> None:
            note(chunk)
            chunks.append(chunk)
            if len(chunks) == 3:
                self._two_cleaned.wait(60)
                raise KeyboardInterrupt

        return ingest_source(settings, number, before, folder, noted)

    def _report(self, stage: str, done: int, total: int | None) -> None:
        if (stage, done) == ("clean and filter", 2):
            assert total is None
            self._two_cleaned.set()

    def interrupt(self, settings: BuildSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(ahead, "ingest_source", self._ingest)
            with pytest.raises(KeyboardInterrupt):
                build(settings, self._report)
        assert self.cleaned == [0, 1]
        self.cleaned.clear()


def stop_at_split(stage: str, done: int, total: int | None) -> None:
    """A report in which Ctrl-C comes when the first partition is split."""
    del done, total
    if stage == "deduplicate and split":
        raise KeyboardInterrupt


def rows_of(folder: Path) -> list[Path]:
    """Files of rows that unfinished builds have left."""
    return sorted((folder / "data" / "work").glob("build-*/clean/*"))


@pytest.mark.parametrize("damaged", [(), (0,), (1,), (0, 1)])
def test_what_was_cleaned_before_a_file_was_read_to_its_end_is_not_cleaned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: tuple[int, ...]
) -> None:
    reading = CutReading(monkeypatch)
    source = write_rows(tmp_path / "corpus.jsonl", tagged_rows(400))
    whole = build(small(tmp_path / "whole", sources=[str(source)]))
    every = list(reading.cleaned)
    reading.cleaned.clear()
    settings = small(tmp_path, sources=[str(source)])
    reading.interrupt(settings, monkeypatch)
    rows = rows_of(tmp_path)
    for number in damaged:
        rows[number].unlink()
    assert build(settings).version == whole.version
    assert reading.cleaned == [*damaged, *every[2:]]


def catalogue_by(path: Path, author: str) -> Path:
    """A catalogue whose author stands in its first chunk alone."""
    header = f'"Last-Translator: {author}\\n"\n"Language: ru\\n"\n'
    entries = (f'msgid "sentence {n} here"\nmsgstr "предложение {n} тут"\n' for n in range(400))
    path.write_text("\n".join([f'msgid ""\nmsgstr ""\n{header}', *entries]), encoding="utf-8")
    return path


def texts_of_two(folder: Path, kind: str) -> tuple[Path, Path]:
    if kind == "po":
        one, other = (catalogue_by(folder / f"{name}.po", name) for name in ("Anna K", "Olga M"))
        return one, other
    one, other = (write_rows(folder / f"{seed}.jsonl", tagged_rows(400, seed)) for seed in (0, 1))
    return one, other


def point(link: Path, target: Path) -> Path:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return link


@pytest.mark.parametrize("kind", ["jsonl", "po"])
@pytest.mark.parametrize("stage", ["clean and filter", "deduplicate and split"])
def test_a_source_that_is_another_one_when_it_is_read_again_is_not_mixed_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stage: str
) -> None:
    reading = CutReading(monkeypatch)
    first, second = texts_of_two(tmp_path, kind)
    source = point(tmp_path / f"current.{kind}", first)
    whole = build(small(tmp_path / "whole", sources=[str(source)], vocab_size=500))
    reading.cleaned.clear()
    settings = small(tmp_path, sources=[str(source)], vocab_size=500)
    # the link leads elsewhere after the build has looked at it, and back again for the next one
    key = text_key(settings)
    point(source, second)
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "text_key", lambda _: key)
        if stage == "clean and filter":
            reading.interrupt(settings, monkeypatch)
        else:
            with pytest.raises(KeyboardInterrupt):
                build(settings, stop_at_split)
            rows_of(tmp_path)[0].unlink()
    point(source, first)
    assert build(settings).version == whole.version


def test_rows_that_were_damaged_after_the_split_began_bring_back_the_text_they_are_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = CutReading(monkeypatch)
    source = write_rows(tmp_path / "corpus.jsonl", tagged_rows(400))
    whole = build(small(tmp_path / "whole", sources=[str(source)]))
    reading.cleaned.clear()
    settings = small(tmp_path, sources=[str(source)])
    reading.interrupt(settings, monkeypatch)

    with pytest.raises(KeyboardInterrupt):
        build(settings, stop_at_split)
    rows_of(tmp_path)[0].unlink()
    reading.cleaned.clear()
    assert build(settings).version == whole.version
    assert reading.cleaned == [0]


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
