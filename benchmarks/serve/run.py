"""Nothing → results.json: how fast blobs and manifests leave the data service and its peers.

    make bench-serve        # measures, then writes docs/serving.md and its plots

All servers run at once over one folder; each round measures each of them for a moment, in turn, so
that a busy machine is as busy for all. Figures are medians over rounds, with the least and most.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn as Bar
from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.serve.servers import Server, TestData, find_nginx, make_data, running

HERE: Final = Path(__file__).parent
MIB: Final = 1 << 20
BLOBS: Final = {64 * MIB: 4, 4 * MIB: 32}
MANIFESTS: Final = (20_000, 300_000)
CLIENTS: Final = (1, 8, 32)
MANIFEST_CLIENTS: Final = 8
NO_NGINX: Final = (
    "nginx is not installed, so it is not measured: apt-get install --no-install-recommends nginx "
    "installs Debian's; --without-nginx measures the others alone"
)


@dataclass(frozen=True)
class Case:
    """One thing to measure of one server."""

    what: str
    server: str
    size: int
    clients: int
    paths: tuple[str, ...]
    etag: str | None = None

    @property
    def key(self) -> str:
        return f"{self.what}/{self.size}/{self.clients}/{self.server}"


def cases(data: TestData, servers: Sequence[str]) -> list[Case]:
    """All that is measured in a round."""
    blobs = [
        Case("blob", server, size, clients, tuple(paths))
        for size, paths in data.blobs.items()
        for clients in CLIENTS
        for server in servers
        if server != "route"
    ]
    small = []
    for size, version in data.manifests.items():
        for server in servers:
            bare = f"/bare/{version}.json"
            path = (bare if server == "route" else data.manifest_path(size),)
            if server != "staticfiles":
                small.append(Case("manifest", server, size, MANIFEST_CLIENTS, path))
                etag = f'"{version}"'
                small.append(Case("known manifest", server, size, MANIFEST_CLIENTS, path, etag))
    return blobs + small


def measure(case: Case, server: Server, seconds: float) -> dict[str, float]:
    """One case, once. Raises RuntimeError when the clients got anything but what they asked for."""
    command = [sys.executable, str(HERE / "load.py"), str(server.port), *case.paths]
    command += ["--clients", str(case.clients), "--seconds", str(seconds)]
    command += ["--etag", case.etag] if case.etag else []
    resident: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            resident.append(server.resident_bytes())

    watcher = threading.Thread(target=watch)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        load.stdout.readline()
        before, first = server.cpu_s(), server.resident_bytes()
        watcher.start()
        result = load.stdout.readline()
        cpu_s, last = server.cpu_s() - before, server.resident_bytes()
        ended.set()
        watcher.join()
    if not result:
        raise RuntimeError(f"{case.key}: the clients failed; their message is above")
    counts: dict[str, float] = json.loads(result)
    return {
        "mb_per_s": counts["bytes"] / counts["seconds"] / 1e6,
        "requests_per_s": counts["answers"] / counts["seconds"],
        "cpu_s_per_gb": cpu_s / max(counts["bytes"] / 1e9, 1e-9),
        "cpu_us_per_request": 1e6 * cpu_s / max(counts["answers"], 1),
        "peak_rss_mb": max([first, last, *resident]) / 1e6,
        "rss_growth_mb": (last - first) / 1e6,
        "client_cpu": counts["client_cpu_s"] / counts["seconds"],
    }


def summary(samples: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure."""
    return {
        name: {
            "median": statistics.median(values := [sample[name] for sample in samples]),
            "min": min(values),
            "max": max(values),
        }
        for name in samples[0]
    }


def environment(nginx: str | None) -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {
        name: importlib.metadata.version(name)
        for name in ("uvicorn", "starlette", "fastapi", "h11", "prometheusgpt-mini")
    }
    if nginx:
        told = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
        versions["nginx"] = told.strip().rpartition("/")[2]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / 1e9),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": versions,
        "load_before": os.getloadavg()[0],
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each case in each round")
    parser.add_argument("--without-nginx", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    console = Console(stderr=True)
    nginx = None if options.without_nginx else find_nginx()
    if nginx is None and not options.without_nginx:
        console.print(NO_NGINX, style="red")
        return 1
    samples: dict[str, list[dict[str, float]]] = defaultdict(list)
    facts = environment(nginx)
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        data = make_data(Path(folder), BLOBS, list(MANIFESTS))
        with (
            running(data, with_nginx=nginx is not None) as servers,
            Progress(
                *(TextColumn("{task.description}"), Bar(), TimeElapsedColumn()),
                TimeRemainingColumn(),
                console=console,
            ) as progress,
        ):
            todo = cases(data, list(servers))
            task = progress.add_task("", total=len(todo) * options.rounds)
            for number in range(options.rounds):
                for case in todo:
                    progress.update(task, description=f"round {number + 1}, {case.key}")
                    samples[case.key].append(measure(case, servers[case.server], options.seconds))
                    progress.advance(task)
    result = {
        "environment": facts,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cases": {key: summary(values) for key, values in samples.items()},
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
