"""One data set behind buckets, plain file servers and mirrors → the batches of the local folder."""

import contextlib
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from shards.dataset import Dataset, open_dataset
from shards.errors import CorruptBlobError, NotFoundError, StoreUnavailableError
from shards.http import HttpStore, RetryPolicy
from tests.buckets import S3
from tests.shards.helpers import fill_store
from tests.trainer.conftest import Trainer
from tests.trainer.servers import cutting_proxy, nginx, python_server, server_of_the_manual
from tests.trainer.test_cli import TINY
from trainer.config import TrainSettings
from trainer.stream.batching import Batch
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.loader import read_batches
from trainer.stream.order import BatchBudget
from trainer.training.data import Pinned, open_sources

CONFIG = StreamConfig(budget=BatchBudget(sequences=16), seed=5, window_samples=1, epochs=1)
QUICK = RetryPolicy(attempts=3, first_wait_s=0.01, connect_timeout_s=2, read_timeout_s=5)


@pytest.fixture(scope="module")
def root(pairs_url: str) -> Path:
    """The root of the tree that holds `pairs`."""
    return Path(pairs_url).parent


def assert_same_epoch(found: list[Batch], dataset: Dataset) -> None:
    """Each id once, and batch by batch what the local folder gives."""
    expected = list(BatchStream(dataset, CONFIG))
    ids = Counter(number for batch in found for number in batch.pair_ids.tolist())
    assert set(ids.values()) == {1}
    assert len(ids) == dataset.manifest.splits["train"].samples
    assert len(found) == len(expected)
    for left, right in zip(found, expected, strict=True):
        assert left.cursor == right.cursor
        assert np.array_equal(left.pair_ids, right.pair_ids)
        assert np.array_equal(left.input_ids, right.input_ids)
        assert np.array_equal(left.target_ids, right.target_ids)


class TestBucket:
    """s3:// against a whole S3 server."""

    @pytest.mark.parametrize(
        "workers", [0, pytest.param(2, marks=pytest.mark.slow)], ids=["threads", "2-workers"]
    )
    def test_an_epoch_equals_the_local_one(
        self, s3: S3, pairs: Dataset, root: Path, workers: int
    ) -> None:
        s3.make(f"epoch-{workers}")
        s3.fill(f"epoch-{workers}", root, "sets/")
        dataset = open_dataset(f"s3://epoch-{workers}/sets/pairs", policy=QUICK)
        assert_same_epoch(list(read_batches(BatchStream(dataset, CONFIG), workers)), pairs)

    @pytest.mark.slow
    def test_a_run_trains_and_resumes_from_a_bucket_and_keeps_its_blobs(
        self, s3: S3, root: Path, tmp_path: Path, trainer: Trainer
    ) -> None:
        s3.make("train")
        s3.fill("train", root)
        common = ("--run-dir", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache"))
        status, _, errors = trainer("train", "--data", "s3://train/pairs", *common, *TINY)
        assert status == 0, errors
        assert "samples of s3://train/pairs/versions/" in errors
        kept = {path.name for path in (tmp_path / "cache" / "blobs").iterdir()}
        manifest = open_dataset("s3://train/pairs", policy=QUICK).manifest
        assert manifest.tokenizer.sha256 + ".model" in kept
        assert kept & {Path(info.path).name for info in manifest.splits["train"].shards}
        status, _, errors = trainer("train", "--resume", *common, "--max-steps", "6")
        assert status == 0, errors
        assert "step 4 of 6" in errors


@pytest.mark.slow
class TestStaticServers:
    """The folder as it is, behind a server that knows nothing of data sets."""

    def test_an_epoch_by_nginx_equals_the_local_one(
        self, pairs: Dataset, root: Path, tmp_path: Path
    ) -> None:
        with nginx(root, tmp_path / "nginx") as server:
            dataset = open_dataset(f"{server.url}/pairs", policy=QUICK)
            assert_same_epoch(list(BatchStream(dataset, CONFIG)), pairs)

    def test_a_cut_download_is_resumed_where_nginx_is_set_as_the_manual_says(
        self, pairs: Dataset, root: Path, tmp_path: Path
    ) -> None:
        (*_, blob) = sorted(pairs.manifest.blobs(), key=lambda info: info.bytes)
        with (
            nginx(root.parent, tmp_path / "nginx", server_of_the_manual) as server,
            cutting_proxy(int(server.url.rpartition(":")[2]), blob.bytes // 2) as url,
        ):
            store = HttpStore(f"{url}/{root.name}", policy=QUICK)
            assert store.read_blob(blob) == pairs.read_blob(blob)
            assert open_dataset(f"{server.url}/{root.name}/pairs").version == pairs.version
            with pytest.raises(NotFoundError):
                HttpStore(server.url, policy=QUICK).read("pairs.jsonl")
        first, second, *_ = server.log()
        assert first == "200 -"
        assert re.fullmatch(r"206 bytes=[1-9]\d*-", second)

    @pytest.mark.parametrize("kind", ["nginx", "python"])
    def test_a_cut_file_is_found(
        self, pairs: Dataset, root: Path, tmp_path: Path, kind: str
    ) -> None:
        tree = shutil.copytree(root, tmp_path / "tree")
        blob = pairs.manifest.splits["train"].shards[1]
        with (tree / blob.path).open("r+b") as file:
            file.truncate(blob.bytes - 1)
        with contextlib.ExitStack() as stack:
            if kind == "nginx":
                url = stack.enter_context(nginx(tree, tmp_path / "nginx")).url
            else:
                url, _ = stack.enter_context(python_server(tree))
            dataset = open_dataset(f"{url}/pairs", policy=QUICK)
            with pytest.raises((CorruptBlobError, StoreUnavailableError), match=blob.path):
                list(BatchStream(dataset, CONFIG))

    def test_an_epoch_by_the_poorest_server_equals_the_local_one(
        self, pairs: Dataset, root: Path
    ) -> None:
        with python_server(root) as (url, _):
            dataset = open_dataset(f"{url}/pairs", policy=QUICK)
            assert_same_epoch(list(BatchStream(dataset, CONFIG)), pairs)


class TestMirrors:
    """Several places of the same data set."""

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_mirror_that_is_killed_within_an_epoch_costs_nothing_but_a_moment(
        self, tmp_path: Path, workers: int
    ) -> None:
        told: list[str] = []
        store, manifest = fill_store(tmp_path, shards=24)
        store.commit("pairs", manifest)
        root = tmp_path
        with python_server(root) as (one, first), python_server(root) as (other, _):
            url = f"{one}/pairs,{other}/pairs"
            # a list cannot hear of what loader processes meet
            tell = told.append if not workers else print
            dataset = open_dataset(url, policy=QUICK, tell=tell)
            batches = read_batches(BatchStream(dataset, CONFIG), workers)
            found = [next(batches)]
            first.kill()
            first.wait()
            started = time.monotonic()
            found += batches
            assert time.monotonic() - started < 20
        assert_same_epoch(found, open_dataset(f"{root}/pairs"))
        assert len(told) == (0 if workers else 1)

    @pytest.mark.slow
    def test_a_run_reads_mirrors_and_asks_each_for_a_lease_of_its_own(
        self, pairs: Dataset, root: Path, tmp_path: Path, trainer: Trainer
    ) -> None:
        with python_server(root) as (one, _), python_server(root) as (other, _):
            data = ("--data", f"{one}/pairs,{other}/pairs,{root}/pairs")
            folders = ("--run-dir", str(tmp_path / "run"), "--cache-dir", str(tmp_path / "cache"))
            status, _, errors = trainer("train", *data, *folders, *TINY)
        assert status == 0, errors
        for url in (one, other):
            held = f"{url}/pairs/versions/{pairs.version} cannot be held (HTTP 501"
            assert [line for line in errors.splitlines() if line.startswith(held)]

    def test_a_mixture_may_have_mirrors_and_is_resumed_with_others(
        self, pairs: Dataset, root: Path, tmp_path: Path
    ) -> None:
        gone = tmp_path / "gone"
        settings = TrainSettings(
            data=f"3*{gone}/pairs,{root}/pairs 1*{root}/pairs,{gone}/pairs", run_dir=tmp_path
        )
        sources = open_sources(settings)
        assert [source.weight for source in sources] == [3, 1]
        for source in sources:
            assert source.dataset.version == pairs.version
            assert_same_epoch(list(source.stream(CONFIG)), pairs)
        pinned = Pinned("the run", [source.describe() for source in sources])
        moved = settings.model_copy(update={"data": f"3*{root}/pairs 1*{gone}/x,{root}/pairs"})
        assert [source.dataset.version for source in open_sources(moved, pinned)] == [
            pairs.version,
            pairs.version,
        ]

    def test_a_mirror_that_is_left_is_said_on_the_console(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings = TrainSettings(data=f"{tmp_path}/gone/pairs,{root}/pairs", run_dir=tmp_path)
        (source,) = open_sources(settings)
        list(source.stream(CONFIG))
        errors = capsys.readouterr().err
        assert f"mirror {tmp_path}/gone is left for {root}: " in errors

    def test_what_is_tried_first_decides_about_the_cache(self, s3: S3, root: Path) -> None:
        s3.make("cached")
        s3.fill("cached", root)
        for data, cached in (
            ("s3://cached/pairs", True),
            (f"s3://cached/pairs,{root}/pairs", True),
            (f"{root}/pairs,s3://cached/pairs", False),
        ):
            (source,) = open_sources(TrainSettings(data=data))
            assert (source.cache is not None) is cached
