"""Files below /datasets: their headers, ranges and ETags, and what is not there."""

import hashlib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dataservice.web.blobs import is_known
from shards.manifest import Manifest
from shards.store import LocalStore

IMMUTABLE = "public, max-age=31536000, immutable"
FILES = ("latest", "manifest", "stats", "report", "shard", "model")


@pytest.fixture
def paths(manifest: Manifest, version: str) -> dict[str, str]:
    """What a test asks for → its path below /datasets and below the store's folder alike."""
    return {
        "latest": "demo/latest.json",
        "manifest": f"demo/versions/{version}/manifest.json",
        "stats": f"demo/versions/{version}/dataset_stats.json",
        "report": f"demo/versions/{version}/report.html",
        "shard": manifest.splits["train"].shards[0].path,
        "model": manifest.tokenizer.path,
    }


@pytest.fixture(params=FILES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_comes_with_its_length_type_and_strong_etag(
    client: TestClient, data_dir: Path, paths: dict[str, str], kind: str, method: str
) -> None:
    data = (data_dir / "datasets" / paths[kind]).read_bytes()
    response = client.request(method, f"/datasets/{paths[kind]}")
    types = {
        "shard": "application/zstd",
        "model": "application/octet-stream",
        "report": "text/html; charset=utf-8",
    }
    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(data))
    assert response.headers["content-type"] == types.get(kind, "application/json")
    assert response.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert response.headers["cache-control"] == ("no-cache" if kind == "latest" else IMMUTABLE)
    assert "content-encoding" not in response.headers
    if method == "GET":
        assert response.content == data


def test_the_etags_of_named_content_are_the_names(
    client: TestClient, paths: dict[str, str], version: str, manifest: Manifest
) -> None:
    assert client.head(f"/datasets/{paths['manifest']}").headers["etag"] == f'"{version}"'
    for blob in manifest.blobs():
        assert client.head(f"/datasets/{blob.path}").headers["etag"] == f'"{blob.sha256}"'


def test_no_compression_is_added_for_clients_that_would_take_it(
    client: TestClient, paths: dict[str, str], kind: str
) -> None:
    response = client.get(f"/datasets/{paths[kind]}", headers={"accept-encoding": "gzip, zstd"})
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"a","b" , W/{}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_the_client_has_is_not_sent_again(
    client: TestClient, paths: dict[str, str], kind: str, method: str, form: str
) -> None:
    url = f"/datasets/{paths[kind]}"
    etag = client.head(url).headers["etag"]
    response = client.request(method, url, headers={"if-none-match": form.format(etag)})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag
    assert "cache-control" in response.headers


@pytest.mark.parametrize("value", ['"other"', "", '"*"', "garbage"])
def test_a_file_that_the_client_has_not_is_sent(
    client: TestClient, paths: dict[str, str], kind: str, value: str
) -> None:
    response = client.get(f"/datasets/{paths[kind]}", headers={"if-none-match": value})
    assert (response.status_code, bool(response.content)) == (200, True)


@pytest.mark.parametrize(
    ("lines", "known"),
    [([], False), (['"a"'], True), (['"b"', '"a"'], True), (["a"], False), ([' W/"a" '], True)],
)
def test_if_none_match_is_read_as_the_standard_says(lines: list[str], known: bool) -> None:
    assert is_known(lines, '"a"') is known


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-", 10, None),
        ("bytes=-5", -5, None),
        ("bytes=3-99999999", 3, None),
        ("bytes=0-99", 0, 100),
        ("bytes=-99999999", 0, None),
    ],
)
@pytest.mark.parametrize("kind", ["shard", "model", "manifest", "stats"])
def test_a_range_gives_exactly_its_bytes(
    client: TestClient,
    data_dir: Path,
    paths: dict[str, str],
    kind: str,
    header: str,
    start: int,
    end: int | None,
) -> None:
    data = (data_dir / "datasets" / paths[kind]).read_bytes()
    response = client.get(f"/datasets/{paths[kind]}", headers={"range": header})
    expected = data[start:end]
    first = start % len(data)
    assert response.status_code == 206
    assert response.content == expected
    assert response.headers["content-length"] == str(len(expected))
    last = first + len(expected) - 1
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(data)}"
    assert response.headers["etag"] == client.head(f"/datasets/{paths[kind]}").headers["etag"]


def test_a_range_behind_the_end_is_refused_with_the_size(
    client: TestClient, manifest: Manifest
) -> None:
    size = manifest.tokenizer.bytes
    url = f"/datasets/{manifest.tokenizer.path}"
    response = client.get(url, headers={"range": f"bytes={size}-"})
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(
    ("form", "status"), [('"{}"', 206), ('W/"{}"', 200), ('"0{}"', 200), ("{}", 200)]
)
def test_a_range_holds_only_if_the_file_is_still_the_same(
    client: TestClient, manifest: Manifest, form: str, status: int
) -> None:
    blob = manifest.tokenizer
    headers = {"range": "bytes=7-", "if-range": form.format(blob.sha256)}
    response = client.get(f"/datasets/{blob.path}", headers=headers)
    assert response.status_code == status
    assert len(response.content) == blob.bytes - (7 if status == 206 else 0)


def test_a_file_larger_than_a_piece_comes_whole(client: TestClient, data_dir: Path) -> None:
    data = bytes(range(256)) * 10_001
    info = LocalStore(data_dir / "datasets").put_blob(data, ".tar.zst")
    response = client.get(f"/datasets/{info.path}")
    assert response.content == data
    part = client.get(f"/datasets/{info.path}", headers={"range": "bytes=1000000-2200000"})
    assert part.content == data[1_000_000:2_200_001]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("nothing/latest.json", "'nothing'"),
        ("nothing/latest.json", "demo"),
        ("demo/versions/{zeros}/manifest.json", "demo/versions lists"),
        ("demo/versions/{zeros}/dataset_stats.json", "0000"),
        ("demo/versions/abc/manifest.json", "'abc' is no version"),
        ("demo/versions/{upper}/manifest.json", "is no version"),
        ("blobs/{zeros}.tar.zst", "no blob 0000"),
        ("blobs/{zeros}", "no blob 0000"),
        ("blobs/{upper}.model", "is no name of a blob"),
        ("blobs/.tmp-abcdefgh", "is no name of a blob"),
        ("blobs", "'blobs'"),
        ("blobs/latest.json", "is no name of a blob"),
        ("demo/versions/{zeros}/.tmp-abcdefgh", "nothing at"),
        ("demo/.tmp-abcdefgh", "nothing at"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_there_is_404_with_a_sentence_that_helps(
    client: TestClient, path: str, named: str, method: str
) -> None:
    url = "/datasets/" + path.format(zeros="0" * 64, upper="A" * 64)
    response = client.request(method, url)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    if method == "GET":
        assert named in response.json()["detail"]


def test_a_version_is_there_only_once_its_manifest_is(
    client: TestClient, data_dir: Path, version: str
) -> None:
    (data_dir / "datasets/demo/versions" / version / "manifest.json").unlink()
    for file in ("manifest.json", "dataset_stats.json", "report.html"):
        assert client.get(f"/datasets/demo/versions/{version}/{file}").status_code == 404


@pytest.mark.parametrize("file", ["dataset_stats.json", "report.html"])
def test_statistics_that_were_removed_point_to_the_manifest(
    client: TestClient, data_dir: Path, version: str, file: str
) -> None:
    (data_dir / "datasets/demo/versions" / version / file).unlink()
    response = client.get(f"/datasets/demo/versions/{version}/{file}")
    assert response.status_code == 404
    assert f"has no {file}; its manifest.json has the same" in response.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_report_may_load_and_run_nothing(
    client: TestClient, paths: dict[str, str], method: str
) -> None:
    response = client.request(method, f"/datasets/{paths['report']}")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_folder_in_place_of_a_blob_is_no_blob(client: TestClient, data_dir: Path) -> None:
    (data_dir / "datasets/blobs" / ("0" * 64)).mkdir()
    assert client.get("/datasets/blobs/" + "0" * 64).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_files_cannot_be_written(client: TestClient, paths: dict[str, str], method: str) -> None:
    response = client.request(method, f"/datasets/{paths['latest']}")
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert method in response.json()["detail"]
