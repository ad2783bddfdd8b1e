"""A collection killed at any step → each version that has a manifest is whole; the next ends it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataservice.collect.marks import Rules
from dataservice.collect.sweep import collect
from shards.dataset import open_dataset
from shards.store import LocalStore
from shards.verify import verify_dataset
from tests.dataservice.collect.conftest import Box

ROOT = Path(__file__).parents[3]


def tree(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def whole_versions(folder: Path) -> list[str]:
    """The versions that have a manifest; each is read and checked."""
    store = LocalStore(folder / "datasets")
    versions = store.versions("demo")
    for version in versions:
        dataset = open_dataset(f"{store.folder}/demo/versions/{version}")
        assert verify_dataset(dataset).problems == []
    assert open_dataset(f"{store.folder}/demo").version in versions
    return versions


@pytest.mark.slow
def test_whatever_step_a_kill_comes_at_versions_are_whole_and_a_second_collection_ends_it(
    box: Box, tmp_path: Path
) -> None:
    versions = [box.publish(seed) for seed in (0, 1, 10)]  # two of them share a shard
    box.leases.acquire("demo", versions[0], "gone since", 1)
    box.put_blobs(50)
    (box.store.folder / "blobs" / ".tmp-left").write_bytes(b"half")
    copies = tmp_path / "copies"
    module = "tests.dataservice.collect.killed"
    program = [sys.executable, "-m", module, str(box.folder), str(copies)]
    subprocess.run(program, cwd=ROOT, check=True, timeout=300)
    folders = sorted(copies.iterdir(), key=lambda path: int(path.name))
    done = tree(folders[-1])
    seen = set()
    for folder in folders:
        seen.add(len(whole_versions(folder)))
        shutil.copytree(folder, rebuilt := tmp_path / "rebuilt")
        Box(rebuilt).publish(0)  # and it can be brought back from any of these states
        assert versions[0] in whole_versions(rebuilt)
        shutil.rmtree(rebuilt)
        collect(folder, Rules(keep=1, grace_s=0), clock=lambda: 4e9)
        assert tree(folder) == done
    assert seen == {1, 2, 3}
    assert len(folders) > 20
    assert not [name for name in done if ".tmp-" in name or name.startswith("leases/")]


def test_a_lease_taken_between_a_kill_and_the_next_collection_counts(box: Box) -> None:
    old, _ = box.publish(0), box.publish(10)
    manifest = box.store.folder / "demo" / "versions" / old / "manifest.json"
    data = manifest.read_bytes()
    box.collect(grace_s=10)
    manifest.write_bytes(data)  # as if killed after the tombstone was written
    box.date()
    box.leases.acquire("demo", old, "a trainer", 60)
    box.collect(grace_s=0)
    assert not manifest.with_name("retired.json").exists()
    assert verify_dataset(open_dataset(f"{box.store.folder}/demo/versions/{old}")).problems == []
