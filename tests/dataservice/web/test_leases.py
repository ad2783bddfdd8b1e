"""Leases over HTTP: held, renewed, given back, expired, lost, bounded; and back after a restart."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dataservice.collect.leases import LeaseFolder
from shards.store import LocalStore


@pytest.fixture
def url(version: str) -> str:
    return f"/datasets/demo/versions/{version}/leases"


@pytest.fixture
def leases(client: TestClient) -> LeaseFolder:
    """The leases of the service; `clock` may be replaced."""
    found: LeaseFolder = client.app.state.leases  # type: ignore[attr-defined]
    return found


def test_a_lease_says_until_when_it_holds_and_where_it_is_renewed(
    client: TestClient, leases: LeaseFolder, url: str, version: str
) -> None:
    leases.clock = lambda: 1.8e9
    response = client.post(url, json={"holder": "gpu-box", "ttl_s": 60})
    page = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == page["url"] == f"http://testserver{url}/{page['id']}"
    assert {**page, "id": "", "url": ""} == {
        "id": "",
        "url": "",
        "dataset": "demo",
        "version": version,
        "holder": "gpu-box",
        "ttl_s": 60,
        "created": "2027-01-15T08:00:00Z",
        "expires_at": "2027-01-15T08:01:00Z",
    }
    assert client.get(url).json() == {"name": "demo", "version": version, "leases": [page]}


def test_a_lease_lasts_an_hour_unless_it_says_otherwise(client: TestClient, url: str) -> None:
    assert client.post(url, json={"holder": "x"}).json()["ttl_s"] == 3600


def test_curl_needs_no_content_type(client: TestClient, url: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post(url, content=b'{"holder": "x"}', headers=headers).status_code == 201


def test_a_renewal_holds_on_from_now(client: TestClient, leases: LeaseFolder, url: str) -> None:
    leases.clock = lambda: 1.8e9
    page = client.post(url, json={"holder": "x", "ttl_s": 60}).json()
    leases.clock = lambda: 1.8e9 + 50
    renewed = client.put(page["url"]).json()
    assert (renewed["id"], renewed["expires_at"]) == (page["id"], "2027-01-15T08:01:50Z")
    longer = client.put(page["url"], json={"ttl_s": 3600}).json()
    assert (longer["ttl_s"], longer["expires_at"]) == (3600, "2027-01-15T09:00:50Z")
    assert client.get(url).json()["leases"] == [longer]


def test_a_lease_that_has_expired_is_not_listed_and_can_be_renewed_until_it_is_cleared(
    client: TestClient, leases: LeaseFolder, url: str
) -> None:
    start = time.time()
    page = client.post(url, json={"holder": "x", "ttl_s": 60}).json()
    leases.clock = lambda: start + 100
    assert client.get(url).json()["leases"] == []
    assert client.put(page["url"]).status_code == 200
    leases.clock = lambda: start + 1000
    assert client.post("/gc").json()["expired_leases"] == 1
    response = client.put(page["url"])
    assert response.status_code == 404
    assert "acquire another with POST" in response.json()["detail"]


def test_a_lease_that_is_given_back_is_gone(client: TestClient, url: str) -> None:
    page = client.post(url, json={"holder": "x"}).json()
    response = client.delete(page["url"])
    assert (response.status_code, response.content) == (204, b"")
    assert client.get(url).json()["leases"] == []
    assert client.delete(page["url"]).status_code == 404
    assert client.put(page["url"]).status_code == 404


def test_leases_are_there_after_a_restart(
    new_app: Callable[..., FastAPI],
    new_client: Callable[..., TestClient],
    data_dir: Path,
    url: str,
) -> None:
    with TestClient(new_app(data_dir)) as client:
        page = client.post(url, json={"holder": "x"}).json()
    again = new_client(data_dir)
    assert again.get(url).json()["leases"] == [page]
    assert again.put(page["url"]).status_code == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "setting holder is missing: give text of 1 to 200 characters"),
        ({"holder": ""}, "holder"),
        ({"holder": "a\nb"}, "printable"),
        ({"holder": "x" * 201}, "200"),
        ({"holder": "x", "ttl_s": 0}, "ttl_s"),
        ({"holder": "x", "ttl_s": 604_801}, "604800"),
        ({"holder": "x", "tll_s": 60}, "did you mean 'ttl_s'"),
        ([], "[] is no mapping of settings"),
        ("\ud800", ""),
    ],
)
def test_a_request_that_cannot_work_is_refused_and_holds_nothing(
    client: TestClient, url: str, body: Any, told: str
) -> None:
    response = client.post(url, content=json.dumps(body).encode())
    assert response.status_code == 422
    detail = response.json()["detail"]
    assert any(part in detail for part in told.split("|"))
    assert detail.endswith("nothing was done")
    assert client.get(url).json()["leases"] == []


def test_a_body_without_end_is_refused(client: TestClient, url: str) -> None:
    assert client.post(url, content=b" " * (1 << 17)).status_code == 413


@pytest.mark.parametrize(
    "path", ["absent/versions/{}", "demo/versions/" + "0" * 64, "demo/versions/x"]
)
def test_only_versions_that_are_there_are_held(client: TestClient, version: str, path: str) -> None:
    url = f"/datasets/{path.format(version)}/leases"
    assert client.post(url, json={"holder": "x"}).status_code == 404
    assert client.put(f"{url}/{'0' * 32}").status_code == 404
    assert client.get(url).status_code == 404


@pytest.mark.parametrize("lease", ["0" * 32, "..%2f..%2fjobs%2flock", "%00"])
def test_no_lease_of_another_kind_is_found(client: TestClient, url: str, lease: str) -> None:
    client.post(url, json={"holder": "x"})
    assert client.delete(f"{url}/{lease}").status_code == 404
    assert client.put(f"{url}/{lease}").status_code == 404
    assert len(client.get(url).json()["leases"]) == 1


def test_a_lease_belongs_to_its_version(client: TestClient, data_dir: Path, url: str) -> None:
    store = LocalStore(data_dir / "datasets")
    (version,) = store.versions("demo")
    store.commit("other", store.manifest("demo", version))
    lease = client.post(url, json={"holder": "x"}).json()["id"]
    other = url.replace("demo", "other")
    assert client.delete(f"{other}/{lease}").status_code == 404
    assert client.get(other).json()["leases"] == []
    assert len(client.get(url).json()["leases"]) == 1


def test_the_number_of_leases_is_bounded_and_those_that_ended_do_not_count(
    client: TestClient, leases: LeaseFolder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_max_leases", 2)
    pages = [client.post(url, json={"holder": "x"}).json() for _ in range(2)]
    response = client.post(url, json={"holder": "x"})
    assert response.status_code == 429
    assert "2 leases are held already" in response.json()["detail"]
    client.delete(pages[0]["url"])
    assert client.post(url, json={"holder": "x"}).status_code == 201


def test_records_of_leases_that_ended_are_never_more_than_may_be_held(
    client: TestClient, leases: LeaseFolder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_max_leases", 3)
    for number in range(10):
        leases.clock = lambda number=number: 1.8e9 + 2 * number  # type: ignore[misc]
        page = client.post(url, json={"holder": str(number), "ttl_s": 1}).json()
        assert len(list(leases.folder.iterdir())) == min(number + 1, 3)
    leases.clock = lambda: 1.8e9 + 60
    assert client.put(page["url"]).status_code == 200, "those that ended last stay the longest"


def test_a_lease_that_ended_an_hour_ago_is_cleared_away_by_the_next(
    client: TestClient, leases: LeaseFolder, url: str
) -> None:
    ids = []
    for second in (0, 3600, 3661):
        leases.clock = lambda second=second: 1.8e9 + second  # type: ignore[misc]
        ids.append(client.post(url, json={"holder": "x", "ttl_s": 60}).json()["id"])
    assert {path.stem for path in leases.folder.iterdir()} == set(ids[1:])


def test_a_lease_that_cannot_be_read_keeps_nobody_from_another_and_stays(
    client: TestClient, leases: LeaseFolder, url: str
) -> None:
    old = client.post(url, json={"holder": "x"}).json()["id"]
    path = leases.folder / f"{old}.json"
    path.write_bytes(b"{")
    page = client.post(url, json={"holder": "y"})
    assert page.status_code == 201
    assert client.put(page.json()["url"]).status_code == 200
    assert path.read_bytes() == b"{"
    response = client.post("/gc")
    assert response.status_code == 500
    assert f"{path} cannot be read" in response.json()["detail"]


def test_no_page_of_another_site_takes_a_lease_or_collects(client: TestClient, url: str) -> None:
    headers = {"origin": "http://evil.example"}
    for method, path in (("POST", url), ("PUT", f"{url}/{'0' * 32}"), ("POST", "/gc")):
        assert client.request(method, path, headers=headers).status_code == 403


def test_while_a_collection_runs_leases_wait_and_downloads_do_not(
    client: TestClient, data_dir: Path, url: str, version: str
) -> None:
    statuses: list[int] = []

    def hold() -> None:
        statuses.append(client.post(url, json={"holder": "x"}).status_code)

    threads = [threading.Thread(target=hold) for _ in range(50)]
    with LocalStore(data_dir / "datasets").lock():
        for thread in threads:
            thread.start()
        for path in (f"versions/{version}/dataset_stats.json", "", "versions"):
            assert client.get(f"/datasets/demo/{path}".rstrip("/")).status_code == 200
        assert statuses == []
    for thread in threads:
        thread.join()
    assert statuses == [201] * 50


def test_openapi_says_what_a_lease_and_a_collection_take(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    lease = paths["/datasets/{name}/versions/{version}/leases"]["post"]
    body = lease["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert (body["ttl_s"]["maximum"], body["holder"]["maxLength"]) == (604_800, 200)
    body = paths["/gc"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"keep", "grace_s", "dry_run"}
