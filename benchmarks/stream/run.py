"""Every system on the same pairs, in turns → results.json; see `make bench-stream`.

    python -m benchmarks.stream.run --pairs 500000 --rounds 3

Finished measurements are kept in the work folder: --resume goes on where a run was stopped.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.stream.server import Server, serve_dataservice, serve_folder

HERE = Path(__file__).parent
SYSTEMS = (
    "ours",
    "webdataset_blocks",
    "litdata_zstd",
    "hf_parquet",
    "mosaic_mds",
    "webdataset_pairs",
)
PACKAGES = ("torch", "numpy", "webdataset", "litdata", "mosaicml-streaming", "datasets")
SHARES = (0.5, 0.9)
MEASURED_CORE, SERVER_CORE = 0, 1


class Bench:
    """The measurements of one run, each of them stored as soon as it is made."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work: Path = options.work
        self.file = self.work / "measurements.json"
        self.done: dict[str, Any] = {}
        if options.resume and self.file.exists():
            self.done = json.loads(self.file.read_text())

    def python(self, system: str) -> str:
        """The interpreter whose environment has a system; some cannot live with the others."""
        given = dict(pair.split("=", 1) for pair in self.options.python)
        return given.get(system, sys.executable)

    def root(self, system: str, size: str) -> Path:
        """Where a system's data lies; ours as the data folder of a service."""
        folder = self.work / size / system
        return folder / "datasets" if system == "ours" else folder

    def measure(self, key: str, timeout_s: float, **request: Any) -> Any:
        """One measurement, unless it is there already; a failure is a result, too."""
        if key not in self.done:
            sys.stderr.write(f"{datetime.datetime.now():%H:%M:%S} {key}\n")
            self.done[key] = run_measure(request, timeout_s, self.python(request["system"]))
            if "error" in self.done[key]:
                sys.stderr.write(f"    {self.done[key]['error'][:300]}\n")
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(json.dumps(self.done, indent=1))
        return self.done[key]


def run_measure(request: dict[str, Any], timeout_s: float, python: str) -> dict[str, Any]:
    """Run benchmarks.stream.measure in a process group that is killed when time is up."""
    command = [python, "-m", "benchmarks.stream.measure", json.dumps(request)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
        },
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return {"error": f"no end within {timeout_s:.0f} s"}
    for line in output.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return result
    last = [line for line in errors.splitlines() if line and not line.startswith(" ")][-1:]
    return {"error": last[0][:500] if last else f"exit code {process.returncode}"}


def cut_copy(root: Path, target: Path) -> None:
    """A copy of a data set whose largest file lacks its last third."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root, target)
    largest = max(
        (path for path in target.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    with largest.open("r+b") as file:
        file.truncate(largest.stat().st_size * 2 // 3)


def run_all(bench: Bench) -> None:
    options = bench.options
    small = max(20_000, options.pairs // 5)
    for system in options.systems:
        for size, pairs in (("full", options.pairs), ("small", small)):
            root = bench.root(system, size)
            key = f"write/{size}/{system}"
            if key not in bench.done:
                shutil.rmtree(root, ignore_errors=True)
            bench.measure(
                key,
                1200,
                system=system,
                kind="write",
                root=str(root),
                pairs=pairs,
                cores=[MEASURED_CORE],
            )
    usable = [name for name in options.systems if "error" not in bench.done[f"write/full/{name}"]]
    with ExitStack() as stack:
        files = stack.enter_context(serve_folder(bench.work, SERVER_CORE))
        service = None
        if "ours" in usable:
            service = stack.enter_context(
                serve_dataservice(bench.work / "full" / "ours", SERVER_CORE)
            )
        for number in range(options.rounds):
            for system in usable:
                speed(bench, system, number, files, service)
        for system in usable:
            restarts(bench, system, files)
    for system in usable:
        cut_copy(bench.root(system, "small"), bench.work / "cut" / system)
        bench.measure(
            f"cut/{system}",
            60,
            system=system,
            kind="read",
            root=str(bench.work / "cut" / system),
            num_workers=0,
            limit_s=1000,
            cores=[MEASURED_CORE],
        )


def speed(bench: Bench, system: str, number: int, files: Server, service: Server | None) -> None:
    """One round of one system: local, over HTTP, with loader workers."""
    root = bench.root(system, "full")
    url = f"{files.url}/{root.relative_to(bench.work)}"
    limit = bench.options.limit_s
    places: list[tuple[str, str, int, list[int]]] = [
        ("local", str(root), 0, [MEASURED_CORE]),
        ("http", url, 0, [MEASURED_CORE]),
        ("workers", str(root), 2, [MEASURED_CORE, SERVER_CORE]),
    ]
    if system == "ours" and service is not None:
        places.append(("service", f"{service.url}/datasets", 0, [MEASURED_CORE]))
    for place, where, workers, cores in places:
        before = files.bytes_sent()
        key = f"read/{place}/{system}/{number}"
        fresh = key not in bench.done
        result = bench.measure(
            key,
            limit + 90,
            system=system,
            kind="read",
            root=where,
            num_workers=workers,
            limit_s=limit,
            cores=cores,
        )
        if place == "http" and fresh and before is not None and result.get("complete"):
            result["wire_bytes_per_pair"] = ((files.bytes_sent() or 0) - before) / result["samples"]


def restarts(bench: Bench, system: str, files: Server) -> None:
    """Resume in the middle: on the smaller set, over HTTP, since skipping takes minutes."""
    root = bench.root(system, "small")
    url = f"{files.url}/{root.relative_to(bench.work)}"
    file = bench.work / f"reference-{system}.pickle"
    told = bench.measure(
        f"reference/{system}",
        600,
        system=system,
        kind="reference",
        root=url,
        file=str(file),
        shares=SHARES,
        cores=[MEASURED_CORE],
    )
    if "error" in told:
        return
    for share in SHARES:
        for number in range(bench.options.rounds):
            bench.measure(
                f"resume/{share}/{system}/{number}",
                300,
                system=system,
                kind="resume",
                root=url,
                file=str(file),
                share=share,
                whole=number == 0,
                cores=[MEASURED_CORE],
            )
            if system == "ours":
                bench.measure(
                    f"fetch/{share}/{system}/{number}",
                    60,
                    system=system,
                    kind="fetch",
                    root=url,
                    file=str(file),
                    share=share,
                    cores=[MEASURED_CORE],
                )


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": f"{datetime.date.today()}",
        "versions": versions,
    }


def describe(systems: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for name in systems:
        try:
            module = importlib.import_module(f"benchmarks.stream.systems.{name}")
        except ImportError as error:
            yield name, {"name": name, "settings": f"not installed: {error}", "resume": ""}
            continue
        yield name, {"name": module.NAME, "settings": module.SETTINGS, "resume": module.RESUME}


def main(
    arguments: list[str] | None = None, write: Callable[[str], object] = sys.stdout.write
) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=20, help="of one reading of one epoch")
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS))
    parser.add_argument(
        "--python", nargs="*", default=[], metavar="SYSTEM=PATH", help="an interpreter of its own"
    )
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--resume", action="store_true", help="keep what was measured already")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    options = parser.parse_args(arguments)
    bench = Bench(options)
    run_all(bench)
    options.results.write_text(
        json.dumps(
            {
                "machine": machine(),
                "pairs": options.pairs,
                "rounds": options.rounds,
                "limit_s": options.limit_s,
                "systems": dict(describe(options.systems)),
                "measurements": bench.done,
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
    )
    write(f"{options.results}\n")


if __name__ == "__main__":
    main()
