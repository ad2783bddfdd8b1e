"""POST /gc, and what is told of a version that was collected: 410 where it was, a date in lists."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dataservice.prepare.build import build
from dataservice.settings import BuildSettings
from shards.manifest import Manifest
from shards.store import LocalStore

NOW = {"keep": 1, "grace_s": 0}


@pytest.fixture
def rebuild(data_dir: Path, small: dict[str, object]) -> Callable[[int], str]:
    """Builds another version of the data set."""

    def make(split_seed: int) -> str:
        values = {**small, "data_dir": data_dir, "split_seed": split_seed}
        return build(BuildSettings.model_validate(values)).version

    return make


@pytest.fixture(scope="module")
def built_twice(
    built: Path, small: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A data folder with two versions; read-only by agreement."""
    folder = tmp_path_factory.mktemp("twice") / "data"
    shutil.copytree(built, folder)
    build(BuildSettings.model_validate({**small, "data_dir": folder, "split_seed": 1}))
    return folder


@pytest.fixture
def data_dir(built_twice: Path, tmp_path: Path) -> Path:
    """A copy of the data folder that a test may change."""
    return Path(shutil.copytree(built_twice, tmp_path / "data"))


@pytest.fixture
def client(new_client: Callable[..., TestClient], data_dir: Path) -> TestClient:
    """A client of a service whose own rules keep as little as can be."""
    return new_client(data_dir, keep_versions=NOW["keep"], collect_grace_s=NOW["grace_s"])


@pytest.fixture
def second(data_dir: Path) -> str:
    return LocalStore(data_dir / "datasets").versions("demo")[1]


def test_a_collection_reports_what_stayed_and_what_went(
    client: TestClient, version: str, second: str, data_dir: Path
) -> None:
    planned = client.post("/gc", json={**NOW, "dry_run": True}).json()
    assert client.get(f"/datasets/demo/versions/{version}").status_code == 200
    report = client.post("/gc", json=NOW).json()
    assert {**planned, "dry_run": False} == report
    assert [(kept["version"], kept["reasons"]) for kept in report["kept"]] == [
        (second, ["latest", "among the newest 1"])
    ]
    assert [retired["version"] for retired in report["retired"]] == [version]
    assert report["bytes_freed"] > 1000
    assert LocalStore(data_dir / "datasets").versions("demo") == [second]


def test_the_services_own_rules_hold_where_a_request_sets_none(
    new_client: Callable[..., TestClient], data_dir: Path, version: str, second: str
) -> None:
    client = new_client(data_dir, keep_versions=1, collect_grace_s=0)
    assert client.post("/gc", json={"keep": 2}).json()["retired"] == []
    assert client.post("/gc", json={"grace_s": 86_400}).json()["retired"] == []
    (retired,) = client.post("/gc").json()["retired"]
    assert retired["version"] == version != second


@pytest.mark.parametrize(
    ("body", "option"),
    [
        ({"keep": 1}, "--keep 1"),
        ({"grace_s": 59, "keep": 3}, "--grace-s 59"),
        ({**NOW, "dry_run": True}, "--keep 1"),
    ],
)
def test_a_request_keeps_no_less_than_the_service_does(
    new_client: Callable[..., TestClient],
    data_dir: Path,
    version: str,
    second: str,
    body: dict[str, int],
    option: str,
) -> None:
    client = new_client(data_dir, keep_versions=2, collect_grace_s=60)
    response = client.post("/gc", json=body)
    assert response.status_code == 422
    assert f"`dataservice gc {option}` on the data box" in response.json()["detail"]
    assert client.post("/gc", json={"keep": 2, "grace_s": 60}).status_code == 200
    assert LocalStore(data_dir / "datasets").versions("demo") == [version, second]


@pytest.mark.parametrize("body", [{"keep": 0}, {"grace_s": -1}, {"kep": 1}, [], {"keep": "all"}])
def test_rules_that_cannot_work_are_refused_and_nothing_goes(
    client: TestClient, version: str, second: str, body: object
) -> None:
    assert client.post("/gc", json=body).status_code == 422
    for there in (version, second):
        assert client.get(f"/datasets/demo/versions/{there}").status_code == 200


def test_a_version_that_a_reader_holds_is_not_collected(
    client: TestClient, version: str, second: str
) -> None:
    url = f"/datasets/demo/versions/{version}/leases"
    lease = client.post(url, json={"holder": "gpu-box"}).json()
    kept = client.post("/gc", json=NOW).json()["kept"]
    (reason,) = next(entry["reasons"] for entry in kept if entry["version"] == version)
    assert reason.startswith("held by gpu-box until 20")
    client.delete(lease["url"])
    kept = client.post("/gc", json=NOW).json()["kept"]
    assert [entry["version"] for entry in kept] == [second]
    assert client.post(url, json={"holder": "gpu-box"}).status_code == 410
    assert client.put(lease["url"]).status_code == 410
    assert client.get(url).status_code == 410


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_was_collected_answers_410_and_says_what_to_do(
    client: TestClient, version: str, manifest: Manifest, second: str, method: str
) -> None:
    there = LocalStore(client.app.state.catalog.folder).manifest("demo", second)  # type: ignore[attr-defined]
    gone = {blob.path for blob in manifest.blobs()} - {blob.path for blob in there.blobs()}
    assert gone
    base = f"demo/versions/{version}"
    files = ("manifest.json", "dataset_stats.json", "report.html")
    paths = [base, *(f"{base}/{file}" for file in files), *gone]
    for path in paths:
        assert client.request(method, f"/datasets/{path}").status_code == 200
    client.post("/gc", json=NOW)
    for path in paths:
        response = client.request(method, f"/datasets/{path}")
        assert (response.status_code, response.headers["cache-control"]) == (410, "no-store")
        if method == "GET":
            detail = response.json()["detail"]
            assert f"version {version} of data set 'demo' was collected on 20" in detail
            assert "nobody held a lease" in detail
            assert "--keep" in detail
            assert "GET /datasets/demo/versions lists" in detail
    for path in (f"blobs/{'0' * 64}.tar.zst", f"demo/versions/{'0' * 64}"):
        assert client.request(method, f"/datasets/{path}").status_code == 404


def test_lists_have_collected_versions_with_their_date(
    client: TestClient, version: str, second: str
) -> None:
    published = client.get("/datasets/demo/versions").json()["versions"][0]["published"]
    client.post("/gc", json=NOW)
    old, new = client.get("/datasets/demo/versions").json()["versions"]
    assert (old["version"], old["latest"], old["samples"]) == (version, False, None)
    assert old["retired"].startswith("20")
    assert old["published"][:19] == published[:19]
    assert (new["version"], new["latest"], new["retired"]) == (second, True, None)
    page = client.get("/datasets/demo").json()
    assert (page["latest"], page["versions"]) == (second, [second])
    assert client.get("/readyz").json()["datasets"] == ["demo"]


def test_a_version_that_is_built_again_is_served_again(
    client: TestClient, version: str, manifest: Manifest, second: str, rebuild: Callable[[int], str]
) -> None:
    client.post("/gc", json=NOW)
    assert rebuild(0) == version
    for path in (f"demo/versions/{version}/manifest.json", *(b.path for b in manifest.blobs())):
        assert client.get(f"/datasets/{path}").status_code == 200
    entries = client.get("/datasets/demo/versions").json()["versions"]
    assert [(entry["version"], entry["retired"]) for entry in entries] == [
        (second, None),
        (version, None),
    ]


def test_what_cannot_be_read_stops_a_collection_with_a_sentence(
    client: TestClient, data_dir: Path, version: str, second: str
) -> None:
    path = data_dir / "datasets" / "demo" / "versions" / version / "manifest.json"
    path.write_bytes(b"{}")
    response = client.post("/gc", json=NOW)
    assert response.status_code == 500
    assert "nothing is removed" in response.json()["detail"]
    assert client.get(f"/datasets/demo/versions/{second}").status_code == 200


@pytest.mark.parametrize("asked", [False, True])
def test_old_versions_are_collected_after_a_build_only_where_that_is_set(
    new_app: Callable[..., FastAPI], data_dir: Path, version: str, second: str, asked: bool
) -> None:
    rules = {"keep_versions": 1, "collect_grace_s": 0, "collect_after_build": asked}
    # the end of the block waits for the job and what follows it
    with TestClient(new_app(data_dir, **rules)) as client:
        client.app.state.leases.clock = lambda: time.time() + 1  # type: ignore[attr-defined]
        job = client.post("/reshard").json()["id"]
        client.portal.call(client.app.state.runner.wait, job)  # type: ignore[union-attr,attr-defined]
        assert client.get(f"/jobs/{job}").json()["state"] == "succeeded"
    versions = LocalStore(data_dir / "datasets").versions("demo")
    assert versions == ([second] if asked else [version, second])
