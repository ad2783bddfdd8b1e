"""Builds in processes of their own while collections run without a pause → no build is harmed."""

import subprocess
import sys
from pathlib import Path

import pytest

from dataservice.collect.marks import Rules
from dataservice.collect.sweep import collect
from shards.dataset import open_dataset
from shards.store import LocalStore
from shards.verify import verify_dataset

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_no_build_loses_a_blob_to_a_collection_without_a_grace_period(tmp_path: Path) -> None:
    module = "tests.dataservice.collect.builder"
    commands = [[sys.executable, "-m", module, str(tmp_path), str(n), "25"] for n in (0, 3)]
    builders = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    retired = removed = 0
    while any(builder.poll() is None for builder in builders):
        report = collect(tmp_path, Rules(keep=1, grace_s=0))
        retired += len(report.retired)
        removed += report.removed_blobs
    for builder in builders:
        _, said = builder.communicate(timeout=60)
        assert builder.returncode == 0, said
    collect(tmp_path, Rules(keep=1, grace_s=0))
    assert retired > 5
    assert removed > 5
    assert len(LocalStore(tmp_path / "datasets").versions("demo")) == 1
    dataset = open_dataset(f"{tmp_path}/datasets/demo")
    assert verify_dataset(dataset).problems == []
