"""`docker compose --profile nginx`: files from nginx, all else from the service behind it."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from shards.dataset import open_dataset
from shards.manifest import Manifest
from shards.store import LocalStore
from tests.containers.conftest import ROOT, Stack, project, run, wait_for
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget

docker = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(600)]
MISSING = "/datasets/blobs/" + "0" * 64 + ".tar.zst"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def page(self) -> dict[str, str]:
        page: dict[str, str] = json.loads(self.body)
        return page


def ask(
    port: int, path: str, headers: Mapping[str, str] | None = None, body: str | None = None
) -> Answer:
    """What a server says to a GET, or to a POST when there is a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers or {}))
        response = connection.getresponse()
        data = response.read()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)
    finally:
        connection.close()


@dataclass(frozen=True)
class Front:
    """The project, the port of its nginx, and a copy of the store that both serve."""

    stack: Stack
    port: int
    copy: Path

    @property
    def version(self) -> str:
        return LocalStore(self.copy).versions("demo")[0]

    @property
    def manifest(self) -> Manifest:
        return LocalStore(self.copy).manifest("demo", self.version)


@pytest.fixture(scope="module")
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """A service that has built its demo, and nginx before it."""
    with project(request.config, "dataservice", "nginx") as stack:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        stack.compose(
            *("up", "--detach", "--wait", "dataservice", "nginx"),
            timeout=180,
            PROMETHEUS_NGINX_PUBLISH=f"127.0.0.1:{port}",
        )
        copy = tmp_path_factory.mktemp("copy") / "datasets"
        run("docker", "cp", f"{stack.project}-dataservice-1:/srv/data/datasets", str(copy))
        yield Front(stack, port, copy)


def test_nginx_is_started_only_when_asked_for() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    assert {name for name, service in services.items() if "profiles" in service} == {"nginx"}


class TestFront:
    """In this order: the last test stops the service behind nginx."""

    pytestmark = docker

    def test_an_epoch_read_through_nginx_equals_the_local_one(self, front: Front) -> None:
        config = StreamConfig(budget=BatchBudget(sequences=32), seed=3, epochs=1)
        url = f"http://127.0.0.1:{front.port}/datasets/demo"
        local = list(BatchStream(open_dataset(str(front.copy / "demo")), config))
        served = list(BatchStream(open_dataset(url), config))
        assert len(served) == len(local) > 10
        for mine, theirs in zip(local, served, strict=True):
            assert theirs.cursor == mine.cursor
            for left, right in zip(mine[:3], theirs[:3], strict=True):
                assert np.array_equal(left, right)

    @pytest.mark.parametrize("condition", [None, '"{}"', '"a", W/"{}"', "*", '"a"', "{}"])
    def test_immutable_files_come_as_from_the_service(
        self, front: Front, condition: str | None
    ) -> None:
        shard, model = front.manifest.splits["train"].shards[0], front.manifest.tokenizer
        manifest = f"demo/versions/{front.version}/manifest.json"
        files = {shard.path: shard.sha256, model.path: model.sha256, manifest: front.version}
        for path, sha256 in files.items():
            headers = {"If-None-Match": condition.format(sha256)} if condition else {}
            here = ask(front.port, f"/datasets/{path}", headers)
            behind = ask(front.stack.port, f"/datasets/{path}", headers)
            assert (here.status, here.body) == (behind.status, behind.body)
            same = ["etag", "cache-control"]
            same += ["content-type", "content-length", "accept-ranges"] * (here.status == 200)
            assert [here.headers[name] for name in same] == [behind.headers[name] for name in same]
            assert "content-encoding" not in here.headers

    def test_the_pointer_is_never_taken_for_unchanged(self, front: Front) -> None:
        first = ask(front.port, "/datasets/demo/latest.json")
        assert first.page == {"version": front.version}
        assert first.headers["cache-control"] == "no-cache"
        conditions = {"If-Modified-Since": first.headers["last-modified"], "If-None-Match": '"a"'}
        assert ask(front.port, "/datasets/demo/latest.json", conditions).body == first.body

    @pytest.mark.parametrize(
        ("if_range", "status"), [('"{}"', 206), (None, 206), ('"0{}"', 200), ('W/"{}"', 200)]
    )
    def test_a_download_is_resumed_only_of_the_same_file(
        self, front: Front, if_range: str | None, status: int
    ) -> None:
        blob = front.manifest.tokenizer
        headers = {"Range": "bytes=7-"}
        if if_range:
            headers["If-Range"] = if_range.format(blob.sha256)
        answer = ask(front.port, f"/datasets/{blob.path}", headers)
        assert answer.status == status
        data = (front.copy / blob.path).read_bytes()
        assert answer.body == (data[7:] if status == 206 else data)

    def test_what_is_wrong_is_said_by_the_service(self, front: Front) -> None:
        for path, body, status in (
            (MISSING, None, 404),
            (f"/datasets/demo/versions/{'0' * 64}/manifest.json", None, 404),
            ("/datasets/nothing/latest.json", None, 404),
            ("/datasets/demo/.tmp-left", None, 404),
            ("/jobs/nothing", None, 404),
            ("/datasets/demo/latest.json", "{}", 405),
            ("/reshard", '{"vocab_siz": 1}', 422),
        ):
            answer = ask(front.port, path, body=body)
            assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
            assert answer.page["detail"] == ask(front.stack.port, path, body=body).page["detail"]

    def test_a_reshard_through_nginx_is_served_by_it(self, front: Front) -> None:
        job = ask(front.port, "/reshard", body='{"name": "other", "demo_pairs": 500}')
        assert job.status == 202

        def ended() -> dict[str, str] | None:
            page = ask(front.port, f"/jobs/{job.page['id']}").page
            return None if page["state"] in ("queued", "running") else page

        page = wait_for("the end of the reshard", ended, timeout=120)
        assert page["state"] == "succeeded", page
        assert page["url"].startswith(f"http://127.0.0.1:{front.port}/datasets/other")
        assert ask(front.port, "/datasets/other/latest.json").page == {"version": page["version"]}

    def test_it_is_confined_and_cannot_write_to_the_store(self, front: Front) -> None:
        container = front.stack.container("nginx")
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert container["Config"]["User"] == "app"
        assert [mount["RW"] for mount in container["Mounts"] if mount["Type"] == "volume"] == [
            False
        ]

    def test_files_come_while_the_service_is_away_and_pages_again_after_it(
        self, front: Front
    ) -> None:
        blob = front.manifest.tokenizer
        front.stack.compose("stop", "--timeout", "5", "dataservice")
        assert ask(front.port, "/datasets/demo/latest.json").status == 200
        assert (
            ask(front.port, f"/datasets/{blob.path}").body == (front.copy / blob.path).read_bytes()
        )
        assert ask(front.port, "/datasets").status in (502, 504)
        front.stack.compose("start", "dataservice")

        def again() -> bool:
            return ask(front.port, "/datasets").status == 200

        wait_for("the service behind nginx", again, timeout=60)
