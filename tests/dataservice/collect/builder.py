"""A data folder, a first seed and a number → so many versions published, as builds do.

Small builds, which share blobs with each other, in a process of their own.
"""

import sys
from pathlib import Path

from dataservice.prepare.work.folder import work_folder
from shards.store import LocalStore
from tests.shards.helpers import fill_store


def main(folder: Path, first: int, number: int) -> None:
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + number):
        with work_folder(work):
            store, manifest = fill_store(folder / "datasets", seed % 7, shards=3)
            LocalStore(store.folder).commit("demo", manifest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
