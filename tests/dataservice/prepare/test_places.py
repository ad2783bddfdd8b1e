"""Folders, patterns, URLs, buckets and data sets of a hub → the files they stand for, whole."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from dataservice.errors import SourceError
from dataservice.prepare.sources.guard import is_public
from dataservice.prepare.sources.locate import shown
from dataservice.prepare.sources.place import Place
from dataservice.prepare.sources.remote import fetched
from dataservice.source_settings import Format, Reading, SourceSettings
from shards.attempts import RetryPolicy
from shards.manifest import InputInfo
from tests.buckets import S3, s3_server, use_s3
from tests.dataservice.prepare.source_files import PAIRS, jsonl, read, texts, tsv, write, zstd
from tests.shards.fault_server import FaultServer, cut, cut_without_length

QUICK = RetryPolicy(attempts=3, first_wait_s=0, max_wait_s=0)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with s3_server() as running:
        yield running


def fill(folder: Path) -> Path:
    """One pair a file, in the order of their names; and what explains them."""
    (folder / "a").mkdir(parents=True)
    write(folder / "a" / "1.jsonl", jsonl(PAIRS[:1]))
    write(folder / "a" / "2.tsv.zst", zstd(tsv(PAIRS[1:2])))
    write(folder / "b.jsonl", jsonl(PAIRS[2:]))
    write(folder / "README.md", b"what it is")
    write(folder / ".hidden.csv", b"x")
    return folder


@pytest.mark.parametrize("path", ["", "/**/*.*l*", "/[ab]*/../a/1.jsonl"])
def test_a_folder_or_a_pattern_is_its_files_in_order(tmp_path: Path, path: str) -> None:
    fill(tmp_path / "text")
    inputs: list[InputInfo] = []
    found = read(SourceSettings(path=f"{tmp_path}/text{path}"), tmp_path, inputs)
    expected = {"": PAIRS, "/**/*.*l*": [PAIRS[0], PAIRS[2]]}.get(path, PAIRS[:1])
    assert texts(found) == expected
    assert [info.pairs for info in inputs] == [1] * len(expected)
    assert found[0].source == "1"


def test_one_name_holds_for_all_files_of_a_folder(tmp_path: Path) -> None:
    found = read(SourceSettings(path=fill(tmp_path / "text"), name="mine"), tmp_path)
    assert {pair.source for pair in found} == {"mine"}


def test_a_name_that_looks_like_a_pattern_is_a_file_if_it_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "c[1].jsonl", jsonl(PAIRS))
    write(tmp_path / "c1.jsonl", b"broken")
    assert texts(read(SourceSettings(path=path), tmp_path)) == PAIRS


def test_a_url_is_fetched_whole_and_leaves_no_copy(tmp_path: Path, server: FaultServer) -> None:
    data = zstd(jsonl(PAIRS))
    server.script.files["/text/c.jsonl.zst?token=secret"] = data
    server.script.faults = [cut(20)]
    inputs: list[InputInfo] = []
    source = SourceSettings(path=f"{server.url}/text/c.jsonl.zst?token=secret")
    assert texts(read(source, tmp_path, inputs)) == PAIRS
    (info,) = inputs
    assert (info.file, info.sha256) == ("c.jsonl.zst", hashlib.sha256(data).hexdigest())
    assert "Range" in server.script.requests[1].headers
    assert not list(tmp_path.rglob("*.spool"))


def test_parallel_files_may_lie_on_a_server(tmp_path: Path, server: FaultServer) -> None:
    server.script.files = {"/ru.txt": "да\n".encode(), "/en.txt": b"yes\n"}
    source = SourceSettings(src=f"{server.url}/ru.txt", tgt=f"{server.url}/en.txt")
    assert texts(read(source, tmp_path)) == [("да", "yes")]


def place(location: str, kind: Format = "jsonl", **values: Any) -> Place:
    return Place(location=location, format=kind, label="c", shown=shown(location), **values)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ({"always": cut(0)}, "cut after 0 bytes"),
        (
            {"always": lambda handler, _: handler.answer(200, **{"Content-Type": "text/html"})},
            "a web page came",
        ),
        ({"always": cut_without_length(5)}, "does not say how many bytes"),
        ({"files": {}}, "is not there"),
        ({"always": lambda handler, _: handler.answer(403)}, "HTTP 403"),
        ({"always": lambda handler, _: handler.answer(302, Location="/loop")}, "redirect"),
        (
            {"always": lambda handler, _: handler.answer(302, Location="file:///etc")},
            "redirects to",
        ),
    ],
)
def test_what_does_not_come_whole_is_an_error_that_names_the_url(
    tmp_path: Path, server: FaultServer, script: dict[str, Any], told: str
) -> None:
    server.script.files["/c.jsonl"] = jsonl(PAIRS)
    for name, value in script.items():
        setattr(server.script, name, value)
    with pytest.raises(SourceError) as caught:
        fetched(place(f"{server.url}/c.jsonl"), tmp_path / "spool", Reading(), policy=QUICK)
    assert told in str(caught.value)
    assert f"{server.url}/c.jsonl" in str(caught.value)
    assert not re.search("data set|shard|blob|manifest|service", str(caught.value))
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "is not there (HTTP 404); check the URL"),
        (
            503,
            "could not be fetched in 3 attempts: HTTP 503; check that its server is up and "
            "reachable, then build again",
        ),
    ],
)
def test_a_status_is_told_in_the_words_of_sources(
    tmp_path: Path, server: FaultServer, status: int, told: str
) -> None:
    server.script.always = lambda handler, _: handler.answer(status)
    url = f"{server.url}/c.jsonl"
    with pytest.raises(SourceError) as caught:
        fetched(place(url), tmp_path / "spool", Reading(), policy=QUICK)
    assert str(caught.value) == f"source {url} {told}; nothing is built from it"


@pytest.mark.parametrize(
    ("promise", "told"),
    [({"num_bytes": 3}, "3 were promised"), ({"sha256": "0" * 64}, "its sha256 is")],
)
def test_a_download_is_what_was_promised(
    tmp_path: Path, server: FaultServer, promise: dict[str, Any], told: str
) -> None:
    server.script.files["/c.jsonl"] = jsonl(PAIRS)
    with pytest.raises(SourceError, match=told):
        fetched(place(f"{server.url}/c.jsonl", **promise), tmp_path / "spool", Reading())


def test_a_download_takes_no_more_disk_than_a_source_may(
    tmp_path: Path, server: FaultServer
) -> None:
    server.script.files["/c.jsonl"] = bytes(1000)
    with pytest.raises(SourceError, match="more than 999 bytes came"):
        small = Reading(max_source_bytes=999)
        fetched(place(f"{server.url}/c.jsonl"), tmp_path / "spool", small)


def test_a_bucket_is_read_like_a_url(
    tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, s3.url)
    s3.make("texts")
    s3.ask("PUT", "texts/deep/c.jsonl.zst", zstd(jsonl(PAIRS)))
    assert texts(read(SourceSettings(path="s3://texts/deep/c.jsonl.zst"), tmp_path)) == PAIRS
    with pytest.raises(SourceError, match=r"deep/d\.jsonl is not there; check the URL; nothing is"):
        read(SourceSettings(path="s3://texts/deep/d.jsonl"), tmp_path)


@pytest.mark.parametrize(
    "location", ["ftp://host/c.jsonl", "file:///c.jsonl", "http://user:hidden@host/c.jsonl", "x://"]
)
def test_a_url_that_is_not_read_is_refused_without_its_secret(
    tmp_path: Path, location: str
) -> None:
    with pytest.raises(SourceError) as caught:
        read(SourceSettings(path=location, format="jsonl"), tmp_path)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
    ],
)
def test_an_address_that_leads_inside_is_not_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::ffff:127.0.0.1]"]
)
def test_a_request_never_reaches_an_address_inside(
    tmp_path: Path, server: FaultServer, host: str
) -> None:
    server.script.files["/c.jsonl"] = jsonl(PAIRS)
    url = server.url.replace("127.0.0.1", host) + "/c.jsonl"
    with pytest.raises(SourceError, match="not a public address"):
        read(SourceSettings(path=url, public_only=True), tmp_path)
    assert server.script.requests == []


def test_a_redirect_inside_is_not_followed(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A public name sends us on to one that is not."""
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == "public.example" else host, *rest, **options)

    checked = "dataservice.prepare.sources.guard.is_public"
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(checked, lambda address: address == "127.0.0.1")
    inside = server.url.replace("127.0.0.1", "[::1]")
    server.script.always = lambda handler, _: handler.answer(302, Location=f"{inside}/c.jsonl")
    url = server.url.replace("127.0.0.1", "public.example")
    with pytest.raises(SourceError, match="::1, which is not a public address"):
        read(SourceSettings(path=f"{url}/c.jsonl", public_only=True), tmp_path)


CARD = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: [data/test.jsonl]
- config_name: other
  data_files: other/*.jsonl
---
# A data set
"""


def hub_folder(folder: Path) -> Path:
    """A data set in a hub's layout: Parquet and JSONL, two configurations."""
    (folder / "data").mkdir(parents=True)
    (folder / "other").mkdir()
    for number, pair in enumerate(PAIRS[:2]):
        rows = pa.table({"translation": [dict(zip(("ru", "en"), pair, strict=True))]})
        pq.write_table(rows, folder / "data" / f"train-0000{number}-of-00002.parquet")
    write(folder / "data" / "test.jsonl", jsonl(PAIRS[2:]))
    write(folder / "other" / "c.jsonl", jsonl([("иное", "other")]))
    write(folder / "README.md", CARD.encode())
    write(folder / ".gitattributes", b"")
    return folder


CHOICES = [
    ({"config": "main"}, PAIRS),
    ({"config": "main", "split": "train"}, PAIRS[:2]),
    ({"config": "main", "split": "test"}, PAIRS[2:]),
    ({"config": "other"}, [("иное", "other")]),
]
WRONG = [
    ({}, "has the configurations main, other; name one"),
    ({"config": "third"}, "not 'third'"),
    ({"config": "main", "split": "val"}, "has no split 'val', it has test, train"),
]


@pytest.fixture(params=["folder", "hub"])
def hub(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    server: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """The same data set as a folder, and behind a hub's interface."""
    folder = hub_folder(tmp_path / "hub")
    if request.param == "folder":
        return str(folder)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_token")
    siblings = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data, name = path.read_bytes(), str(path.relative_to(folder))
        server.script.files[f"/datasets/some/set/resolve/{'c' * 40}/{name}"] = data
        lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1}
        siblings.append({"rfilename": name, "size": len(data), "lfs": lfs})
    card = yaml.safe_load(CARD.split("---")[1])
    info = {"id": "some/set", "sha": "c" * 40, "siblings": siblings, "cardData": card}
    server.script.files["/api/datasets/some/set?blobs=true"] = json.dumps(info).encode()
    return "hf://some/set"


@pytest.mark.parametrize(("choice", "expected"), CHOICES)
def test_a_data_set_of_a_hub_gives_the_configuration_and_split_that_are_asked_for(
    tmp_path: Path, hub: str, choice: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    found = read(SourceSettings.model_validate({"path": hub, **choice}), tmp_path)
    assert sorted(texts(found), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(("choice", "told"), WRONG)
def test_a_configuration_or_split_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, hub: str, choice: dict[str, str], told: str
) -> None:
    with pytest.raises(SourceError, match=told):
        read(SourceSettings.model_validate({"path": hub, **choice}), tmp_path)


def test_a_data_set_that_the_hub_has_not_is_named(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    for name in ("some/missing", "a/b/c", "!!"):
        with pytest.raises(SourceError, match=f"source hf://{name} cannot be asked for"):
            read(SourceSettings(path=f"hf://{name}"), tmp_path)
