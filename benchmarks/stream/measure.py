"""One measurement, in a process of its own: a JSON request as argument → a JSON line on stdout.

The clock starts when everything is imported and ends with the last batch as torch tensors.
"""

import importlib
import importlib.metadata
import json
import os
import pickle
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import torch

from benchmarks.session import answer
from benchmarks.stream.corpus import PAD, make_corpus
from benchmarks.stream.systems.base import BATCH_SIZE, Access, PaddedBatch, System

_RESUMED_BATCHES: Final = 200  # compared with the uninterrupted epoch
_COUNTED: Final = 64  # every n-th batch: counting what is padding takes longer than padding does

Request = dict[str, Any]


@contextmanager
def cold_cache(request: Request) -> Iterator[Path]:
    """An empty folder, the same for a run and its resume: some systems store its path."""
    folder = Path(request["cache"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def describe(system: System, request: Request) -> Request:
    """What is measured: the system's name, how it is set, and the versions of its packages."""
    versions = {name: importlib.metadata.version(name) for name in request["packages"]}
    return {
        "name": system.NAME,
        "settings": system.SETTINGS,
        "resume": system.RESUME,
        "reads_http": system.READS_HTTP,
        "versions": {**versions, "numpy": np.__version__},
    }


def write(system: System, request: Request) -> Request:
    """The corpus in the system's own form; once, so its speed is by processor time."""
    corpus, folder = make_corpus(request["pairs"]), Path(request["root"])
    assert len(corpus.rows) == len(corpus), "made before the clock starts"
    started = _cpu_s()
    system.write(corpus, folder)
    elapsed = _cpu_s() - started
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"written_per_s": len(corpus) / elapsed, "bytes_per_pair": size / len(corpus)}


def _cpu_s() -> float:
    """Processor time of this process and of those that it has waited for."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def read(system: System, request: Request) -> Request:
    """Batches until time is up, epoch after epoch; or, with `whole`, one epoch to its end.

    Speed counts from the start, the first batch and every later start of an epoch included.
    """
    endless = not request["whole"]
    with cold_cache(request) as cache:
        workers = request["num_workers"]
        access = Access(root=request["root"], cache=cache, num_workers=workers, endless=endless)
        samples = cells = tokens = counted = 0
        first = 0.0
        started = time.perf_counter()
        for number, batch in enumerate(_tensors(system.loader(access), endless=endless)):
            samples += len(batch.pair_ids)
            cells += batch.input_ids.numel() + batch.target_ids.numel()
            if not number:
                first = time.perf_counter()
            if number % _COUNTED == 0:
                counted += batch.input_ids.numel() + batch.target_ids.numel()
                tokens += int(np.count_nonzero(batch.input_ids.numpy() != PAD))
                tokens += int(np.count_nonzero(batch.target_ids.numpy() != PAD))
            if endless and number % 16 == 0 and time.perf_counter() - started > request["limit_s"]:
                break
        elapsed = time.perf_counter() - started
    share = tokens / counted if counted else 0.0  # a damaged set may give nothing, and say nothing
    return {
        "first_batch_s": first - started,
        "samples_per_s": samples / elapsed,
        "samples_per_s_after_first": (samples - BATCH_SIZE) / (elapsed - (first - started)),
        "tokens_per_s": cells / elapsed * share,
        "padding_share": 1 - share,
        "samples": samples,
        "elapsed_s": elapsed,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


class _TensorBatch(NamedTuple):
    input_ids: torch.Tensor
    target_ids: torch.Tensor
    pair_ids: Any


def _tensors(loader: Iterable[PaddedBatch], *, endless: bool) -> Iterator[_TensorBatch]:
    """The batches as tensors, which share their memory."""
    while True:
        for batch in loader:
            inputs, targets = batch.input_ids, batch.target_ids
            yield _TensorBatch(torch.as_tensor(inputs), torch.as_tensor(targets), batch.pair_ids)
        if not endless:
            return


def reference(system: System, request: Request) -> Request:
    """The ids of one undisturbed epoch, and what is stored at some places of it."""
    with cold_cache(request) as cache:
        access = Access(root=request["root"], cache=cache)
        ids = [np.asarray(batch.pair_ids) for batch in system.loader(access)]
        states = {}
        for share in request["shares"]:
            done = int(len(ids) * share)
            states[share] = (done, system.snapshot(access, done))
    with Path(request["file"]).open("wb") as file:
        pickle.dump((ids, states), file)
    return {"batches": len(ids), "distinct": len(np.unique(np.concatenate(ids)))}


def resume(system: System, request: Request) -> Request:
    """How soon the next batch comes after a restart, and whether it is the right one."""
    with Path(request["file"]).open("rb") as file:
        ids, states = pickle.load(file)  # written by `reference` a moment ago
    done, state = states[request["share"]]
    with cold_cache(request) as cache:
        access = Access(root=request["root"], cache=cache, state=state)
        started = time.perf_counter()
        batches = iter(system.loader(access))
        found = [np.asarray(next(batches).pair_ids)]
        elapsed = time.perf_counter() - started
        for batch in batches:
            found.append(np.asarray(batch.pair_ids))
            if not request["whole"] and len(found) == _RESUMED_BATCHES:
                break
    expected = ids[done : done + len(found)]
    exact = len(expected) == len(found) and all(
        np.array_equal(left, right) for left, right in zip(found, expected, strict=True)
    )
    if not request["whole"]:
        return {"resume_s": elapsed, "exact": exact}
    seen = np.concatenate([*ids[:done], *found])
    distinct = len(np.unique(seen))
    return {
        "resume_s": elapsed,
        "exact": exact,
        "lost": len(np.unique(np.concatenate(ids))) - distinct,
        "repeated": len(seen) - distinct,
    }


KINDS: Final[dict[str, Callable[[System, Request], Request]]] = {
    kind.__name__: kind for kind in (describe, write, read, reference, resume)
}


def main() -> None:
    """Entry point of the process."""
    warnings.filterwarnings("ignore")  # a peer's, which no reader of the result can mend
    request = json.loads(sys.argv[1])
    os.sched_setaffinity(0, set(request["cores"]) & os.sched_getaffinity(0))
    torch.set_num_threads(1)
    kinds = KINDS
    if request["system"] == "ours":
        from benchmarks.stream import ours_alone

        kinds = {**KINDS, **ours_alone.KINDS}
    system = cast(System, importlib.import_module(f"benchmarks.stream.systems.{request['system']}"))
    answer(kinds[request["kind"]](system, request))
    os._exit(0)  # some systems leave threads that never end


if __name__ == "__main__":
    main()
