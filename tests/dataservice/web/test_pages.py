"""The JSON pages: what they say of data sets, versions, damage and an empty store."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from dataservice.prepare.build import build
from dataservice.settings import BuildSettings
from shards.manifest import Manifest

ROOT = "http://testserver/datasets"


@pytest.fixture
def second(data_dir: Path, small: dict[str, object]) -> str:
    """A second version of the same data set."""
    values = {**small, "data_dir": data_dir, "split_seed": 1}
    return build(BuildSettings.model_validate(values)).version


def test_the_list_of_data_sets_says_what_a_trainer_is_pointed_at(
    client: TestClient, version: str
) -> None:
    page = client.get("/datasets").json()
    assert page == {
        "datasets": [
            {
                "name": "demo",
                "latest": version,
                "url": f"{ROOT}/demo",
                "versions_url": f"{ROOT}/demo/versions",
                "latest_url": f"{ROOT}/demo/versions/{version}",
                "report_url": f"{ROOT}/demo/versions/{version}/report.html",
                "samples": 500,
                "problem": None,
            }
        ],
        "hint": None,
    }


def test_versions_come_oldest_first_and_one_is_the_latest(
    client: TestClient, version: str, second: str
) -> None:
    page = client.get("/datasets/demo").json()
    assert (page["latest"], page["versions"]) == (second, [version, second])
    entries = client.get("/datasets/demo/versions").json()["versions"]
    assert [(entry["version"], entry["latest"]) for entry in entries] == [
        (version, False),
        (second, True),
    ]
    for entry in entries:
        assert entry["url"] == f"{ROOT}/demo/versions/{entry['version']}"
        assert (entry["samples"], entry["vocab_size"]) == (500, 700)
        assert entry["sources"] == {"houses": 500}
        assert entry["tokens"] > 5000


def test_a_version_in_short_agrees_with_its_manifest(
    client: TestClient, version: str, manifest: Manifest
) -> None:
    page = client.get(f"/datasets/demo/versions/{version}").json()
    assert set(page["splits"]) == {"train", "val"}
    for name, split in manifest.splits.items():
        assert page["splits"][name]["samples"] == split.samples
        assert page["splits"][name]["src_tokens"] == split.src_tokens
        assert page["splits"][name]["bytes"] == sum(shard.bytes for shard in split.shards)
    assert page["funnel"]["kept"] == 500
    assert page["tokenizer"]["url"] == f"{ROOT}/{manifest.tokenizer.path}"
    assert "shards" not in page
    for link in ("manifest_url", "stats_url", "report_url"):
        assert client.get(page[link]).status_code == 200
    assert client.head(page["tokenizer"]["url"]).status_code == 200


def test_a_version_without_a_report_has_no_link_to_one(
    client: TestClient, data_dir: Path, version: str
) -> None:
    assert client.get("/datasets/demo").json()["report_url"].endswith("/report.html")
    (data_dir / "datasets/demo/versions" / version / "report.html").unlink()
    for path in ("/datasets/demo", f"/datasets/demo/versions/{version}"):
        assert client.get(path).json()["report_url"] is None


@pytest.mark.parametrize(
    "path",
    ["/", "/datasets", "/datasets/demo", "/datasets/demo/versions", "/healthz", "/readyz", "/jobs"],
)
def test_pages_answer_head_and_are_asked_for_again(client: TestClient, path: str) -> None:
    for method in ("GET", "HEAD"):
        response = client.request(method, path)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-cache"


def test_every_link_of_the_first_page_leads_somewhere(client: TestClient) -> None:
    links = client.get("/").json()["links"]
    assert links.pop("reshard (POST)") == "http://testserver/reshard"
    assert {client.get(link).status_code for link in links.values()} == {200}


def test_openapi_describes_pages_errors_and_requests(client: TestClient) -> None:
    schema: dict[str, Any] = client.get("/openapi.json").json()
    body = schema["paths"]["/reshard"]["post"]["requestBody"]["content"]["application/json"]
    properties = body["schema"]["properties"]
    assert properties["vocab_size"]["minimum"] == 400
    assert not {"data_dir", "processes", "port"} & set(properties)
    assert "$ref" not in str(properties)
    answer = schema["paths"]["/datasets/{name}"]["get"]["responses"]
    assert answer["200"]["content"]["application/json"]["schema"]["$ref"].endswith("DatasetPage")
    assert answer["404"]["content"]["application/json"]["schema"]["$ref"].endswith("ErrorPage")
    assert all("head" not in methods for methods in schema["paths"].values())


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/datasets/absent", 404, "but demo"),
        ("/datasets/absent/versions", 404, "'absent'"),
        ("/datasets/.tmp-x", 404, "'.tmp-x'"),
        ("/datasets/blobs", 404, "not 'blobs'"),
        ("/datasets/demo/versions/12", 404, "'12' is no version"),
        ("/nowhere", 404, "'/nowhere'"),
        ("/jobs/../jobs", 200, ""),
        ("/jobs/absent", 404, "no job 'absent'"),
        (
            "/jobs?limit=0",
            422,
            "parameter limit = '0': give a whole number from 1 to 10000; nothing",
        ),
        ("/jobs?limit=many", 422, "parameter limit = 'many': give a whole number from 1 to 10000"),
        ("/reshard", 405, "GET"),
    ],
)
def test_errors_are_one_sentence_that_names_the_thing(
    client: TestClient, path: str, status: int, named: str
) -> None:
    response = client.get(path)
    assert response.status_code == status
    if status != 200:
        assert named in response.json()["detail"]


def test_a_long_name_does_not_make_a_long_error(client: TestClient) -> None:
    assert len(client.get("/datasets/" + "x" * 50_000).content) < 10_000


def test_an_empty_store_says_what_to_do(
    new_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = new_client(tmp_path)
    assert client.get("/datasets").json() == {
        "datasets": [],
        "hint": "there is no data set yet; POST /reshard builds one",
    }
    ready = client.get("/readyz")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "5")
    assert "POST /reshard" in ready.json()["detail"]
    assert client.get("/healthz").json() == {"status": "ok"}
    assert "nor any other yet" in client.get("/datasets/demo/latest.json").json()["detail"]


def test_a_version_whose_blobs_are_there_is_ready(client: TestClient) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ready", "datasets": ["demo"]},
    )


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_blob_that_is_missing_or_cut_is_not_ready(
    client: TestClient, data_dir: Path, manifest: Manifest, damage: str
) -> None:
    path = data_dir / "datasets" / manifest.splits["val"].shards[0].path
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, 10)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert path.name in response.json()["detail"]


def test_a_damaged_manifest_is_told_and_hides_no_other_version(
    client: TestClient, data_dir: Path, version: str, second: str
) -> None:
    (data_dir / "datasets/demo/versions" / version / "manifest.json").write_text("{}")
    entries = client.get("/datasets/demo/versions").json()["versions"]
    by_version = {entry["version"]: entry for entry in entries}
    assert "damaged" in by_version[version]["problem"]
    assert by_version[version]["samples"] is None
    assert by_version[second]["samples"] == 500
    response = client.get(f"/datasets/demo/versions/{version}")
    assert response.status_code == 500
    assert "build the data set again" in response.json()["detail"]
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("content", ["", "[]", '{"version": "x"}', '{"version": 5}'])
def test_a_damaged_pointer_is_told_and_hides_no_other_data_set(
    client: TestClient, data_dir: Path, content: str
) -> None:
    broken = data_dir / "datasets/broken/latest.json"
    broken.parent.mkdir()
    broken.write_text(content)
    entries = {entry["name"]: entry for entry in client.get("/datasets").json()["datasets"]}
    assert "broken/latest.json" in entries["broken"]["problem"]
    assert entries["demo"]["problem"] is None
    assert client.get("/readyz").json()["datasets"] == ["demo"]


def test_a_folder_that_no_url_could_name_is_not_listed(client: TestClient, data_dir: Path) -> None:
    stray = data_dir / "datasets/a b/latest.json"
    stray.parent.mkdir()
    stray.write_text("{}")
    page = client.get("/datasets").json()
    assert [entry["name"] for entry in page["datasets"]] == ["demo"]
