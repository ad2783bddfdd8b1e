"""Buckets → whole, verified bytes: as over HTTP, with the providers' own errors made clear."""

import pickle
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from shards.dataset import open_dataset
from shards.errors import CorruptBlobError, NotFoundError, ShardError, StoreUnavailableError
from shards.http import RetryPolicy
from shards.manifest import BlobInfo
from shards.objects import ObjectStore
from tests.buckets import S3
from tests.shards.fault_server import (
    Fault,
    FaultServer,
    Handler,
    cut,
    other_bytes,
    stall,
    status,
    whole,
)
from tests.shards.helpers import fill_store
from tests.shards.test_dataset import content

QUICK = RetryPolicy(attempts=4, first_wait_s=0.001)
IMPATIENT = replace(QUICK, read_timeout_s=0.5)  # for servers that stall
CLOSED = "http://127.0.0.1:1"
ROOTS = ["s3://bucket/sets", "gs://bucket/sets", "az://bucket/sets"]


def good(objects: FaultServer, info: BlobInfo) -> bytes:
    return objects.script.files[f"/bucket/sets/{info.path}"]


@pytest.mark.parametrize("root", ROOTS)
def test_a_public_data_set_is_read_from_every_kind_of_bucket(
    objects: FaultServer, tmp_path: Path, root: str
) -> None:
    store, manifest = fill_store(tmp_path)
    version = store.commit("demo", manifest)
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            name = f"/bucket/sets/{path.relative_to(tmp_path)}"
            objects.script.files[name] = path.read_bytes()
    local = open_dataset(f"{tmp_path}/demo")
    for url in (f"{root}/demo", f"{root}/demo/versions/{version}"):
        dataset = open_dataset(url, policy=QUICK)
        assert (dataset.version, dataset.ref.is_remote) == (version, True)
        assert content(dataset) == content(local)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    ("fault", "policy"),
    [(cut(300_000), QUICK), (stall(300_000), IMPATIENT)],
    ids=["cut", "stall"],
)
def test_a_read_goes_on_where_it_was_cut(
    objects: FaultServer, blob: BlobInfo, root: str, fault: Fault, policy: RetryPolicy
) -> None:
    objects.script.faults = [fault]
    assert ObjectStore(root, policy=policy).read_blob(blob) == good(objects, blob)
    first, second, *more = (request.headers.get("range") for request in objects.script.requests)
    assert not more or policy is IMPATIENT
    assert first is None
    assert second is not None
    assert 200_000 < int(second.removeprefix("bytes=").removesuffix("-")) <= 300_000


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(503),
        status(429),
        cut(0),
        other_bytes(lambda data: data[:-1] + b"!"),
        other_bytes(lambda data: data + b"more"),
        other_bytes(lambda data: data[:-1]),
    ],
)
def test_a_fault_that_passes_costs_another_attempt(
    objects: FaultServer, blob: BlobInfo, fault: Fault
) -> None:
    objects.script.faults = [fault, fault]
    assert ObjectStore(ROOTS[0], policy=QUICK).read_blob(blob) == good(objects, blob)
    assert len(objects.script.requests) == 3


def elsewhere(handler: Handler, data: bytes) -> None:
    """The end of the file, from a later byte on than was asked for."""
    start = handler.offset + 7
    handler.head(data, start)
    handler.wfile.write(data[start:])


@pytest.mark.parametrize("wrong", [whole, elsewhere])
def test_an_answer_that_does_not_go_on_where_it_should_is_not_glued_on(
    objects: FaultServer, blob: BlobInfo, wrong: Fault
) -> None:
    objects.script.faults = [cut(300_000), wrong, wrong]
    with pytest.raises(StoreUnavailableError, match="3 attempts"):
        ObjectStore(ROOTS[0], policy=replace(QUICK, attempts=3)).read_blob(blob)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (status(404), NotFoundError, "dataservice push"),
        (status(403), ShardError, "SKIP_SIGNATURE"),
        (status(401), ShardError, "SKIP_SIGNATURE"),
        (status(400), ShardError, "refused with HTTP 400"),
    ],
)
def test_what_will_not_pass_is_told_at_once(
    objects: FaultServer, blob: BlobInfo, root: str, fault: Fault, kind: type[ShardError], told: str
) -> None:
    objects.script.always = fault
    with pytest.raises(kind, match=told) as caught:
        ObjectStore(root, policy=QUICK).read_blob(blob)
    assert type(caught.value) is kind
    assert f"{root}/{blob.path}" in str(caught.value)
    assert len(objects.script.requests) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        (status(503), StoreUnavailableError, r"4 attempts: HTTP 503; nothing was lost"),
        (stall(0), StoreUnavailableError, "timed out"),
        (other_bytes(lambda data: b"x" * len(data)), CorruptBlobError, "sha256"),
        (other_bytes(lambda data: data[:100]), CorruptBlobError, "has 100 bytes"),
    ],
)
def test_a_fault_that_stays_ends_in_an_error_that_names_the_blob(
    objects: FaultServer, blob: BlobInfo, fault: Fault, kind: type[ShardError], told: str
) -> None:
    objects.script.always = fault
    policy = IMPATIENT if told == "timed out" else QUICK
    with pytest.raises(kind, match=told) as caught:
        ObjectStore(ROOTS[0], policy=policy).read_blob(blob)
    assert f"{ROOTS[0]}/{blob.path}" in str(caught.value)
    assert len(objects.script.requests) == 4


def test_a_server_without_create_only_puts_gets_a_plain_one(objects: FaultServer) -> None:
    store = ObjectStore(ROOTS[0], policy=QUICK)
    assert store.put("demo/new", b"data", cache_control="no-cache", create=True)
    assert objects.script.files == {"/bucket/sets/demo/new": b"data"}
    assert len(objects.script.requests) == 2


@pytest.mark.parametrize(("attempts", "expected"), [(1000, [1, 2, 4, 8, 8]), (3, [1, 2]), (1, [])])
def test_waits_double_and_end_with_the_attempts_or_before_the_deadline(
    objects: FaultServer, blob: BlobInfo, attempts: int, expected: list[float]
) -> None:
    objects.script.always = status(503)
    now, waits = 0.0, list[float]()

    def sleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s
        waits.append(wait_s)

    policy = RetryPolicy(attempts=attempts, first_wait_s=1, max_wait_s=8, deadline_s=30)
    store = ObjectStore(ROOTS[0], policy=policy, sleep=sleep, clock=lambda: now)
    with pytest.raises(StoreUnavailableError, match=f"{len(expected) + 1} attempts"):
        store.read_blob(blob)
    assert waits == expected


@pytest.mark.parametrize(
    ("root", "variable"),
    [
        (ROOTS[0], "AWS_ENDPOINT_URL"),
        (ROOTS[1], "GOOGLE_BASE_URL"),
        (ROOTS[2], "AZURE_STORAGE_ENDPOINT"),
    ],
)
def test_an_endpoint_that_is_down_is_a_bounded_error(
    objects: FaultServer, blob: BlobInfo, monkeypatch: pytest.MonkeyPatch, root: str, variable: str
) -> None:
    monkeypatch.setenv(variable, CLOSED)
    with pytest.raises(StoreUnavailableError, match=r"4 attempts: .*refused"):
        ObjectStore(root, policy=QUICK).read_blob(blob)
    assert objects.script.requests == []


def test_a_store_works_in_several_threads_and_in_another_process(
    objects: FaultServer, blob: BlobInfo
) -> None:
    store = ObjectStore(ROOTS[0], policy=QUICK)
    again = pickle.loads(pickle.dumps(store))
    found: list[bytes] = []

    def read(one: ObjectStore) -> None:
        found.append(one.read_blob(blob))

    threads = [threading.Thread(target=read, args=(one,)) for one in [store, again] * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [good(objects, blob)] * 8


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ShardError, match=r"prometheusgpt-mini\[object-stores\]"):
        open_dataset("s3://bucket/demo")


def test_an_azure_url_without_an_account_names_the_variable() -> None:
    with pytest.raises(ShardError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        ObjectStore("az://container/sets")


def test_a_key_file_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(ShardError, match=r"gs://bucket cannot be opened.*GOOGLE_SKIP_SIGNATURE"):
        ObjectStore("gs://bucket")


@pytest.mark.parametrize("root", ["s3://bucket", "az://bucket"])
def test_missing_credentials_are_told_at_once(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    # the address where a machine of the provider would get them from, closed
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", CLOSED)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", f"{CLOSED}/token")
    with pytest.raises(ShardError, match="needs credentials and none were found"):
        ObjectStore(root, policy=QUICK).read("demo/latest.json")


class TestS3:
    """Against a whole S3 server, with signed requests."""

    def test_latest_and_pinned_equal_the_folder(self, s3: S3, tmp_path: Path) -> None:
        store, manifest = fill_store(tmp_path)
        version = store.commit("demo", manifest)
        s3.make("plain")
        s3.fill("plain", tmp_path, "my/sets/")
        local = open_dataset(f"{tmp_path}/demo")
        for url in ("s3://plain/my/sets/demo", f"s3://plain/my/sets/demo/versions/{version}"):
            assert content(open_dataset(url, policy=QUICK)) == content(local)

    def test_damaged_and_missing_objects_are_told(self, s3: S3, tmp_path: Path) -> None:
        store, manifest = fill_store(tmp_path)
        store.commit("demo", manifest)
        s3.make("damaged")
        s3.fill("damaged", tmp_path)
        dataset = open_dataset("s3://damaged/demo", policy=QUICK)
        (shard,) = manifest.splits["train"].shards
        s3.ask("PUT", f"damaged/{shard.path}", b"x" * shard.bytes)
        with pytest.raises(CorruptBlobError, match=rf"s3://damaged/{shard.path}.*sha256"):
            dataset.read_shard(shard)
        s3.ask("DELETE", f"damaged/{shard.path}")
        with pytest.raises(NotFoundError, match=rf"s3://damaged/{shard.path} is not there"):
            dataset.read_shard(shard)

    def test_a_wrong_name_bucket_or_access_is_told_at_once(
        self, s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s3.make("lonely")
        with pytest.raises(NotFoundError, match="no data set 'demo' at s3://lonely"):
            open_dataset("s3://lonely/demo", policy=QUICK)
        with pytest.raises(ShardError, match="bucket 'nowhere' of s3://nowhere/demo"):
            open_dataset("s3://nowhere/demo", policy=QUICK)
        s3.ask("PUT", "lonely/demo/latest.json", b"{}")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        with pytest.raises(ShardError, match=r"was refused.*AWS_ACCESS_KEY_ID"):
            open_dataset("s3://lonely/demo", policy=QUICK)

    def test_objects_are_made_once_and_replaced_when_asked(self, s3: S3) -> None:
        s3.make("made")
        store = ObjectStore("s3://made/deep", policy=QUICK)
        assert store.size("a/b") is None
        assert store.put("a/b", b"one", cache_control="no-cache", create=True)
        assert not store.put("a/b", b"two", cache_control="no-cache", create=True)
        assert (store.read("a/b"), store.size("a/b")) == (b"one", 3)
        assert store.put("a/b", b"three", cache_control="no-cache")
        assert s3.ask("GET", "made/deep/a/b") == b"three"
