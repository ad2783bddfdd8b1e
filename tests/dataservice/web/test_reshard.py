"""POST /reshard and /jobs: what is queued, what is refused, and what a job's page says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dataservice.jobs.request import RequestError
from dataservice.web.job_routes import MAX_BODY_BYTES, parse_body

WaitForJob = Callable[[TestClient, str], dict[str, Any]]
NewClient = Callable[..., TestClient]


def test_a_reshard_is_accepted_with_the_jobs_page_and_place(
    client: TestClient, wait_for_job: WaitForJob
) -> None:
    response = client.post("/reshard", json={"name": "fine", "vocab_size": 800})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert (job["state"], job["dataset"]) == ("queued", "fine")
    assert job["settings"] == {"name": "fine", "vocab_size": 800}
    ended = wait_for_job(client, job["id"])
    assert ended["state"] == "succeeded"
    assert ended["version"] == "ab" * 32
    assert ended["url"] == f"http://testserver/datasets/fine/versions/{'ab' * 32}"
    assert client.get("/jobs").json()["jobs"] == [ended]


@pytest.mark.parametrize("body", [b"", b" \n", b"{}"])
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_no_settings_are_the_services_own(
    client: TestClient, wait_for_job: WaitForJob, body: bytes, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    job = client.post("/reshard", content=body, headers=headers).json()
    assert (job["dataset"], job["settings"]) == ("demo", {})
    wait_for_job(client, job["id"])


def test_jobs_are_listed_newest_first_up_to_the_limit(
    client: TestClient, wait_for_job: WaitForJob
) -> None:
    ids = [client.post("/reshard").json()["id"] for _ in range(3)]
    wait_for_job(client, ids[-1])
    assert [job["id"] for job in client.get("/jobs").json()["jobs"]] == ids[::-1]
    assert [job["id"] for job in client.get("/jobs?limit=2").json()["jobs"]] == ids[:0:-1]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_failed_jobs_page_says_why(
    client: TestClient, wait_for_job: WaitForJob, method: str
) -> None:
    job = client.post("/reshard", json={"name": "refused"}).json()
    page = wait_for_job(client, job["id"])
    assert (page["state"], page["url"]) == ("failed", None)
    assert page["error"] == "no pair is left to build from"
    assert client.request(method, f"/jobs/{job['id']}").status_code == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"[1]", "JSON list"),
        (b'"text"', "JSON str"),
        (b"null", "JSON NoneType"),
        (b"{", "no JSON object"),
        (b"vocab_size=4000", "send for example"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"max_length_ratio": 1e999}', "not JSON compliant"),
        (b'{"a": "\\ud800"}', "surrogates"),
        (b"\xff\xfe{", "no JSON object"),
        (b'{"a": ' + b"[" * 200_000, "nested too deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "digits"),
    ],
)
def test_a_body_that_is_no_object_of_settings_is_refused(body: bytes, named: str) -> None:
    with pytest.raises(RequestError, match="nothing was queued") as caught:
        parse_body(body)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"vocab_siz": 800}, 422, "did you mean 'vocab_size'?"),
        ({"vocab_size": 1}, 422, "vocab_size = 1"),
        ({"vocab_size": "many", "val_fraction": 7}, 422, "val_fraction = 7"),
        ({"data_dir": "/etc"}, 422, "belongs to the service"),
        ({"processes": 99}, 422, "belongs to the service"),
        ({"name": "../../etc"}, 422, "'../../etc'"),
        ({"sources": ["/etc/passwd"]}, 403, "--source-root"),
        ([], 422, "JSON list"),
    ],
)
def test_a_refused_reshard_says_why_and_leaves_no_job(
    client: TestClient, body: object, status: int, named: str
) -> None:
    response = client.post("/reshard", json=body)
    assert response.status_code == status
    assert named in response.json()["detail"]
    assert client.get("/jobs").json() == {"jobs": []}


def test_a_source_below_the_source_root_is_built_from(
    new_client: NewClient, corpus: Path, data_dir: Path, wait_for_job: WaitForJob
) -> None:
    client = new_client(data_dir, source_root=corpus.parent)
    job = client.post("/reshard", json={"sources": [corpus.name]}).json()
    assert job["settings"] == {"sources": [corpus.name]}
    assert wait_for_job(client, job["id"])["state"] == "succeeded"
    refused = client.post("/reshard", json={"sources": [str(data_dir / "secret.jsonl")]})
    assert (refused.status_code, "is not below" in refused.json()["detail"]) == (403, True)


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_refused_without_being_kept(
    client: TestClient, declared: bool
) -> None:
    piece = b" " * (MAX_BODY_BYTES // 4)
    content = piece * 5 if declared else iter([piece] * 5)
    response = client.post("/reshard", content=content)
    assert response.status_code == 413
    assert str(MAX_BODY_BYTES) in response.json()["detail"]
    assert client.get("/jobs").json() == {"jobs": []}


def test_a_body_at_the_limit_is_read(client: TestClient, wait_for_job: WaitForJob) -> None:
    response = client.post("/reshard", content=b" " * (MAX_BODY_BYTES - 2) + b"{}")
    assert response.status_code == 202
    wait_for_job(client, response.json()["id"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site", "origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://testserver:1"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://testserver"}, 202),
        ({"origin": "http://testserver"}, 202),
        ({"sec-fetch-site": "none"}, 202),
    ],
)
def test_a_web_page_of_another_site_starts_no_build(
    client: TestClient, wait_for_job: WaitForJob, headers: dict[str, str], status: int
) -> None:
    response = client.post("/reshard", headers=headers)
    assert response.status_code == status
    if status == 202:
        wait_for_job(client, response.json()["id"])


def test_too_many_jobs_are_refused_until_some_have_ended(
    new_client: NewClient, data_dir: Path
) -> None:
    client = new_client(data_dir, max_queued=0)
    response = client.post("/reshard")
    assert response.status_code == 429
    assert "GET /jobs" in response.json()["detail"]


def test_an_empty_store_gets_its_first_job_on_start(
    new_client: NewClient, tmp_path: Path, wait_for_job: WaitForJob
) -> None:
    client = new_client(tmp_path, build_on_start=True)
    (job,) = client.get("/jobs").json()["jobs"]
    assert (job["dataset"], job["settings"]) == ("demo", {})
    assert wait_for_job(client, job["id"])["state"] == "succeeded"


@pytest.mark.parametrize("build_on_start", [True, False])
def test_a_store_with_a_version_gets_no_job_on_start(
    new_client: NewClient, data_dir: Path, build_on_start: bool
) -> None:
    client = new_client(data_dir, build_on_start=build_on_start)
    assert client.get("/jobs").json() == {"jobs": []}


def test_what_is_not_ready_names_the_first_job_and_then_its_failure(
    new_client: NewClient, tmp_path: Path, wait_for_job: WaitForJob
) -> None:
    client = new_client(tmp_path, build_on_start=True, name="refused")
    (job,) = client.get("/jobs").json()["jobs"]
    assert job["id"] in client.get("/readyz").json()["detail"]
    wait_for_job(client, job["id"])
    assert "no pair is left" in client.get("/readyz").json()["detail"]
    assert "no pair is left" in client.get("/datasets").json()["hint"]


def test_jobs_outlive_the_service(
    new_app: Callable[..., FastAPI], data_dir: Path, wait_for_job: WaitForJob
) -> None:
    with TestClient(new_app(data_dir)) as first:
        page = wait_for_job(first, first.post("/reshard").json()["id"])
    with TestClient(new_app(data_dir)) as second:
        assert second.get("/jobs").json() == {"jobs": [page]}
