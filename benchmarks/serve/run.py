"""Nothing → results.json: how fast blobs and manifests leave the data service and its peers.

    make bench-serve        # measures, then writes docs/serving.md and its plots

All servers run at once over one folder; each round measures each of them for a moment, in turn, so
that a busy machine is as busy for all.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.machine import find_nginx, machine
from benchmarks.serve.servers import (
    SETTINGS,
    ServedFiles,
    Server,
    check,
    make_data,
    running,
)

HERE: Final = Path(__file__).parent
MIB: Final = 1 << 20
MANIFEST_CLIENTS: Final = 8
NO_NGINX: Final = (
    "nginx is not installed, so nothing was measured; `apt-get install --no-install-recommends "
    "nginx` installs Debian's, --without-nginx measures the others alone"
)


@dataclass(frozen=True)
class Case:
    """One thing to measure of one server."""

    what: str
    size: int
    clients: int
    server: str
    paths: tuple[str, ...]
    etag: str | None = None


def cases(data: ServedFiles, servers: Sequence[str], clients: Sequence[int]) -> list[Case]:
    """All that is measured in a round; those that are compared come one after another."""
    blobs = [
        Case("blob", size, number, server, tuple(paths))
        for size, paths in data.blobs.items()
        for number in clients
        for server in servers
        if server != "route"
    ]
    small = []
    for size, version in data.manifests.items():
        for what, etag in (("manifest", None), ("known manifest", f'"{version}"')):
            for server in servers:
                bare = f"/bare/{version}.json"
                path = (bare if server == "route" else data.manifest_path(size),)
                if server not in ("staticfiles", "plain nginx"):
                    small.append(Case(what, size, MANIFEST_CLIENTS, server, path, etag))
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
        raise RuntimeError(
            f"the clients of {case.server} failed ({case.what}, {case.clients} clients), so there "
            "are no results; their message is above"
        )
    counts: dict[str, float] = json.loads(result)
    return {
        "mb_per_s": counts["bytes"] / counts["seconds"] / 1e6,
        "requests_per_s": counts["answers"] / counts["seconds"],
        "cpu_s_per_gb": 1e9 * cpu_s / max(counts["bytes"], 1) if case.what == "blob" else 0.0,
        "cpu_us_per_request": 1e6 * cpu_s / max(counts["answers"], 1),
        "peak_rss_mb": max([first, last, *resident]) / 1e6,
        "rss_growth_mb": (last - first) / 1e6,
        "client_cpu_share": counts["client_cpu_s"] / counts["seconds"],
    }


def environment(nginx: str | None) -> dict[str, Any]:
    """What the figures were measured on."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("uvicorn", "starlette", "fastapi", "h11", "prometheusgpt-mini")
    }
    if nginx:
        told = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
        versions["nginx"] = told.strip().rpartition("/")[2]
    return {**machine(), "versions": versions}


def measure_all(
    todo: Sequence[Case], servers: dict[str, Server], *, rounds: int, seconds: float, bar: Progress
) -> list[dict[str, Any]]:
    """Each case with its figures, a list of one for each round."""
    figures: dict[Case, dict[str, list[float]]] = {case: defaultdict(list) for case in todo}
    task = bar.add_task("", total=len(todo) * rounds)
    for number in range(rounds):
        # there and back in turns, so that no server is always the one after another
        for case in todo if number % 2 == 0 else reversed(todo):
            shown = f"round {number + 1}: {case.what}, {case.clients} clients, {case.server}"
            bar.update(task, description=shown)
            for name, value in measure(case, servers[case.server], seconds).items():
                figures[case][name].append(round(value, 3))
            bar.advance(task)
    keys = ("what", "size", "clients", "server")
    return [{key: asdict(case)[key] for key in keys} | {"figures": figures[case]} for case in todo]


def benchmark(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Start the servers, measure them, stop them; what results.json has."""
    nginx = None if options.without_nginx else find_nginx()
    facts = environment(nginx)
    blobs = {size: max(4, min(32, 256 * MIB // size)) for size in options.blob_bytes}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as folder:
        data = make_data(Path(folder), blobs, options.manifest_bytes)
        with (
            running(data, with_nginx=nginx is not None) as servers,
            Progress(*columns, TimeRemainingColumn(), console=console) as bar,
        ):
            todo = cases(data, list(servers), options.clients)
            idle = {name: server.resident_bytes() / 1e6 for name, server in servers.items()}
            for case in todo:
                check(servers[case.server], case.paths[:1])
            measured = measure_all(
                todo, servers, rounds=options.rounds, seconds=options.seconds, bar=bar
            )
    return {
        "environment": facts,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "servers": {
            name: {"settings": SETTINGS[name], "idle_rss_mb": round(idle[name], 1)} for name in idle
        },
        "cases": measured,
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each case in each round")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--blob-bytes", type=int, nargs="+", default=[64 * MIB, 4 * MIB])
    parser.add_argument("--manifest-bytes", type=int, nargs="+", default=[20_000, 300_000])
    parser.add_argument("--without-nginx", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    console = Console(stderr=True)
    if not options.without_nginx and find_nginx() is None:
        console.print(NO_NGINX, style="red")
        return 1
    result = benchmark(options, console)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
