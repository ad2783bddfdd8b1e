"""One measurement, in a process of its own: a JSON request as argument → a JSON line on stdout.

The clock starts when everything is imported and ends when the result is on disk.
"""

import importlib
import importlib.metadata
import json
import os
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.prepare.systems.base import Job, System
from benchmarks.session import answer

Request = dict[str, Any]
Kinds = dict[str, Callable[[Request], Request]]


def describe(system: System, request: Request) -> Request:
    """The system's name, how it is set, and the versions of its packages."""
    versions = {name: importlib.metadata.version(name) for name in request["packages"]}
    told = {"name": system.NAME, "settings": system.SETTINGS, "does": system.DOES}
    return {**told, "versions": versions}


def prepare(system: System, request: Request) -> Request:
    """The whole way from the file to the written data set."""
    job = job_of(request)
    with cold(job):
        with clock() as figures:
            figures |= system.prepare(job)
        written = job.folder / getattr(system, "WRITTEN", "")
        return {**figures, "written_bytes": folder_bytes(written)}


def check(system: System, request: Request) -> Request:
    """What one preparation wrote, read back; not timed."""
    job = job_of(request)
    with cold(job):
        system.prepare(job)
        return system.check(job)


def job_of(request: Request) -> Job:
    paths = {name: Path(request[name]) for name in ("corpus", "folder", "cache", "model")}
    tokenizer = Path(request["tokenizer"])
    return Job(**paths, tokenizer=tokenizer, vocab_size=request["vocab_size"])


@contextmanager
def cold(job: Job) -> Iterator[None]:
    """Empty folders, and no trace of them afterwards."""
    for folder in (job.folder, job.cache):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        yield
    finally:
        for folder in (job.folder, job.cache):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def clock() -> Iterator[Request]:
    """Fills in what the enclosed work took: time, processor time and memory."""
    figures: Request = {}
    cpu, started = _cpu_s(), time.perf_counter()
    yield figures
    figures["elapsed_s"] = time.perf_counter() - started
    figures["cpu_s"] = _cpu_s() - cpu
    # of this process, or of the largest that it waited for
    peaks = [resource.getrusage(who).ru_maxrss for who in _WHO]
    figures["peak_rss_bytes"] = max(peaks) * 1024


_WHO: Final = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _cpu_s() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, _WHO))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Entry point of the process."""
    warnings.filterwarnings("ignore")  # a peer's, which no reader of the result can mend
    request = json.loads(sys.argv[1])
    os.sched_setaffinity(0, set(request["cores"]) & os.sched_getaffinity(0))
    module = importlib.import_module(f"benchmarks.prepare.systems.{request['system']}")
    own: Kinds = getattr(module, "KINDS", {})
    if request["kind"] in own:
        answer(own[request["kind"]](request))
    else:
        kinds = {kind.__name__: kind for kind in (describe, prepare, check)}
        answer(kinds[request["kind"]](cast(System, module), request))
    sys.stdout.flush()
    os._exit(0)  # some systems leave threads that never end


if __name__ == "__main__":
    main()
