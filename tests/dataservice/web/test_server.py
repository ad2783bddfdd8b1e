"""A real server on a real socket: bytes on the wire, hostile paths, readers during a reshard."""

import http.client
import json
import socket
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dataservice.jobs.runner import JobRunner
from dataservice.verify import verify
from shards.dataset import open_dataset
from shards.manifest import Manifest

Serving = Callable[[FastAPI], AbstractContextManager[tuple[str, int]]]
NewApp = Callable[..., FastAPI]
Address = tuple[str, int]

SECRET = b"nobody may read this"

pytestmark = pytest.mark.slow


def ask(address: Address, method: str, path: str, **headers: str) -> tuple[Any, bytes]:
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def send_raw(address: Address, target: bytes) -> tuple[int, bytes]:
    """The status and everything that comes back for a request line that no client would write."""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(
            b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_lengths_on_the_wire_are_those_of_the_files(
    new_app: NewApp, serving: Serving, data_dir: Path, manifest: Manifest, method: str
) -> None:
    with serving(new_app(data_dir)) as address:
        for path in ("demo/latest.json", *(blob.path for blob in manifest.blobs())):
            data = (data_dir / "datasets" / path).read_bytes()
            response, body = ask(address, method, f"/datasets/{path}")
            assert response.getheader("content-length") == str(len(data))
            assert response.getheader("transfer-encoding") is None
            assert body == (data if method == "GET" else b"")
        response, body = ask(address, "GET", f"/datasets/{path}", Range="bytes=5-14")
        assert (response.status, body) == (206, data[5:15])
        assert response.getheader("content-length") == "10"


def hostile_targets() -> list[str]:
    """Ways out of the store that were ever tried on a file server."""
    up = ["..", "%2e%2e", ".%2e", "%2E%2E", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "..%00"]
    up += ["%252e%252e", "..;", "%c0%ae%c0%ae", "%ef%bc%8e%ef%bc%8e", "....//", "%2f", "//", "."]
    ways = [f"/datasets/{step}/secret" for step in up]
    ways += [f"/datasets/blobs/{step}/secret" for step in up]
    ways += [f"/datasets/blobs/{step}%2fsecret" for step in up]
    ways += [f"/datasets/demo/versions/{step}/{step}/{step}/secret" for step in up]
    ways += [f"/datasets/{step}/latest.json" for step in up]
    ways += [f"/datasets/{step}/versions/{step}/manifest.json" for step in up]
    return [
        *ways,
        "//secret",
        "///etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/datasets/blobs/.tmp-left",
        "/datasets/blobs/%2etmp-left",
        "/datasets/blobs/" + "0" * 64 + "%00.tar.zst",
        "/datasets/blobs/" + "0" * 64 + "%0a",
        "/datasets/blobs/" + "0" * 64 + "/../../../secret",
        "/datasets/demo%00/latest.json",
        "/datasets/demo%0a/latest.json",
        "/datasets/blobs//" + "0" * 64,
        "/datasets/%ff%fe/latest.json",
        "/datasets/" + "0" * 64 + "/latest.json",
        "/datasets/jobs/../../jobs/secret.json",
        "http://localhost/datasets/../secret",
    ]


def test_no_path_leaves_the_store_or_reaches_a_temporary_file(
    new_app: NewApp, serving: Serving, data_dir: Path
) -> None:
    places = ["secret", "secret.json", "latest.json", "jobs/secret", "jobs/secret.json"]
    places += ["datasets/secret", "datasets/blobs/.tmp-left", "datasets/demo/.tmp-left"]
    places += ["manifest.json", "datasets/demo/secret", "datasets/demo/versions/secret"]
    for place in places:
        path = data_dir / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(SECRET)
    with serving(new_app(data_dir)) as address:
        assert send_raw(address, b"/datasets/demo/latest.json")[0] == 200
        answers = {
            target: send_raw(address, target.encode("latin-1")) for target in hostile_targets()
        }
    assert {t: status for t, (status, _) in answers.items() if status not in (400, 404)} == {}
    assert not [target for target, (_, answer) in answers.items() if SECRET in answer]
    assert not [target for target, (_, answer) in answers.items() if b"Traceback" in answer]


@pytest.mark.parametrize("host", [b"", b"[::1", b"a b", b"evil.example:99999999", b'"<script>'])
def test_a_strange_host_breaks_no_page(
    new_app: NewApp, serving: Serving, data_dir: Path, host: bytes
) -> None:
    with (
        serving(new_app(data_dir)) as address,
        socket.create_connection(address, timeout=60) as connection,
    ):
        connection.sendall(
            b"GET /datasets HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.split(b" ", 2)[1] in (b"200", b"400")


def test_the_readers_own_client_verifies_a_served_version(
    new_app: NewApp, serving: Serving, data_dir: Path, version: str
) -> None:
    with serving(new_app(data_dir)) as (host, port):
        dataset = open_dataset(f"http://{host}:{port}/datasets/demo")
        findings = verify(dataset)
    assert (dataset.version, findings.problems, findings.samples) == (version, [], 500)


def test_many_clients_at_once_all_get_whole_files(
    new_app: NewApp, serving: Serving, data_dir: Path, manifest: Manifest
) -> None:
    files = {b.path: (data_dir / "datasets" / b.path).read_bytes() for b in manifest.blobs()}
    paths = [path for path in files for _ in range(40)]
    with serving(new_app(data_dir)) as address, ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda path: ask(address, "GET", f"/datasets/{path}")[1], paths))
    assert [body == files[path] for path, body in zip(paths, bodies, strict=True)] == [True] * len(
        paths
    )


def test_clients_that_leave_in_the_middle_disturb_no_other(
    new_app: NewApp, serving: Serving, data_dir: Path
) -> None:
    (data_dir / "datasets/blobs" / ("0" * 64)).write_bytes(bytes(20 << 20))
    target = b"/datasets/blobs/" + b"0" * 64
    with serving(new_app(data_dir)) as address:
        for _ in range(8):
            with socket.create_connection(address, timeout=60) as connection:
                connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(1000)
        assert len(ask(address, "GET", target.decode())[1]) == 20 << 20


def test_a_reader_of_an_old_version_is_not_disturbed_by_a_reshard(
    new_app: NewApp, serving: Serving, data_dir: Path, version: str, manifest: Manifest
) -> None:
    app = new_app(data_dir, real=True)
    runner: JobRunner = app.state.runner
    paths = [f"demo/versions/{version}/manifest.json", *(b.path for b in manifest.blobs())]
    before = {path: (data_dir / "datasets" / path).read_bytes() for path in paths}

    def read(address: Address) -> bool:
        return all(ask(address, "GET", f"/datasets/{p}")[1] == before[p] for p in paths)

    with serving(app) as (host, port):
        address = (host, port)
        base = f"http://{host}:{port}"
        body = json.dumps({"split_seed": 1, "default_author": "Другой"}).encode()
        with urllib.request.urlopen(f"{base}/reshard", data=body, timeout=60) as response:
            job_id = json.load(response)["id"]
        reads = 0
        while (job := runner.get(job_id)) is None or job.is_open:
            assert read(address)
            assert ask(address, "GET", "/readyz")[0].status == 200
            reads += 1
        assert job.state == "succeeded", job.error
        assert reads >= 2
        assert read(address)
        latest = open_dataset(f"{base}/datasets/demo")
        assert latest.version == job.version != version
        assert verify(latest).problems == []
        assert open_dataset(f"{base}/datasets/demo/versions/{version}").manifest == manifest


def test_an_empty_store_builds_its_first_version_and_serves_it(
    new_app: NewApp, tmp_path: Path, wait_for_job: Callable[[TestClient, str], dict[str, Any]]
) -> None:
    with TestClient(new_app(tmp_path, real=True, build_on_start=True)) as client:
        (job,) = client.get("/jobs").json()["jobs"]
        ended = wait_for_job(client, job["id"])
        assert ended["state"] == "succeeded", ended["error"]
        assert ended["progress"]["stage"] == "encode and write"
        assert client.get("/readyz").status_code == 200
        assert client.get(ended["url"]).json()["samples"] == 500
