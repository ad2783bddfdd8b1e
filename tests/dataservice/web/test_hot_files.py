"""What is answered ahead of the routes: the same as by them, at once new, bounded in memory."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dataservice.web.files import StoreFiles
from shards.manifest import Manifest, canonical_json

CONDITIONS: tuple[dict[str, str], ...] = (
    {},
    {"if-none-match": "ETAG"},
    {"if-none-match": '"a", W/ETAG'},
    {"if-none-match": '"a"'},
    {"range": "bytes=3-9"},
    {"range": "bytes=0-1,4-5"},
    {"range": "bytes=99999999-"},
    {"range": "bytes=3-9", "if-range": "ETAG"},
    {"range": "bytes=3-9", "if-range": '"a"'},
    {"range": "bytes=3-9", "if-none-match": "ETAG"},
    {"range": "nonsense"},
)


@pytest.fixture
def routes_alone(
    new_app: Callable[..., FastAPI], data_dir: Path, tmp_path: Path
) -> Iterator[TestClient]:
    """A client of the app without what is put ahead of its routes, over the same files."""
    app = new_app(shutil.copytree(data_dir, tmp_path / "alone"))
    with TestClient(partial(FastAPI.__call__, app)) as client:
        yield client


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
def test_an_answer_ahead_of_the_routes_is_the_one_that_they_give(
    client: TestClient,
    routes_alone: TestClient,
    manifest: Manifest,
    version: str,
    method: str,
    condition: dict[str, str],
) -> None:
    blobs = [manifest.splits["train"].shards[0].path, manifest.tokenizer.path]
    for path in (*blobs, f"demo/versions/{version}/manifest.json", "demo/latest.json"):
        url = f"/datasets/{path}"
        etag = routes_alone.head(url).headers["etag"]
        headers = {name: value.replace("ETAG", etag) for name, value in condition.items()}
        here, there = (c.request(method, url, headers=headers) for c in (client, routes_alone))
        assert here.status_code == there.status_code
        left_out = {"content-type"} if "0-1,4-5" in condition.get("range", "") else set()
        ours, theirs = ({**r.headers} for r in (here, there))
        assert {k: v for k, v in ours.items() if k not in left_out} == {
            k: v for k, v in theirs.items() if k not in left_out
        }
        if not left_out:  # the parts of a multipart body are parted by random text
            assert here.content == there.content


def test_a_new_pointer_is_seen_at_once(client: TestClient, data_dir: Path) -> None:
    path = data_dir / "datasets" / "demo" / "latest.json"
    before = path.stat()
    for digit in "123":
        new = path.with_name("new")
        new.write_bytes(canonical_json({"version": digit * 64}))
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))  # of the same size and age
        new.replace(path)
        assert client.get("/datasets/demo/latest.json").json() == {"version": digit * 64}


def test_a_manifest_that_was_removed_is_gone_at_once(
    client: TestClient, data_dir: Path, version: str
) -> None:
    url = f"/datasets/demo/versions/{version}/manifest.json"
    assert client.get(url).status_code == 200
    (data_dir / "datasets/demo/versions" / version / "manifest.json").unlink()
    assert client.get(url).status_code == 404
    assert client.get(url, headers={"if-none-match": f'"{version}"'}).status_code == 404


def test_memory_holds_the_manifests_that_were_asked_for_last(
    client: TestClient, data_dir: Path
) -> None:
    files = StoreFiles(client.app, data_dir / "datasets", max_kept_bytes=10_000)
    asker = TestClient(files)
    for number in range(40):
        folder = data_dir / f"datasets/demo/versions/{number:064}"
        folder.mkdir()
        (folder / "manifest.json").write_bytes(bytes([65 + number]) * (number * 20 + 3000))
    for number in (*range(40), 39, 0, 38, 39):
        body = asker.get(f"/datasets/demo/versions/{number:064}/manifest.json").content
        assert body == bytes([65 + number]) * (number * 20 + 3000)
        assert files.kept_bytes <= 10_000
    assert files.kept_bytes == (3000 + 38 * 20) + (3000 + 39 * 20)


def test_a_huge_manifest_is_sent_from_the_disk(client: TestClient, data_dir: Path) -> None:
    folder = data_dir / "datasets/demo/versions" / ("0" * 64)
    folder.mkdir()
    (folder / "manifest.json").write_bytes(bytes(5 << 20))
    response = client.get(f"/datasets/demo/versions/{'0' * 64}/manifest.json")
    assert response.content == bytes(5 << 20)
    assert response.headers["etag"] == f'"{"0" * 64}"'
