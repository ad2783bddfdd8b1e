"""Kills, damage, full disks and many processes over one cache folder → every epoch exact."""

import contextlib
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.dataset import Dataset, open_dataset
from shards.manifest import BlobInfo
from tests.shards.fault_server import FaultServer, Handler
from tests.shards.helpers import fill_store
from tests.trainer.cache_programs import (
    FILL,
    READ,
    assert_whole,
    end,
    exact,
    held_bytes,
    serve,
    start,
    total_bytes,
)
from tests.trainer.test_exact_resume import ARGUMENTS, steps_done, wait_until_gone
from trainer.stream.cache import BlobCache
from trainer.training.checkpoint import newest_checkpoint

pytestmark = pytest.mark.slow

NUM_SHARDS = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A local data set of many small shards."""
    folder = tmp_path_factory.mktemp("many")
    local, manifest = fill_store(folder, shards=NUM_SHARDS)
    local.commit("demo", manifest)
    return open_dataset(f"{folder}/demo")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def url(server: FaultServer, store: Dataset) -> str:
    return f"{serve(server, Path(store.ref.root))}/demo"


@pytest.mark.parametrize("kind", ["unnamed", "named"])
def test_kill_9_at_any_moment_leaves_whole_files_and_no_lock(tmp_path: Path, kind: str) -> None:
    chosen = random.SystemRandom()
    left = 0
    for _ in range(15):
        process = start(FILL, tmp_path, kind)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(chosen.uniform(0, 0.1))  # any moment will do
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        temporary = list(tmp_path.glob(".tmp-*"))
        assert len(temporary) <= (kind == "named"), "the next writer sweeps"
        left += len(temporary)
        assert held_bytes(tmp_path) <= 4_000_000 + (1_000_000 if temporary else 0)
        for path in temporary:
            path.rename(tmp_path.parent / path.name)  # to look at the others
        assert_whole(tmp_path)
        for path in temporary:
            (tmp_path.parent / path.name).rename(path)
    data = b"!" * 1_000_000
    cache = BlobCache(tmp_path, 4_000_000, lambda _: data)
    cache.read(BlobInfo(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), suffix=".bin"))
    assert 1 <= assert_whole(tmp_path) <= 4


def damage(path: Path, chosen: random.Random) -> None:
    """Flip a byte of a cached file, cut it, or remove it."""
    with contextlib.suppress(FileNotFoundError):  # evicted just now
        size = path.stat().st_size
        match chosen.randrange(3):
            case 0:
                path.unlink()
            case 1:
                os.truncate(path, chosen.randrange(size + 1))
            case _:
                with path.open("r+b") as file:
                    file.seek(chosen.randrange(max(size, 1)))
                    file.write(bytes([chosen.randrange(256)]))


def test_four_readers_and_a_vandal_share_a_folder_and_every_epoch_is_exact(
    url: str, store: Dataset, tmp_path: Path
) -> None:
    limit = total_bytes(store) // 3
    folder = tmp_path / "blobs"
    chosen = random.Random(7)
    readers = [start(READ, url, tmp_path, limit, workers) for workers in (0, 0, 0, 2)]
    largest = damaged = 0
    with contextlib.ExitStack() as stack:
        for reader in readers:
            stack.callback(reader.kill)
        while any(reader.poll() is None for reader in readers):
            largest = max(largest, held_bytes(folder))
            files = sorted(folder.glob("*.*")) if folder.is_dir() else []
            if files:
                damage(chosen.choice(files), chosen)
                damaged += 1
            time.sleep(0.02)  # some reading is meant to succeed
    expected = exact(store)
    assert [end(reader) for reader in readers] == [(expected, "")] * 4
    assert damaged > 10
    assert limit // 2 < largest <= limit
    assert held_bytes(folder) <= limit
    # and what was damaged last is found out by the next one
    assert end(start(READ, url, tmp_path, limit, 0)) == (expected, "")


@contextlib.contextmanager
def mounted(folder: Path, size: str, *options: str) -> Iterator[None]:
    if os.geteuid():
        pytest.skip("mounting a tmpfs needs root")
    folder.mkdir()
    settings = ",".join((f"size={size}", *options))
    subprocess.run(["mount", "-t", "tmpfs", "-o", settings, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("disk", ["full from the start", "full in the middle", "without inodes"])
def test_a_full_disk_costs_the_cache_and_is_told_in_one_line(
    url: str, store: Dataset, tmp_path: Path, disk: str
) -> None:
    folder = tmp_path / "disk"
    options = ("nr_inodes=12",) if disk == "without inodes" else ()
    with mounted(folder, "1m" if options else "100k", *options):
        if disk == "full from the start":
            (folder / "mine").write_bytes(b"x" * 100 * 1024)
        output, errors = end(start(READ, url, folder, 10**9, 0))
        assert output == exact(store)
        (line,) = errors.splitlines()
        assert f"are not kept in the cache {folder}/blobs (" in line
        assert "--cache-dir" in line
        if disk != "full from the start":
            assert assert_whole(folder / "blobs") > 5


def test_a_read_only_disk_costs_the_cache_and_is_told_in_one_line(
    url: str, store: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    with mounted(folder, "1m", "ro"):
        output, errors = end(start(READ, url, folder, 10**9, 2))
        assert output == exact(store)
        (line,) = errors.splitlines()
        assert "Read-only file system" in line


def slowly(handler: Handler, data: bytes) -> None:
    """Answer in pieces, so that a signal comes in the middle of most blobs."""
    if handler.path not in handler.script.files:
        handler.answer(404)
        return
    handler.head(data, handler.offset)
    rest = data[handler.offset :]
    for start_at in range(0, len(rest), 1 << 11):
        handler.script.done.wait(0.01)
        handler.wfile.write(rest[start_at : start_at + (1 << 11)])


def members(group: int) -> set[str]:
    """The process ids of a group."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,pid="], capture_output=True, text=True, check=True
    ).stdout
    return {pid for pgid, pid in map(str.split, listed.splitlines()) if pgid == str(group)}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_while_blobs_come_leaves_no_process_and_no_temporary_file(
    server: FaultServer, pairs_url: str, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    dataset = open_dataset(pairs_url)
    url = f"{serve(server, Path(dataset.ref.root))}/pairs"
    server.script.always = slowly
    limit = str(total_bytes(dataset) // 2)
    options = ("--data", url, *ARGUMENTS, "--max-steps", "100000", "--num-workers", workers)
    cache = ("--cache-dir", str(tmp_path / "cache"), "--cache-bytes", limit)
    run_dir = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", *options, *cache, "--run-dir", str(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wanted = random.SystemRandom().randint(3, 40)
    while process.poll() is None and steps_done(run_dir) < wanted:
        server.script.done.wait(0.02)
    pids = members(process.pid)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=120)
    wait_until_gone(process.pid)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    checkpoint, problems = newest_checkpoint(run_dir / "checkpoints")
    assert (checkpoint.step, problems) == (steps_done(run_dir), [])
    assert not list(tmp_path.rglob(".tmp-*"))
    assert assert_whole(tmp_path / "cache" / "blobs") >= 1
    assert held_bytes(tmp_path / "cache" / "blobs") <= int(limit)
    shared = [path.name for path in Path("/dev/shm").iterdir()]
    assert not [name for name in shared if pids & set(re.findall(r"\d+", name))]
