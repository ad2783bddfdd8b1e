"""Fixtures of the service's tests: a small real data set, and the app over a copy of it."""

import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from dataservice.jobs.runner import JobRunner
from dataservice.prepare.build import build
from dataservice.settings import BuildSettings, ServiceSettings
from dataservice.web.app import create_app
from dataservice.web.sendfile import SendfileProtocol
from shards.manifest import Manifest
from shards.store import LocalStore

FAKE_BUILD = Path(__file__).parents[1] / "jobs" / "fake_build.py"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of distinct pairs, so that nothing is dropped."""
    path = tmp_path_factory.mktemp("corpus") / "houses.jsonl"
    # names, since pairs that differ by numbers alone are near duplicates, and one split
    names = [(_spell(number, "абвгдежзик"), _spell(number, "abcdefghik")) for number in range(500)]
    lines = [
        {
            "ru": f"Дом {ru} стоит на улице {number % 37} у реки.",
            "en": f"House {en} stands in street {number % 37} by the river.",
        }
        for number, (ru, en) in enumerate(names)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def _spell(number: int, letters: str) -> str:
    return "".join(letters[int(digit)] for digit in f"{number:03d}").capitalize()


@pytest.fixture(scope="session")
def small(corpus: Path) -> dict[str, object]:
    """Build settings that are quick."""
    return {
        "sources": [str(corpus)],
        "vocab_size": 700,
        "processes": 1,
        "shard_bytes": 1 << 16,
    }


@pytest.fixture(scope="session")
def built(small: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one version of `demo`; read-only by agreement."""
    folder = tmp_path_factory.mktemp("built")
    build(BuildSettings.model_validate({**small, "data_dir": folder}))
    return folder


@pytest.fixture
def data_dir(built: Path, tmp_path: Path) -> Path:
    """A copy of the data folder that a test may change."""
    folder = tmp_path / "data"
    shutil.copytree(built, folder)
    return folder


@pytest.fixture
def version(data_dir: Path) -> str:
    return LocalStore(data_dir / "datasets").versions("demo")[0]


@pytest.fixture
def manifest(data_dir: Path, version: str) -> Manifest:
    return LocalStore(data_dir / "datasets").manifest("demo", version)


@pytest.fixture
def new_app(small: dict[str, object]) -> Callable[..., FastAPI]:
    """Makes the app over a data folder; its builds are fake unless `real` is asked for."""

    def make(
        folder: Path, *, real: bool = False, max_queued: int = 100, **settings: object
    ) -> FastAPI:
        values = {**small, "data_dir": folder, "build_on_start": False, **settings}
        runner = JobRunner(
            folder / "jobs",
            command=lambda file: (sys.executable, str(FAKE_BUILD), str(file)),
            max_queued=max_queued,
        )
        return create_app(ServiceSettings.model_validate(values), runner=None if real else runner)

    return make


@pytest.fixture
def new_client(new_app: Callable[..., FastAPI]) -> Iterator[Callable[..., TestClient]]:
    """Makes clients of apps that live until the test ends."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(TestClient(new_app(*args, **options)))


@pytest.fixture
def client(new_client: Callable[..., TestClient], data_dir: Path) -> TestClient:
    """A client of the app over the copied data set."""
    return new_client(data_dir)


@pytest.fixture
def wait_for_job() -> Callable[[TestClient, str], dict[str, object]]:
    """Waits, without polling, for a job to end; its page then."""

    def wait(client: TestClient, job_id: str) -> dict[str, object]:
        assert client.portal is not None
        runner: JobRunner = client.app.state.runner  # type: ignore[attr-defined]
        client.portal.call(runner.wait, job_id)
        page: dict[str, object] = client.get(f"/jobs/{job_id}").json()
        return page

    return wait


@pytest.fixture
def serving() -> Callable[[FastAPI], object]:
    """Serves an app by a real server on a free port, in a thread; gives its address."""

    @contextmanager
    def serve(app: FastAPI) -> Iterator[tuple[str, int]]:
        config = uvicorn.Config(
            app, log_level="warning", lifespan="on", loop="asyncio", http=SendfileProtocol
        )
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield listener.getsockname()
            finally:
                server.should_exit = True
                thread.join(60)

    return serve
