"""One measurement, in a process of its own: a JSON request as argument → a JSON line on stdout.

The clock starts when everything is imported and ends with the last batch as torch tensors.
"""

import importlib
import json
import os
import pickle
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stream.corpus import PAD, make_corpus
from benchmarks.stream.systems.base import Access, System, TensorBatch

_RESUMED_BATCHES = 200  # compared with the uninterrupted epoch


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A cold cache."""
    folder = Path(tempfile.mkdtemp(prefix="bench-cache-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(system: System, request: dict[str, Any]) -> dict[str, Any]:
    corpus, folder = make_corpus(request["pairs"]), Path(request["root"])
    started = time.perf_counter()
    system.write(corpus, folder)
    elapsed = time.perf_counter() - started
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"written_per_s": len(corpus) / elapsed, "bytes_per_pair": size / len(corpus)}


def read(system: System, request: dict[str, Any]) -> dict[str, Any]:
    """Batches until the epoch or the time ends; speed counts from the first batch on."""
    with empty_folder() as cache:
        access = Access(root=request["root"], cache=cache, num_workers=request["num_workers"])
        samples = cells = tokens = counted = first_samples = 0
        started = first = time.perf_counter()
        complete = True
        for number, batch in enumerate(system.batches(access)):
            samples += len(batch.pair_ids)
            cells += _cells(batch)
            if not number:
                first, first_samples = time.perf_counter(), samples
            if number % 64 == 0:  # counting what is padding takes longer than padding does
                counted += _cells(batch)
                tokens += int((batch.input_ids != PAD).sum() + (batch.target_ids != PAD).sum())
            if number % 16 == 0 and time.perf_counter() - started > request["limit_s"]:
                complete = False
                break
        elapsed = time.perf_counter() - first
    return {
        "first_batch_s": first - started,
        "samples_per_s": (samples - first_samples) / elapsed,
        "tokens_per_s": (samples - first_samples) / elapsed * cells / samples * tokens / counted,
        "padding_share": 1 - tokens / counted,
        "samples": samples,
        "complete": complete,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _cells(batch: TensorBatch) -> int:
    return batch.input_ids.numel() + batch.target_ids.numel()


def reference(system: System, request: dict[str, Any]) -> dict[str, Any]:
    """The ids of one undisturbed epoch, and what is stored at some places of it."""
    with empty_folder() as cache:
        access = Access(root=request["root"], cache=cache)
        ids = [np.asarray(batch.pair_ids) for batch in system.batches(access)]
        states = {}
        for share in request["shares"]:
            done = int(len(ids) * share)
            states[share] = (done, system.snapshot(access, done))
    with Path(request["file"]).open("wb") as file:
        pickle.dump((ids, states), file)
    return {"batches": len(ids), "distinct": len(np.unique(np.concatenate(ids)))}


def resume(system: System, request: dict[str, Any]) -> dict[str, Any]:
    """How soon the next batch comes after a restart, and whether it is the right one."""
    with Path(request["file"]).open("rb") as file:
        ids, states = pickle.load(file)  # written by `reference` a moment ago
    done, state = states[request["share"]]
    with empty_folder() as cache:
        access = Access(root=request["root"], cache=cache, state=state)
        started = time.perf_counter()
        batches = system.batches(access)
        found = [np.asarray(next(batches).pair_ids)]
        elapsed = time.perf_counter() - started
        for batch in batches:
            found.append(np.asarray(batch.pair_ids))
            if request["whole"] is False and len(found) == _RESUMED_BATCHES:
                break
    expected = ids[done : done + len(found)]
    exact = len(expected) == len(found) and all(
        np.array_equal(left, right) for left, right in zip(found, expected, strict=True)
    )
    result = {"resume_s": elapsed, "exact": exact}
    if request["whole"]:
        seen = np.concatenate([*ids[:done], *found])
        distinct = len(np.unique(seen))
        result |= {
            "lost": int(len(np.concatenate(ids)) - distinct),
            "repeated": len(seen) - distinct,
        }
    return result


def fetch(system: System, request: dict[str, Any]) -> dict[str, Any]:
    """For ours: how long it takes to fetch and verify the shards of the window of a resume."""
    from shards.dataset import open_dataset
    from trainer.stream.dataset import BatchStream, StreamConfig
    from trainer.stream.order import BatchBudget, Cursor

    del system
    with Path(request["file"]).open("rb") as file:
        _, states = pickle.load(file)
    cursor = Cursor(*states[request["share"]][1])
    started = time.perf_counter()
    dataset = open_dataset(f"{request['root']}/pairs")
    stream = BatchStream(dataset, StreamConfig(budget=BatchBudget(sequences=32)), cursor=cursor)
    for part in stream.window_parts(cursor.epoch, cursor.window):
        dataset.read_blob(part.info)
    return {"fetch_s": time.perf_counter() - started}


def main() -> None:
    request = json.loads(sys.argv[1])
    os.sched_setaffinity(0, request["cores"])
    torch.set_num_threads(1)
    system: System = importlib.import_module(f"benchmarks.stream.systems.{request['system']}")  # type: ignore[assignment]
    kinds = {"write": write, "read": read, "reference": reference, "resume": resume, "fetch": fetch}
    result = kinds[request["kind"]](system, request)
    sys.stdout.write("\nRESULT " + json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)  # some systems leave threads that never end


if __name__ == "__main__":
    main()
