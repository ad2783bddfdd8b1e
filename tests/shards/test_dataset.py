"""URLs of data sets → versions, wherever they lie; and what cannot be one."""

import os
import pickle
from pathlib import Path

import pytest

from shards.dataset import Dataset, DatasetRef, open_dataset, parse_dataset_url
from shards.errors import ManifestError, NotFoundError, ShardError, StoreUnavailableError
from shards.http import RetryPolicy
from shards.verify import verify_dataset
from tests.shards.fault_server import FaultServer, status
from tests.shards.helpers import fill_store, same_samples

SHA = "ab12" * 16
ONCE = RetryPolicy(attempts=2, first_wait_s=0.001)


@pytest.mark.parametrize(
    ("url", "root", "name", "version"),
    [
        ("http://host/datasets/demo", "http://host/datasets", "demo", None),
        ("http://host/datasets/demo/", "http://host/datasets", "demo", None),
        ("https://host:8000/demo", "https://host:8000", "demo", None),
        ("http://host/d/demo/versions/" + SHA, "http://host/d", "demo", SHA),
        ("http://host/d/demo/versions/" + SHA + "/", "http://host/d", "demo", SHA),
        ("http://host/d/demo/versions/" + SHA + "/manifest.json", "http://host/d", "demo", SHA),
        ("s3://bucket/demo", "s3://bucket", "demo", None),
        ("s3://bucket/my/sets/demo/", "s3://bucket/my/sets", "demo", None),
        ("gs://bucket/demo/versions/" + SHA, "gs://bucket", "demo", SHA),
        ("az://container/sets/demo", "az://container/sets", "demo", None),
        ("/data/sets/demo", "/data/sets", "demo", None),
        ("/data/sets/demo/", "/data/sets", "demo", None),
        ("/data/demo/versions/" + SHA, "/data", "demo", SHA),
        ("/data/demo/versions/" + SHA + "/manifest.json", "/data", "demo", SHA),
        ("file:///data/sets/demo", "/data/sets", "demo", None),
        ("file:///data/my%20sets/demo", "/data/my sets", "demo", None),
        ("file:///data/demo/versions/" + SHA, "/data", "demo", SHA),
        ("file://localhost/data/demo", "/data", "demo", None),
        # a data set may have a name that looks like another part
        ("/data/versions", "/data", "versions", None),
        ("/data/" + SHA, "/data", SHA, None),
    ],
)
def test_a_url_is_a_root_a_name_and_perhaps_a_version(
    url: str, root: str, name: str, version: str | None
) -> None:
    ref = parse_dataset_url(url)
    assert ref == DatasetRef(root, name, version)
    assert ref.is_remote is not url.startswith(("/", "file"))
    if not url.startswith("file"):
        assert parse_dataset_url(ref.url) == ref


def test_mirrors_are_places_of_one_version() -> None:
    ref = parse_dataset_url(f"http://a/d/x,s3://bucket/y/versions/{SHA},/mnt/x")
    assert [(place.root, place.name) for place in ref.places] == [
        ("http://a/d", "x"),
        ("s3://bucket", "y"),
        ("/mnt", "x"),
    ]
    assert {place.version for place in ref.places} == {SHA}
    assert ref.url == ",".join(place.url for place in ref.places)
    assert parse_dataset_url(ref.url) == ref
    assert all(place.mirrors == () for place in ref.places)


@pytest.mark.parametrize("url", ["sets/demo", "./sets/demo", "sets/demo/", "sets//demo"])
def test_a_relative_folder_is_taken_from_here(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_dataset_url(url) == DatasetRef(f"{tmp_path}/sets", "demo")


def test_the_folder_we_stand_in_can_be_the_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_dataset_url(".") == DatasetRef(str(tmp_path.parent), tmp_path.name)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/demo", "scheme 'ftp'"),
        ("s3://demo", "names no data set"),
        ("gs:///demo", "names no data set"),
        ("S3://bucket/demo", "scheme 's3'"),
        ("http://a/demo,ftp://b/demo", "scheme 'ftp'"),
        ("http://a/demo,", "names no data set"),
        (f"/a/x/versions/{SHA},/b/x/versions/{SHA[::-1]}", "several versions"),
        ("://demo", "scheme ''"),
        ("http://host", "names no data set"),
        ("http://host/", "names no data set"),
        ("http://", "cannot be used"),
        ("http://[::1/d/demo", "cannot be read"),
        ("/", "names no data set"),
        ("", "names no data set"),
        ("/demo", "names no data set"),
        ("file:///", "names no data set"),
        ("file://", "names no data set"),
        ("file://data/demo", "file:///"),
        ("file:///data/a%2Cb/demo", "has a comma"),
        ("http://host/d/.hidden", "cannot be used"),
        ("http://host/d/имя", "cannot be used"),
        ("http://host/d/a%20b", "cannot be used"),
        ("http://host/d/demo?version=1", "cannot be used"),
        ("http://host/d/demo#top", "cannot be used"),
        ("http://host/blobs", "cannot be used"),
        ("/data/..", "cannot be used"),
    ],
)
def test_what_is_no_url_of_a_data_set_is_refused_with_the_reason(url: str, told: str) -> None:
    with pytest.raises(ShardError, match=told):
        parse_dataset_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:SECRET@box/d/demo",
        "s3://KEY:SECRET@bucket/demo",
        "http://SECRET@[::1/demo",
        "ftp://user:SECRET@box/demo",
        "http://user:SECRET,1@box/d/demo",
        "/d/demo,http://user:SECRET@box/d/demo",
    ],
)
def test_a_url_with_a_password_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ShardError, match="leave it out") as caught:
        parse_dataset_url(url)
    assert "SECRET" not in str(caught.value)


def test_a_pointer_of_deep_json_is_told(tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "demo" / "latest.json").write_bytes(b"[" * 100_000)
    with pytest.raises(ManifestError, match="is not a `latest` pointer"):
        open_dataset(f"{tmp_path}/demo")


def publish(folder: Path, seed: int = 0) -> str:
    store, manifest = fill_store(folder, seed)
    return store.commit("demo", manifest)


def serve(server: FaultServer, folder: Path) -> str:
    """Put a store's files on a server, at the same paths."""
    for path in folder.rglob("*"):
        if path.is_file():
            server.script.files[f"/datasets/{path.relative_to(folder)}"] = path.read_bytes()
    return f"{server.url}/datasets"


def content(dataset: Dataset) -> list[object]:
    info = dataset.manifest.splits["train"]
    return [
        (sample.pair_id, sample.src.tolist(), sample.tgt.tolist())
        for shard in info.shards
        for block in dataset.read_shard(shard)
        for sample in block.samples()
    ]


def test_folder_file_url_and_http_give_the_same(server: FaultServer, tmp_path: Path) -> None:
    version = publish(tmp_path)
    root = serve(server, tmp_path)
    urls = [
        f"{tmp_path}/demo",
        f"file://{tmp_path}/demo",
        f"{os.path.relpath(tmp_path)}/demo",
        f"{root}/demo",
        f"{root}/demo/versions/{version}",
    ]
    opened = [open_dataset(url, policy=ONCE) for url in urls]
    assert {dataset.version for dataset in opened} == {version}
    assert {dataset.ref.version for dataset in opened} == {version}
    assert all(content(dataset) == content(opened[0]) for dataset in opened)
    assert all(verify_dataset(dataset).problems == [] for dataset in opened)


def test_a_pinned_version_stays_when_latest_moves(tmp_path: Path) -> None:
    first = publish(tmp_path, 0)
    second = publish(tmp_path, 1)
    pinned = open_dataset(f"{tmp_path}/demo/versions/{first}")
    assert (pinned.version, open_dataset(f"{tmp_path}/demo").version) == (first, second)
    again = open_dataset(pinned.ref.url)
    assert again.version == first


def test_an_open_data_set_is_not_disturbed_by_a_new_version(tmp_path: Path) -> None:
    publish(tmp_path, 0)
    dataset = open_dataset(f"{tmp_path}/demo")
    before = content(dataset)
    publish(tmp_path, 1)
    assert content(dataset) == before


def test_an_open_data_set_can_be_sent_to_another_process(tmp_path: Path) -> None:
    publish(tmp_path)
    dataset = open_dataset(f"{tmp_path}/demo")
    again = pickle.loads(pickle.dumps(dataset))
    (shard,) = dataset.manifest.splits["train"].shards
    assert same_samples(
        list(again.read_shard(shard)[0].samples()), list(dataset.read_shard(shard)[0].samples())
    )


def test_a_data_set_that_is_not_there_says_how_to_get_one(
    server: FaultServer, tmp_path: Path
) -> None:
    for root in (str(tmp_path), f"{server.url}/datasets"):
        with pytest.raises(
            NotFoundError, match=rf"no data set 'demo' at {root}.*dataservice build"
        ):
            open_dataset(f"{root}/demo", policy=ONCE)


def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    publish(tmp_path)
    with pytest.raises(NotFoundError, match=SHA):
        open_dataset(f"{tmp_path}/demo/versions/{SHA}")


def test_a_service_that_is_down_is_not_a_missing_data_set(server: FaultServer) -> None:
    server.script.always = status(503)
    with pytest.raises(StoreUnavailableError, match="HTTP 503"):
        open_dataset(f"{server.url}/datasets/demo", policy=ONCE)


@pytest.mark.parametrize(
    "pointer",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"1",
        b"{}",
        b'{"version": null}',
        b'{"version": 5}',
        b'{"version": ""}',
        b'{"version": "latest"}',
        b'{"version": "../../etc"}',
        b'{"version": "' + b"A" * 64 + b'"}',
        b"<html>sign in</html>",
    ],
)
def test_a_latest_that_points_nowhere_is_an_error(tmp_path: Path, pointer: bytes) -> None:
    publish(tmp_path)
    (tmp_path / "demo/latest.json").write_bytes(pointer)
    with pytest.raises(ManifestError, match=r"demo/latest\.json"):
        open_dataset(f"{tmp_path}/demo")


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    version = publish(tmp_path)
    path = tmp_path / "demo" / "versions" / version / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"samples":5', b'"samples":6'))
    with pytest.raises(ManifestError, match=rf"{version}/manifest.json has sha256"):
        open_dataset(f"{tmp_path}/demo")
