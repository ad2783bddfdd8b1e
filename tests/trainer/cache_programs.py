"""Programs that share a cache folder, and what a folder has to be afterwards."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from shards.dataset import Dataset
from tests.shards.fault_server import FaultServer
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget

CONFIG = StreamConfig(budget=BatchBudget(sequences=16), window_samples=40, epochs=2)

FILL = """
import itertools, sys
from hashlib import sha256
from pathlib import Path
from shards.manifest import BlobInfo
from trainer.stream import cache

if sys.argv[2] == "named":
    cache._UNNAMED = 0
contents = [bytes([number]) * 1_000_000 for number in range(12)]
blobs = {sha256(data).hexdigest(): data for data in contents}
kept = cache.BlobCache(Path(sys.argv[1]), 4_000_000, lambda info: blobs[info.sha256])
print("ready", flush=True)
for digest in itertools.cycle(blobs):
    kept.read(BlobInfo(sha256=digest, bytes=1_000_000, suffix=".bin"))
"""

READ = """
import hashlib, sys
from pathlib import Path
from tests.trainer.cache_programs import CONFIG
from trainer.config import TrainSettings
from trainer.stream.loader import read_batches
from trainer.training.data import open_sources

url, folder, limit, workers = sys.argv[1:]
if int(workers):
    # Python's tracker, a process of its own, may warn of semaphores that are gone when it looks
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
settings = TrainSettings(data=url, cache_dir=Path(folder), cache_bytes=int(limit))
(source,) = open_sources(settings)
source.cache.read(source.dataset.manifest.tokenizer)  # first of all, as a run does
digest = hashlib.sha256()
for batch in read_batches(source.stream(CONFIG), int(workers)):
    digest.update(batch.pair_ids.tobytes() + batch.input_ids.tobytes())
print(digest.hexdigest())
"""


def serve(server: FaultServer, root: Path) -> str:
    """The root's URL once a server has all files of a folder of data sets."""
    for path in root.rglob("*.*"):
        if path.is_file():
            server.script.files[f"/{path.relative_to(root)}"] = path.read_bytes()
    return server.url


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.strip(), errors


def exact(dataset: Dataset, config: StreamConfig = CONFIG) -> str:
    """What READ prints when every batch is the right one."""
    digest = hashlib.sha256()
    for batch in BatchStream(dataset, config):
        digest.update(batch.pair_ids.tobytes() + batch.input_ids.tobytes())
    return digest.hexdigest()


def total_bytes(dataset: Dataset) -> int:
    return sum(blob.bytes for blob in dataset.manifest.blobs())


def held_bytes(folder: Path) -> int:
    """What a cache takes, temporary files and all, at a moment when nobody changes it."""
    if not folder.is_dir():
        return 0
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        held = 0
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # found damaged just now
                held += path.stat().st_size
        return held
    finally:
        os.close(handle)


def assert_whole(folder: Path) -> int:
    """How many files a cache has; all of them what their names say."""
    files = list(folder.iterdir())
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.split(".")[0]
    return len(files)
