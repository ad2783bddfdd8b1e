"""A folder → a small data set of several shards; and a real data service over it, to be killed."""

import re
import subprocess
import sys
import threading
from pathlib import Path

from shards.manifest import LENGTHS_SUFFIX
from shards.store import LocalStore
from shards.writer import write_shard
from tests.ports import port_of_its_own
from tests.shards.helpers import lengths_blob, make_block, make_manifest

NUM_SHARDS = 6
_BLOCKS = 2
_SAMPLES = 60


def publish(folder: Path) -> None:
    """The data set `demo`: shards of two blocks each, so that one of them can be lost."""
    store = LocalStore(folder)
    blocks = [make_block(_SAMPLES, seed) for seed in range(NUM_SHARDS * _BLOCKS)]
    infos = []
    for number in range(NUM_SHARDS):
        part = blocks[number * _BLOCKS : (number + 1) * _BLOCKS]
        data, info = write_shard([(f"b-{index}", block) for index, block in enumerate(part)])
        store.put_blob(data, info.suffix)
        infos.append(info)
    store.put_blob(lengths_blob(infos, blocks), LENGTHS_SUFFIX)
    model = store.put_blob(b"a tokenizer", ".model")
    store.commit("demo", make_manifest(infos, blocks, model))


class Service:
    """`dataservice serve` over a folder, in a process of its own and always on one port."""

    def __init__(self, data_dir: Path, name: str) -> None:
        self._data_dir = data_dir
        self._process: subprocess.Popen[str] | None = None
        self._dead = threading.Event()
        self.port = port_of_its_own()
        self.name = name
        self.folder_url = str(data_dir / "datasets" / name)

    def start(self) -> None:
        """Serve, and return once it does; nothing is done if it runs already."""
        if self._process is not None:
            return
        self._dead.clear()
        where = ("--port", str(self.port), "--data-dir", str(self._data_dir))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dataservice", "serve", *where],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if match := re.search(r" on http://\S+:(\d+)/datasets$", line.rstrip()):
                self.port = int(match[1])
                return
        raise AssertionError("the data service did not start")

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            self._dead.set()

    def start_again(self) -> None:
        """Start once it is dead: a reader's next request can come before its killer is through."""
        assert self._dead.wait(60), "the data service was not killed"
        self.start()
