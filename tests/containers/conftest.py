"""A Compose project of its own for these tests, taken down whatever happens."""

import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
SMALL = {
    "DATASERVICE_DEMO_PAIRS": "2000",
    "TRAINER_D_MODEL": "64",
    "TRAINER_ENCODER_LAYERS": "1",
    "TRAINER_DECODER_LAYERS": "1",
    "TRAINER_D_FF": "128",
    "TRAINER_BATCH_SIZE": "16",
    "TRAINER_MAX_STEPS": "40",
    "TRAINER_WARMUP_STEPS": "5",
    "TRAINER_EVAL_BATCHES": "2",
    "TRAINER_EVAL_EVERY": "20",
    "TRAINER_SAMPLE_EVERY": "20",
    "TRAINER_SAVE_EVERY": "20",
    "TRAINER_EXTEND_STEPS": "20",
    "TRAINER_TENSORBOARD": "false",
}


def run(*command: str, timeout: float = 120, check: bool = True, **env: str) -> str:
    """What a command prints on stdout; its whole output is in the error when it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=_environment() | env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}",
            pytrace=False,
        )
    return done.stdout


def _environment() -> dict[str, str]:
    """The caller's environment without what would change the project under test."""
    ours = ("DATASERVICE_", "TRAINER_", "PROMETHEUS_", "COMPOSE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def wait_for(what: str, check: Callable[[], T | None], timeout: float) -> T:
    """What `check` returns as soon as it is true; fails at the deadline."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if result := check():
            return result
        time.sleep(0.3)
    pytest.fail(f"{what}: not within {timeout:.0f} s", pytrace=False)


@dataclass(frozen=True)
class Stack:
    """The project's containers, and the service's published address."""

    project: str
    port: int

    def compose(self, *arguments: str, timeout: float = 120, check: bool = True, **env: str) -> str:
        files = ("--env-file", os.devnull, "-f", "docker-compose.yml")
        environment = {**SMALL, "PROMETHEUS_PUBLISH": f"127.0.0.1:{self.port}", **env}
        command = ("docker", "compose", "-p", self.project, *files, *arguments)
        return run(*command, timeout=timeout, check=check, **environment)

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container, running or not."""
        return inspect(f"{self.project}-{service}-1")

    def start_trainer(self, name: str, *arguments: str, **env: str) -> str:
        """The name of a container of its own, in which the trainer runs on."""
        name = f"{self.project}-{name}"
        command = ("run", "-d", "--name", name, "trainer", *arguments)
        self.compose(*command, timeout=120, check=True, **env)
        return name

    def request(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=data,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "80", check=False)


def inspect(container: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(run("docker", "inspect", container))
    return found[0]


def output(container: str) -> str:
    """Both streams of a container's output so far."""
    done = subprocess.run(
        ["docker", "logs", container],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return done.stdout


_STACK = pytest.StashKey[Stack | None]()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The images, built; nothing runs yet."""
    with project(request.config, "dataservice", "trainer") as stack:
        yield stack


@contextmanager
def project(config: pytest.Config, *services: str) -> Iterator[Stack]:
    """A Compose project with the images of some services built; taken down at the end."""
    try:
        answer = subprocess.run(["docker", "version"], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no docker command on PATH")
    if answer.returncode:
        reason = answer.stderr.decode(errors="replace").strip()
        pytest.skip(f"no Docker engine answers: {reason}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    stack = Stack(f"prometheus-test-{secrets.token_hex(4)}", port)
    before = config.stash.get(_STACK, None)
    config.stash[_STACK] = stack
    try:
        for service in services:
            stack.compose("build", service, timeout=1200)
        yield stack
    finally:
        config.stash[_STACK] = before
        _take_down(stack)


def _take_down(stack: Stack) -> None:
    label = f"label=com.docker.compose.project={stack.project}"
    left = run("docker", "ps", "--all", "--quiet", "--filter", label, check=False).split()
    if left:
        run("docker", "rm", "--force", "--volumes", *left, check=False)
    stack.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", check=False)


@pytest.fixture(scope="session")
def trained(stack: Stack) -> Stack:
    """The project after `up`: the service runs, the trainer has ended."""
    stack.compose("up", "--detach", timeout=300)

    def exit_state() -> dict[str, Any] | None:
        state = stack.container("trainer")["State"]
        return state if state["Status"] == "exited" else None

    state = wait_for("the end of the trainer", exit_state, timeout=180)
    assert state["ExitCode"] == 0, stack.logs()
    return stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the containers said."""
    report = yield
    stack = item.config.stash.get(_STACK, None)
    if report.failed and stack is not None:
        report.sections.append(("docker compose logs", stack.logs()))
    return report
