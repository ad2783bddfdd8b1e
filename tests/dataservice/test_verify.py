"""A version, whole or damaged → what verification says of it, from a folder and over HTTP."""

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataservice.prepare.build import BuildResult
from dataservice.verify import verify
from shards.dataset import Dataset, open_dataset
from shards.errors import ManifestError
from shards.http import RetryPolicy
from shards.lengths import ShardLengths, dump_lengths, load_lengths
from shards.manifest import BlobInfo, Manifest, dump_manifest
from shards.store import LocalStore
from shards.verify import Findings

ONCE = RetryPolicy(attempts=2, first_wait_s=0.001)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture
def static_server(copied_root: Path) -> Iterator[str]:
    """Any static file server over the store's folder."""
    handler = functools.partial(_Quiet, directory=str(copied_root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def findings(root: Path | str) -> Findings:
    return verify(open_dataset(f"{root}/small", policy=ONCE))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def first_shard(built: BuildResult) -> BlobInfo:
    return built.manifest.splits["train"].shards[0]


def republish(root: Path, built: BuildResult, change: Callable[[dict[str, Any]], None]) -> Dataset:
    """Publish an edited manifest under its own, honest version: what a wrong writer would do."""
    value = built.manifest.model_dump(mode="json")
    change(value)
    manifest = Manifest.model_validate(value)
    LocalStore(root).commit("small", manifest)
    return open_dataset(f"{root}/small")


def test_a_good_version_has_no_problems_and_true_counts(
    built: BuildResult, built_root: Path
) -> None:
    found = findings(built_root)
    splits = built.manifest.splits.values()
    assert found.problems == []
    assert found.samples == sum(info.samples for info in splits) == 700
    assert found.shards == sum(len(info.shards) for info in splits)
    assert found.blocks == sum(shard.blocks for info in splits for shard in info.shards)
    assert found.tokens == sum(info.src_tokens + info.tgt_tokens for info in splits)


def test_a_good_version_verifies_over_any_static_file_server(
    built: BuildResult, static_server: str
) -> None:
    found = findings(static_server)
    assert found.problems == []
    assert found.samples == built.manifest.stats["funnel"]["kept"]


def damages(root: Path, built: BuildResult) -> dict[str, Callable[[], object]]:
    """Ways to damage the first shard of train."""
    info = first_shard(built)
    path = root / info.path
    other = built.manifest.splits["val"].shards[0]
    return {
        "first byte": lambda: flip(path, 0),
        "middle byte": lambda: flip(path, info.bytes // 2),
        "last byte": lambda: flip(path, info.bytes - 1),
        "cut": lambda: path.write_bytes(path.read_bytes()[:-1]),
        "empty": lambda: path.write_bytes(b""),
        "more": lambda: path.write_bytes(path.read_bytes() + b"x"),
        "swapped": lambda: path.write_bytes((root / other.path).read_bytes()),
        "missing": path.unlink,
    }


DAMAGES = ["first byte", "middle byte", "last byte", "cut", "empty", "more", "swapped", "missing"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_and_the_others_are_read(
    built: BuildResult, copied_root: Path, damage: str
) -> None:
    damages(copied_root, built)[damage]()
    found = findings(copied_root)
    (problem,) = found.problems
    assert first_shard(built).path in problem
    assert found.shards == sum(len(info.shards) for info in built.manifest.splits.values()) - 1


@pytest.mark.parametrize("damage", ["middle byte", "cut", "swapped", "missing"])
def test_a_damaged_shard_is_named_over_http(
    built: BuildResult, copied_root: Path, static_server: str, damage: str
) -> None:
    damages(copied_root, built)[damage]()
    (problem,) = findings(static_server).problems
    assert first_shard(built).path in problem


def test_every_damaged_blob_is_named_not_only_the_first(
    built: BuildResult, copied_root: Path
) -> None:
    blobs = built.manifest.blobs()
    for blob in blobs:
        flip(copied_root / blob.path, blob.bytes // 3)
    problems = findings(copied_root).problems
    assert len(problems) == len(blobs)
    assert all(any(blob.sha256 in problem for problem in problems) for blob in blobs)


def test_a_damaged_tokenizer_is_named(built: BuildResult, copied_root: Path) -> None:
    flip(copied_root / built.manifest.tokenizer.path, 100)
    (problem,) = findings(copied_root).problems
    assert problem.startswith("tokenizer: ")
    assert built.manifest.tokenizer.sha256 in problem


def test_an_edited_manifest_is_refused(built: BuildResult, copied_root: Path) -> None:
    path = copied_root / "small" / "versions" / built.version / "manifest.json"
    value = json.loads(path.read_bytes())
    value["stats"]["funnel"]["read"] += 1
    path.write_text(json.dumps(value))
    with pytest.raises(ManifestError, match=rf"{built.version}/manifest.json has sha256"):
        findings(copied_root)


def more_samples(value: dict[str, Any]) -> None:
    for part in (value["splits"]["train"], value["splits"]["train"]["shards"][0]):
        part["samples"] += 1


def other_histogram(value: dict[str, Any]) -> None:
    value["splits"]["train"]["src_lengths"][7] += 1


def smaller_vocabulary(value: dict[str, Any]) -> None:
    value["tokenizer"]["vocab_size"] = 200


def other_tag_ids(value: dict[str, Any]) -> None:
    symbols = value["tags"]["symbols"]
    symbols["<author_MagistrTheOne>"] = symbols.pop("<city_Krasnodar>")


def other_pad(value: dict[str, Any]) -> None:
    value["tokenizer"]["pad_id"] = 7


def fewer_sources(value: dict[str, Any]) -> None:
    value["sources"] = value["sources"][:1]


def longer_prefix(value: dict[str, Any]) -> None:
    value["tags"]["prefix_tokens"] = 4


def val_is_train(value: dict[str, Any]) -> None:
    value["splits"]["val"] = value["splits"]["train"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (more_samples, "holds samples"),
        (other_histogram, "its src lengths are not src_lengths of the manifest"),
        (smaller_vocabulary, "outside the vocabulary of 200"),
        (other_tag_ids, "does not begin with 3 tags"),
        (other_pad, "<pad> has id 0, the manifest says 7"),
        (fewer_sources, "source 1 is not among"),
        (longer_prefix, "does not begin with 4 tags"),
        (val_is_train, "occur more than once"),
    ],
)
def test_a_manifest_that_promises_something_else_is_found_out(
    built: BuildResult, copied_root: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    found = verify(republish(copied_root, built, change))
    assert any(told in problem for problem in found.problems), found.problems


def test_a_sentence_of_either_side_in_both_splits_is_found(
    built: BuildResult, copied_root: Path
) -> None:
    def share(value: dict[str, Any]) -> None:
        value["splits"]["val"] = value["splits"]["train"]

    dataset = republish(copied_root, built, share)
    kept = built.manifest.splits["train"].samples
    problems = " ".join(verify(dataset).problems)
    assert f"{kept} pair ids occur more than once" in problems
    assert "source sentences stand in both train and val" in problems
    assert "target sentences stand in both train and val" in problems


def test_a_tokenizer_of_another_build_is_found_out(built: BuildResult, copied_root: Path) -> None:
    model = (copied_root / built.manifest.tokenizer.path).read_bytes()
    symbol = b"<author_A._Writer>"
    assert symbol in model
    other = model.replace(symbol, b"<author_B._Writer>")
    info = LocalStore(copied_root).put_blob(other, ".model")

    def swap(value: dict[str, Any]) -> None:
        value["tokenizer"] |= {"sha256": info.sha256, "bytes": info.bytes}

    problems = verify(republish(copied_root, built, swap)).problems
    assert any("<author_A._Writer> has id" in problem for problem in problems)


def test_a_table_of_lengths_that_is_not_that_of_the_shards_is_found_out(
    built: BuildResult, copied_root: Path
) -> None:
    """Its sums and histograms are those of the manifest: only the shards tell."""
    store, info = LocalStore(copied_root), built.manifest.splits["train"]
    first, *others = load_lengths(store.read_blob(info.lengths), info)
    turned = np.unique(np.stack([1 - first.parity, first.src_len, first.tgt_len]), axis=1)
    assert turned.shape == (3, len(first.count))
    order = np.lexsort((first.tgt_len, first.src_len, 1 - first.parity))
    wrong = ShardLengths(
        parity=turned[0], src_len=turned[1], tgt_len=turned[2], count=first.count[order]
    )
    blob = store.put_blob(dump_lengths([wrong, *others]), info.lengths.suffix)

    def swap(value: dict[str, Any]) -> None:
        value["splits"]["train"]["lengths"] |= {"sha256": blob.sha256, "bytes": blob.bytes}

    (problem,) = verify(republish(copied_root, built, swap)).problems
    assert problem.startswith(f"shard {info.shards[0].path}: its samples do not have the lengths")
    assert blob.path in problem


def test_verification_reports_its_progress(built_root: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    verify(open_dataset(f"{built_root}/small"), lambda *args: told.append(args))
    assert told[-1][1] == told[-1][2] == len(told)


def test_the_version_is_the_digest_of_the_manifest_file(
    built: BuildResult, built_root: Path
) -> None:
    path = built_root / "small" / "versions" / built.version / "manifest.json"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == built.version
    assert dump_manifest(built.manifest)[1] == built.version
