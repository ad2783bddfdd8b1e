"""A stream over HTTP while its version is collected → exact to the end, or one clear error."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.dataset import Dataset, open_dataset
from shards.errors import NotFoundError
from shards.http import RetryPolicy
from shards.lease import LeaseKeeper
from tests.corpus import make_pairs
from tests.shards.helpers import fill_store
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget

pytestmark = pytest.mark.slow

CONFIG = StreamConfig(budget=BatchBudget(sequences=32), window_samples=1, epochs=1)
COLLECT = {"keep": 1, "grace_s": 0}


@dataclass(frozen=True)
class Service:
    """A running data service, and the folder that it serves."""

    url: str
    folder: Path

    def call(self, path: str, body: object | None = None) -> Any:
        """The JSON of an answer to GET, or to POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}{path}", data=data, timeout=60) as response:
            return json.load(response)

    def publish(self, seed: int, shards: int = 24) -> str:
        """A version of small shards, published beside the service as `dataservice build` does."""
        store, manifest = fill_store(self.folder, seed, shards)
        return store.commit("demo", manifest)

    def open(self, version: str) -> Dataset:
        policy = RetryPolicy(attempts=2, first_wait_s=0.1, read_timeout_s=20)
        return open_dataset(f"{self.url}/datasets/demo/versions/{version}", policy=policy)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service in a process of its own."""
    folder = tmp_path_factory.mktemp("service")
    lines = [json.dumps(pair, ensure_ascii=False) for pair in make_pairs(1000)]
    source = folder / "pairs.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")
    config = folder / "service.json"  # which is YAML as well
    settings = {"vocab_size": 500, "partition_bytes": 1 << 16, "processes": 1, "port": 0}
    settings |= {"keep_versions": COLLECT["keep"], "collect_grace_s": COLLECT["grace_s"]}
    places = {"sources": [{"path": str(source)}], "data_dir": str(folder / "data")}
    config.write_text(json.dumps({**settings, **places, "build_on_start": False}))
    command = [sys.executable, "-m", "dataservice", "serve", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(r" on (http://\S+)/datasets$", line.rstrip()):
                yield Service(match[1], folder / "data" / "datasets")
                break
        else:
            pytest.fail("the data service did not start", pytrace=False)
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer for a first answer than a reader should wait."""
    monkeypatch.setattr("shards.lease._FIRST_WAIT_S", 60.0)


def ids(dataset: Dataset) -> list[list[int]]:
    """The pair ids of every batch of an epoch."""
    return [batch.pair_ids.tolist() for batch in BatchStream(dataset, CONFIG)]


def test_a_version_that_is_leased_is_read_to_its_end_and_collected_afterwards(
    service: Service,
) -> None:
    version = service.publish(0)
    dataset = service.open(version)
    expected = ids(dataset)
    with LeaseKeeper(dataset.ref.url, holder="the test", ttl_s=60) as lease:
        batches = iter(BatchStream(dataset, CONFIG))
        read = [next(batches).pair_ids.tolist()]
        service.publish(100)
        report = service.call("/gc", COLLECT)
        assert report["retired"] == []
        (reasons,) = (e["reasons"] for e in report["kept"] if e["version"] == version)
        assert "held by the test until" in reasons[0]
        read += [batch.pair_ids.tolist() for batch in batches]
        assert read == expected
        assert (lease.state, lease.problem) == ("held", None)
    report = service.call("/gc", COLLECT)
    assert [entry["version"] for entry in report["retired"]] == [version]


def test_a_version_that_nobody_holds_ends_in_a_clear_error_and_never_in_other_data(
    service: Service,
) -> None:
    version = service.publish(0)  # the same again: it comes back to life
    dataset = service.open(version)
    expected = ids(dataset)
    batches = iter(BatchStream(dataset, CONFIG))
    read = [next(batches).pair_ids.tolist()]
    service.publish(200)
    report = service.call("/gc", COLLECT)
    assert version in [entry["version"] for entry in report["retired"]]
    with pytest.raises(NotFoundError, match=r"410|was collected"):
        for batch in batches:
            read.append(batch.pair_ids.tolist())
    assert 0 < len(read) < len(expected)
    assert read == expected[: len(read)]
    with LeaseKeeper(dataset.ref.url, holder="the test") as lease:
        assert lease.state == "gone"
        assert lease.problem is not None
        assert f"version {version} of data set 'demo' was collected on" in lease.problem


def test_collecting_while_many_read_and_builds_run_disturbs_none_of_those_that_hold(
    service: Service,
) -> None:
    version = service.publish(0)
    dataset = service.open(version)
    expected = np.concatenate(ids(dataset)).tolist()
    with LeaseKeeper(dataset.ref.url, holder="the test", ttl_s=1) as lease:
        job = service.call("/reshard", {})
        rounds = 0
        while service.call(f"/jobs/{job['id']}")["state"] in ("queued", "running"):
            service.call("/gc", COLLECT)
            rounds += 1
        assert rounds > 2
        assert np.concatenate(ids(dataset)).tolist() == expected
        assert lease.state == "held"
    job = service.call(f"/jobs/{job['id']}")
    assert job["state"] == "succeeded", job["error"]
    assert len(ids(service.open(job["version"]))) > 0
