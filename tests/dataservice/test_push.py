"""A version → a bucket: whole, in the order readers rely on, and again after a break."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import obstore
import pytest

from dataservice.errors import BuildError
from dataservice.prepare.report.page import report_page
from dataservice.push import push
from shards.dataset import Dataset, open_dataset
from shards.errors import CorruptBlobError, NotFoundError, ShardError
from shards.manifest import BlobInfo
from shards.objects import ObjectStore
from shards.store import Store
from shards.verify import verify_dataset
from tests.buckets import S3
from tests.dataservice.prepare.reports import make_stats
from tests.dataservice.test_cli import Run, cli, one_error
from tests.shards.helpers import fill_store

__all__ = ["cli"]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    store, manifest = fill_store(tmp_path / "datasets", shards=6)
    store.commit("demo", manifest)
    return open_dataset(f"{tmp_path}/datasets/demo")


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_what_was_pushed_is_the_same_tree(s3: S3, dataset: Dataset, tmp_path: Path) -> None:
    s3.make("push-tree")
    told: list[tuple[str, int, int | None]] = []
    result = push(dataset, "s3://push-tree/my/sets/", lambda *args: told.append(args))
    blobs = dataset.manifest.blobs()
    assert (result.sent, result.kept) == (len(blobs), 0)
    assert result.sent_bytes == sum(blob.bytes for blob in blobs)
    assert told[-1] == ("push", len(blobs), len(blobs))
    for name, data in files(tmp_path / "datasets").items():
        assert s3.ask("GET", f"push-tree/my/sets/{name}") == data
    pushed = open_dataset(result.url)
    assert (result.url, pushed.version) == ("s3://push-tree/my/sets/demo", dataset.version)
    assert verify_dataset(pushed).problems == []


def test_the_report_of_a_version_is_pushed_with_it(s3: S3, tmp_path: Path) -> None:
    s3.make("push-report")
    store, manifest = fill_store(tmp_path / "datasets")
    manifest = manifest.model_copy(update={"stats": dict(make_stats())})
    version = store.commit("demo", manifest)
    push(open_dataset(f"{tmp_path}/datasets/demo"), "s3://push-report")
    page = s3.ask("GET", f"push-report/demo/versions/{version}/report.html")
    assert page == report_page("demo", manifest).encode()


def test_a_second_push_sends_nothing(s3: S3, dataset: Dataset) -> None:
    s3.make("push-twice")
    first = push(dataset, "s3://push-twice")
    again = push(dataset, "s3://push-twice")
    assert (again.sent, again.sent_bytes, again.kept) == (0, 0, first.sent)


def test_what_is_cut_or_damaged_there_is_replaced(s3: S3, dataset: Dataset) -> None:
    s3.make("push-mend")
    push(dataset, "s3://push-mend")
    blob = dataset.manifest.splits["train"].shards[2]
    s3.ask("PUT", f"push-mend/{blob.path}", b"short")
    manifest = f"push-mend/demo/versions/{dataset.version}/manifest.json"
    s3.ask("PUT", manifest, b"{}")
    assert push(dataset, "s3://push-mend").sent == 1
    assert verify_dataset(open_dataset("s3://push-mend/demo")).problems == []


def test_a_manifest_that_would_be_another_version_is_not_published(
    s3: S3, dataset: Dataset
) -> None:
    s3.make("push-other")
    with pytest.raises(BuildError, match=f"version {'0' * 12} would be written as"):
        push(replace(dataset, version="0" * 64), "s3://push-other")
    with pytest.raises(NotFoundError):
        open_dataset("s3://push-other/demo")


def test_a_root_with_a_key_in_it_is_refused_and_not_quoted(dataset: Dataset) -> None:
    with pytest.raises(ShardError, match="leave it out") as caught:
        push(dataset, "s3://KEY:SECRET@bucket")
    assert "SECRET" not in str(caught.value)


@dataclass
class FailingStore:
    """Gives so many blobs, and then no more."""

    store: Store
    left: Iterator[int]
    root: str = "the bad disk"

    def read(self, path: str) -> bytes:
        return self.store.read(path)

    def read_blob(self, info: BlobInfo) -> bytes:
        if next(self.left, None) is None:
            raise CorruptBlobError("the disk is bad")
        return self.store.read_blob(info)


@pytest.mark.parametrize("given", range(8))
def test_a_push_that_breaks_off_shows_nothing_and_goes_on_when_it_is_run_again(
    s3: S3, dataset: Dataset, given: int
) -> None:
    assert given < len(dataset.manifest.blobs())
    root = f"s3://push-break-{given}"
    s3.make(f"push-break-{given}")
    failing = replace(dataset, store=FailingStore(dataset.store, iter(range(given))))
    with pytest.raises(CorruptBlobError, match="the disk is bad"):
        push(failing, root)
    with pytest.raises(NotFoundError):
        open_dataset(f"{root}/demo")
    result = push(dataset, root)
    assert result.kept == given
    assert verify_dataset(open_dataset(result.url)).problems == []


def test_a_newer_version_becomes_the_latest_and_the_old_one_stays(
    s3: S3, dataset: Dataset, tmp_path: Path
) -> None:
    s3.make("push-newer")
    old = push(dataset, "s3://push-newer")
    store, manifest = fill_store(tmp_path / "datasets", seed=50)
    new = store.commit("demo", manifest)
    push(open_dataset(f"{tmp_path}/datasets/demo"), "s3://push-newer")
    assert open_dataset("s3://push-newer/demo").version == new
    assert open_dataset(f"s3://push-newer/demo/versions/{old.version}").version == old.version


def test_a_store_without_create_only_puts_gets_plain_ones(
    s3: S3, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    s3.make("push-plain")
    push(dataset, "s3://push-plain")
    assert verify_dataset(open_dataset("s3://push-plain/demo")).problems == []


@pytest.mark.parametrize("target", ["/tmp/sets", "http://host/sets", "bucket/prefix"])
def test_only_buckets_are_pushed_to(dataset: Dataset, target: str) -> None:
    with pytest.raises(BuildError, match="is no bucket; nothing was pushed"):
        push(dataset, target)


def test_objects_say_how_long_they_may_be_kept(s3: S3, dataset: Dataset) -> None:
    s3.make("push-cache")
    push(dataset, "s3://push-cache")
    remote = ObjectStore("s3://push-cache")._remote
    for path, told in (
        (dataset.manifest.tokenizer.path, "public, max-age=31536000, immutable"),
        ("demo/latest.json", "no-cache"),
    ):
        assert obstore.get(remote, path).attributes["Cache-Control"] == told


def test_the_command_pushes_by_name_and_by_folder(
    s3: S3, dataset: Dataset, tmp_path: Path, cli: Run
) -> None:
    s3.make("push-cli")
    by_name = cli("push", "demo", "s3://push-cli/a", "--data-dir", tmp_path, "--json")
    assert by_name.status == 0
    assert by_name.result["url"] == "s3://push-cli/a/demo"
    assert by_name.result["version"] == dataset.version
    assert by_name.result["kept"] == 0
    folder = f"{tmp_path}/datasets/demo/versions/{dataset.version}"
    assert cli("push", folder, "s3://push-cli/a", "--json").result["sent"] == 0
    # from a bucket to another place
    assert cli("push", "s3://push-cli/a/demo", "s3://push-cli/b").status == 0
    assert open_dataset("s3://push-cli/b/demo").version == dataset.version
    one_error(cli("push", "none", "s3://push-cli/a", "--data-dir", tmp_path), "no data set 'none'")
    one_error(cli("push", "demo", "s3://missing/a", "--data-dir", tmp_path), "bucket 'missing'")


@pytest.mark.slow
def test_verify_and_export_read_a_bucket(
    s3: S3, built_root: Path, tmp_path: Path, cli: Run
) -> None:
    s3.make("verify-cli")
    push(open_dataset(f"{built_root}/small"), "s3://verify-cli")
    verified = cli("verify", "s3://verify-cli/small", "--json")
    assert (verified.status, verified.result["problems"]) == (0, [])
    assert cli("export", "s3://verify-cli/small", tmp_path / "out").status == 0
    blob = open_dataset("s3://verify-cli/small").manifest.splits["train"].shards[0]
    s3.ask("PUT", f"verify-cli/{blob.path}", b"x" * blob.bytes)
    damaged = cli("verify", "s3://verify-cli/small")
    assert damaged.status == 1
    assert "s3://verify-cli/small/versions/" in damaged.stderr
    assert "is damaged" in damaged.stderr
