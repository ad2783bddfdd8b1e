"""`trainer train` whose data service is killed and started again → the steps of a calm run."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus import build_pairs
from tests.faults.faults import kill, nothing, pass_on, restart
from tests.faults.proxy import Plan, Proxy
from tests.faults.service import Service
from trainer.training.metrics import read_records

STEPS = 30
BEFORE = 4  # requests for blobs that go well
ARGUMENTS = (
    *("--d-model", "32", "--num-heads", "2", "--encoder-layers", "1", "--decoder-layers", "1"),
    *("--d-ff", "64", "--batch-size", "64", "--max-steps", str(STEPS), "--warmup-steps", "5"),
    *("--window-samples", "1", "--cache-bytes", "0", "--cpu-threads", "1", "--no-tensorboard"),
)


def train(url: str, run_dir: Path, *arguments: str) -> list[object]:
    """Train to the end; the pair ids and the position of every step."""
    where = ("--data", url, "--run-dir", str(run_dir))
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", *where, *ARGUMENTS, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    records = list(read_records(run_dir / "ledger.jsonl"))
    return [(record["step"], record["ids"], record["next"]) for record in records]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    build_pairs(folder, 1000)
    return folder


@pytest.fixture(scope="module")
def calm(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The steps of a run that reads the data set from its folder."""
    return train(str(data_dir / "datasets" / "pairs"), tmp_path_factory.mktemp("calm"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_goes_on_exactly_when_its_service_is_killed_and_started_again(
    data_dir: Path, calm: list[object], tmp_path: Path, workers: str
) -> None:
    service = Service(data_dir, "pairs")
    service.start()
    plan = Plan((*[pass_on] * BEFORE, kill, nothing, restart))
    try:
        with Proxy(service, plan) as proxy:
            found = train(proxy.url, tmp_path, "--num-workers", workers)
    finally:
        service.kill()
    assert plan.met == len(plan.faults), "the fault did not come"
    assert found == calm
    assert len(found) == STEPS
