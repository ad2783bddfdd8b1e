"""Ours: `dataservice build` with a model that is there already, then `dataservice verify`."""

import time
from typing import Any, Final

from benchmarks.prepare import ours_alone
from benchmarks.prepare.systems.base import Job
from benchmarks.prepare.systems.sentencepiece_ids import load
from shards.dataset import open_dataset

NAME = "prometheusgpt-mini"
SETTINGS = (
    "the defaults of `dataservice build` with --processes 1, the vocabulary that is measured and a "
    "model of that size that is there already; then `dataservice verify`"
)
WRITTEN = "datasets"  # beside it lie text that is kept for a reshard, and the memo
DOES = "clean, every filter, dedup, split, tag, encode, compress, verify"


def prepare(job: Job) -> dict[str, Any]:
    started = time.perf_counter()
    version = ours_alone.build_version(job.folder, job.corpus, job.vocab_size, job.model)
    built = time.perf_counter()
    samples = ours_alone.verify_version(version)
    verify_s = time.perf_counter() - built
    return {"build_s": built - started, "verify_s": verify_s, "pairs": samples}


def check(job: Job) -> dict[str, Any]:
    """The stored ids, tags aside, are those that sentencepiece gives for the exported text."""
    version = ours_alone.build_version(job.folder, job.corpus, job.vocab_size, job.model)
    dataset = open_dataset(str(version))
    tokenizer = load(ours_alone.model_file(version))
    tags = dataset.manifest.tags.prefix_tokens
    pairs = tokens = 0
    equal = ours_alone.verify_version(version) > 0
    for info in dataset.manifest.splits.values():
        for block in (block for shard in info.shards for block in dataset.read_shard(shard)):
            pairs += block.num_samples
            for sample in block.samples():
                for ids in (sample.src[tags:].tolist(), sample.tgt.tolist()):
                    tokens += len(ids)
                    equal &= tokenizer.encode(tokenizer.decode(ids)) == ids
    return {"pairs": pairs, "tokens": tokens, "equal": equal}


KINDS: Final = ours_alone.KINDS
