"""`docker compose` from nothing to a trained model, a reshard, a kill and a resume, for real."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataservice.settings import ServiceSettings
from tests.containers.conftest import ROOT, Stack, inspect, output, run, wait_for
from tests.corpus import make_pairs
from trainer.config import TrainSettings

docker = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]
GIB = 1 << 30
ENDLESS = {
    "TRAINER_RUN_DIR": "runs/killed",
    "TRAINER_MAX_STEPS": "100000",
    "TRAINER_SAVE_EVERY": "5",
    "TRAINER_LOG_EVERY": "1",
}


@pytest.mark.parametrize(
    ("service", "settings", "of_the_image"),
    [
        ("dataservice", ServiceSettings, {"host", "port", "data_dir"}),
        ("trainer", TrainSettings, {"cache_dir"}),
    ],
)
def test_every_setting_reaches_its_container(
    service: str, settings: type[ServiceSettings | TrainSettings], of_the_image: set[str]
) -> None:
    """A setting that Compose does not pass on would be ignored without a word."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    environment = yaml.safe_load(text)["services"][service]["environment"]
    prefix = f"{service.upper()}_"
    assert {name.removeprefix(prefix).lower() for name in environment} == (
        set(settings.model_fields) - of_the_image
    )


@pytest.mark.parametrize("extra", ["dataservice", "trainer"])
def test_an_image_installs_what_the_lock_names(extra: str) -> None:
    pins = {name: _pins(ROOT / "requirements" / f"{name}.txt") for name in (extra, "dev")}
    assert pins[extra] <= pins["dev"]


def _pins(path: Path) -> set[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


WITH_WORKERS = """
import json, os, signal, subprocess, time
from pathlib import Path

run, cache = Path("runs/workers"), Path("/srv/cache/blobs")
before = set(cache.iterdir()) if cache.exists() else set()
for path in before:
    path.unlink()
options = ["--num-workers", "2", "--window-samples", "300", "--max-steps", "100000"]
trainer = subprocess.Popen(["trainer", *options, "--run-dir", run], start_new_session=True)
ledger = run / "ledger.jsonl"
while trainer.poll() is None and not (ledger.exists() and len(ledger.read_bytes()) > 20_000):
    time.sleep(0.1)
os.killpg(trainer.pid, signal.SIGINT)
status = trainer.wait()
deadline, gone = time.monotonic() + 20, False
while not gone and time.monotonic() < deadline:
    try:
        os.killpg(trainer.pid, 0)
    except ProcessLookupError:
        gone = True
disk = os.statvfs("/dev/shm")
print(json.dumps({
    "status": status,
    "gone": gone,
    "shm_bytes": disk.f_blocks * disk.f_frsize,
    "shm": os.listdir("/dev/shm"),
    "cached": os.listdir(cache),
}))
"""


class TestProject:
    """In this order: each test goes on from where the one before it left the project."""

    pytestmark = docker

    @pytest.mark.timeout(1500)
    @pytest.mark.parametrize(
        ("service", "present", "absent"),
        [
            ("dataservice", "dataservice", {"torch", "trainer"}),
            ("trainer", "torch", {"fastapi", "dataservice"}),
        ],
    )
    def test_an_image_holds_its_own_part_alone(
        self, stack: Stack, service: str, present: str, absent: set[str]
    ) -> None:
        names = sorted({present} | absent)
        code = (
            "import importlib.util as u, os; "
            f"print(os.getuid(), *[n for n in {names} if u.find_spec(n)])"
        )
        shown = stack.compose(
            "run", "--rm", "--no-deps", "--entrypoint", "python", service, "-c", code
        )
        assert shown.split() == ["1000", present]

    def test_up_builds_the_demo_trains_and_shows_a_sample(self, trained: Stack) -> None:
        logs = trained.compose("logs", "--no-color", "trainer")
        assert "step 40/40" in logs
        assert re.search(r"sample: \S.* → ", logs)
        volume = trained.compose(
            *("run", "--rm", "--no-deps", "--entrypoint", "cat", "trainer"),
            "runs/default/metrics.jsonl",
        )
        events = [json.loads(line) for line in volume.splitlines()]
        assert any(event.get("step") == 40 for event in events)

    def test_the_service_answers_where_it_is_published(self, trained: Stack) -> None:
        status, ready = trained.request("/readyz")
        assert (status, ready["datasets"]) == (200, ["demo"])
        status, page = trained.request("/datasets")
        assert [entry["name"] for entry in page["datasets"]] == ["demo"]
        assert 1900 < page["datasets"][0]["samples"] <= 2000  # near-duplicates are dropped

    def test_containers_are_confined(self, trained: Stack) -> None:
        for service, memory in (("dataservice", 2 * GIB), ("trainer", 3 * GIB)):
            container = trained.container(service)
            host = container["HostConfig"]
            assert host["Memory"] == memory
            assert not container["State"]["OOMKilled"]
            assert host["ReadonlyRootfs"]
            assert host["CapDrop"] == ["ALL"]
            assert host["SecurityOpt"] == ["no-new-privileges:true"]
            assert host["ShmSize"] == 64 << 20
            assert container["Config"]["User"] == "app"

    def test_a_gpu_is_asked_for_by_its_override_alone(self, stack: Stack) -> None:
        command = ("docker", "compose", "--env-file", os.devnull, "config", "--format", "json")
        for files in ("docker-compose.yml", "docker-compose.yml:docker/gpu.yml"):
            shown = json.loads(
                run(*command, COMPOSE_FILE=files, COMPOSE_PROJECT_NAME=stack.project)
            )
            trainer = shown["services"]["trainer"]
            assert ("deploy" in trainer) == ("gpu" in files)
            assert trainer["environment"]["TRAINER_DEVICE"] == ("cuda" if "gpu" in files else None)

    def test_resume_trains_a_complete_run_further(self, trained: Stack) -> None:
        text = _end(trained.start_trainer("further", "--resume", "--json"))
        assert "resuming from runs/default/checkpoints/step-00000040" in text
        assert _result(text)["step"] == 60

    def test_up_again_keeps_the_run(self, trained: Stack) -> None:
        trained.compose("up", "--detach")
        text = _end(trained.container("trainer")["Id"])
        assert "resuming from runs/default/checkpoints/step-00000060" in text

    def test_generate_prints_a_translation(self, trained: Stack) -> None:
        arguments = ("generate", "--checkpoint", "runs/default", "--json", "Привет, мир!")
        shown = trained.compose("run", "--rm", "trainer", *arguments)
        [translation] = json.loads(shown)["translations"]
        assert translation["text"].strip()

    def test_reshard_adds_a_version_and_keeps_the_old(self, trained: Stack) -> None:
        old = trained.request("/datasets/demo/latest.json")[1]["version"]
        new = _reshard(trained, {"vocab_size": 2000})
        assert new != old
        assert trained.request("/datasets/demo/latest.json")[1]["version"] == new
        versions = trained.request("/datasets/demo/versions")[1]["versions"]
        assert [entry["version"] for entry in versions] == [old, new]
        for version, vocab_size in ((old, 3000), (new, 2000)):
            status, manifest = trained.request(f"/datasets/demo/versions/{version}/manifest.json")
            assert status == 200
            assert manifest["tokenizer"]["vocab_size"] == vocab_size

    def test_reshard_reads_text_of_ones_own(self, trained: Stack, tmp_path: Path) -> None:
        pairs = make_pairs(800)
        for side in ("ru", "en"):
            text = "".join(f"{pair[side]}\n" for pair in pairs)
            (tmp_path / f"{side}.txt").write_text(text, encoding="utf-8")
        tmp_path.chmod(0o755)  # the container's user is another one
        trained.compose("up", "--detach", "--wait", "dataservice", PROMETHEUS_TEXT=str(tmp_path))
        settings = {"name": "mine", "sources": ["ru.txt,en.txt"], "vocab_size": 500}
        version = _reshard(trained, settings)
        assert trained.request("/datasets/mine/latest.json")[1]["version"] == version

    def test_a_killed_trainer_resumes_and_a_stopped_one_leaves_a_checkpoint(
        self, trained: Stack
    ) -> None:
        killed = trained.start_trainer("killed", **ENDLESS)
        _wait_for_step(killed, 8)
        run("docker", "kill", "--signal", "KILL", killed)
        _end(killed, code=137)

        resumed = trained.start_trainer("resumed", "--resume", "--json", **ENDLESS)
        start = wait_for("the resume", lambda: _resumed_at(resumed), timeout=90)
        assert start >= 5
        assert start % 5 == 0
        _wait_for_step(resumed, start + 3)
        run("docker", "stop", "--time", "60", resumed)
        result = _result(_end(resumed))
        assert result["outcome"] == "interrupted"
        assert result["step"] >= start + 3
        shown = trained.compose(
            *("run", "--rm", "trainer", "generate", "--checkpoint", result["checkpoint"]),
            "Данные готовы.",
        )
        assert shown.strip()

    def test_loader_workers_and_the_cache_leave_nothing_in_the_shared_memory_of_64_mb(
        self, trained: Stack
    ) -> None:
        command = ("run", "--rm", "--entrypoint", "python", "trainer", "-c", WITH_WORKERS)
        told = json.loads(trained.compose(*command, timeout=240).splitlines()[-1])
        cached = told.pop("cached")
        assert told == {"status": 0, "gone": True, "shm_bytes": 64 << 20, "shm": []}
        assert len(cached) > 2
        assert all(re.fullmatch(r"[0-9a-f]{64}\.[a-z.]+", name) for name in cached)

    def test_the_service_stops_and_starts_again_with_its_data(self, trained: Stack) -> None:
        before = trained.request("/datasets/demo/latest.json")
        trained.compose("stop", "dataservice")
        # Uvicorn shuts down in order, then ends by the signal that it got; a kill would be 137.
        assert trained.container("dataservice")["State"]["ExitCode"] in (0, 143)
        trained.compose("up", "--detach", "--wait", "dataservice")
        assert trained.request("/datasets/demo/latest.json") == before


def _reshard(stack: Stack, settings: dict[str, object]) -> str:
    """The version that a reshard published."""
    status, job = stack.request("/reshard", settings)
    assert status == 202, job

    def ended() -> dict[str, str] | None:
        record = stack.request(f"/jobs/{job['id']}")[1]
        return None if record["state"] in ("queued", "running") else record

    record = wait_for("the end of the reshard", ended, timeout=120)
    assert record["state"] == "succeeded", record
    return record["version"]


def _end(container: str, code: int = 0) -> str:
    """What a container has said, once it has ended as it should."""

    def ended() -> dict[str, int] | None:
        state = inspect(container)["State"]
        return state if state["Status"] == "exited" else None

    state = wait_for(f"the end of {container}", ended, timeout=120)
    text = output(container)
    assert state["ExitCode"] == code, text
    return text


def _result(text: str) -> dict[str, Any]:
    """The JSON that `--json` prints last."""
    result: dict[str, Any] = json.loads(text[text.rindex("\n{") :])
    return result


def _resumed_at(container: str) -> int | None:
    found = re.search(r"resuming from \S+, step (\d+) of", output(container))
    return int(found[1]) if found else None


def _wait_for_step(container: str, step: int) -> None:
    def reached() -> bool:
        if inspect(container)["State"]["Status"] != "running":
            pytest.fail(f"{container} ended too soon:\n{output(container)}", pytrace=False)
        steps = re.findall(r"^step (\d+)/", output(container), re.MULTILINE)
        return bool(steps) and int(steps[-1]) >= step

    wait_for(f"step {step} of {container}", reached, timeout=90)
