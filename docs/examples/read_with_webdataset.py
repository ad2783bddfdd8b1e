"""A data set URL → its samples, read with stock webdataset and nothing of this project.

    python docs/examples/read_with_webdataset.py http://localhost:8000/datasets/demo

Needs webdataset and numpy, and curl, zstd and bash on the path. Prints the number of samples, the
digest of their ids (sum and XOR, 32 hex digits) and the first few samples; exits with status 1 when
anything differs from the manifest.
"""

import argparse
import json
import shlex
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import webdataset


class Sample(NamedTuple):
    """One pair: three tags and a source text, its translation; or a text without one."""

    pair_id: int
    src: np.ndarray
    tgt: np.ndarray


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)


def open_manifest(url: str) -> tuple[str, Any]:
    """The root of the URL tree, and the manifest of the version that a data set URL names."""
    url = url.rstrip("/")
    if "/versions/" in url:
        return url.split("/versions/")[0].rpartition("/")[0], get_json(f"{url}/manifest.json")
    version = get_json(f"{url}/latest.json")["version"]
    return url.rpartition("/")[0], get_json(f"{url}/versions/{version}/manifest.json")


def pipe(url: str) -> str:
    """A shard's URL as webdataset takes it.

    webdataset 1.0.2 reads .tar.zst by itself only on Python 3.14. Before that a pipe unpacks it. A
    shell forgets how the first command of a pipe ended, and a tar that is cut between two members
    looks whole: without pipefail a lost connection is a shorter data set, and nobody is told.
    """
    script = f"set -o pipefail; curl -fsS {shlex.quote(url)} | zstd -dcq"
    return f"pipe:bash -c {shlex.quote(script)}"


def unbatch(blocks: Iterable[dict[str, Any]]) -> Iterator[Sample]:
    """The samples of blocks of up to 1,024, in which ids stand end to end."""
    for block in blocks:
        src = np.split(block["src.npy"], np.cumsum(block["src_len.npy"], dtype=np.int64)[:-1])
        tgt = np.split(block["tgt.npy"], np.cumsum(block["tgt_len.npy"], dtype=np.int64)[:-1])
        for pair_id, src_ids, tgt_ids in zip(block["id.npy"].tolist(), src, tgt, strict=True):
            yield Sample(pair_id, src_ids, tgt_ids)


def digest(sums: Iterable[int], xors: Iterable[int]) -> str:
    """The digest of ids, or of parts from their own digests: no order changes it."""
    total, mixed = 0, 0
    for number in sums:
        total = (total + number) % 2**64
    for number in xors:
        mixed ^= number
    return f"{total:016x}{mixed:016x}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="for example http://localhost:8000/datasets/demo")
    parser.add_argument("--split", default="train")
    parser.add_argument("--show", type=int, default=3, help="samples to print")
    parser.add_argument("--json", action="store_true", help="print every sample as a line of JSON")
    options = parser.parse_args()

    root, manifest = open_manifest(options.url)
    split = manifest["splits"][options.split]
    urls = [pipe(f"{root}/blobs/{shard['sha256']}.tar.zst") for shard in split["shards"]]
    dataset = webdataset.WebDataset(urls, shardshuffle=False).decode()

    ids, src_tokens, tgt_tokens = [], 0, 0
    for number, sample in enumerate(unbatch(dataset)):
        ids.append(sample.pair_id)
        src_tokens += len(sample.src)
        tgt_tokens += len(sample.tgt)
        if options.json:
            line = {"id": sample.pair_id, "src": sample.src.tolist(), "tgt": sample.tgt.tolist()}
            print(json.dumps(line))  # noqa: T201
        elif number < options.show:
            print(f"{sample.pair_id:016x}", sample.src.tolist(), sample.tgt.tolist())  # noqa: T201

    told = [shard["ids_digest"] for shard in split["shards"]]
    expected = {
        "samples": split["samples"],
        "src_tokens": split["src_tokens"],
        "tgt_tokens": split["tgt_tokens"],
        "ids": digest((int(d[:16], 16) for d in told), (int(d[16:], 16) for d in told)),
    }
    found = {
        "samples": len(ids),
        "src_tokens": src_tokens,
        "tgt_tokens": tgt_tokens,
        "ids": digest(ids, ids),
    }
    print(f"{options.split}: {json.dumps(found)}", file=sys.stderr)  # noqa: T201
    if found != expected:
        sys.exit(f"error: the manifest says {json.dumps(expected)}; do not use what was read")


if __name__ == "__main__":
    main()
