"""Every system on the same pairs, in turns → results.json, docs/stream.md and its plots.

    make bench-stream       # installs the peers, measures, writes the page: about 25 minutes

Environments, data and finished measurements are kept in the work folder: --resume goes on where a
run was stopped, and keeps what was measured. Needs nginx, as the file server of all systems.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.machine import machine
from benchmarks.stream.environments import SYSTEMS, SystemInfo, prepare
from benchmarks.stream.server import Server, find_nginx, serve_dataservice, serve_folder
from benchmarks.stream.session import Session

HERE: Final = Path(__file__).parent
SHARES: Final = (0.5, 0.9)
MEASURED_CORE: Final = 0
SERVER_CORE: Final = 1
OURS: Final = "ours"
NO_NGINX: Final = (
    "error: nginx is not installed, so nothing was measured, since it is the file server of all "
    "systems; install it, for example with `apt-get install --no-install-recommends nginx`"
)


class Run:
    """One run of the benchmark: which systems, how many pairs and rounds."""

    def __init__(self, options: argparse.Namespace, session: Session) -> None:
        self.options = options
        self.session = session
        self.systems = [info for info in SYSTEMS if info.module in options.systems]
        self.cores = os.cpu_count() or 1

    def root(self, system: str, size: str) -> Path:
        """Where a system's data lies; ours as the data folder of a service."""
        folder = self.session.work / "data" / size / system
        return folder / "datasets" if system == OURS else folder

    def url(self, system: str, size: str, files: Server) -> str:
        return f"{files.url}/{self.root(system, size).relative_to(self.session.work)}"

    def install(self) -> None:
        """Make the environments; a system whose packages do not install is left out, by name."""
        for info in self.systems:
            if info.requirements is None:
                continue
            try:
                python = prepare(
                    self.session.work / "environments", info.requirements, self.session.tell
                )
            except subprocess.CalledProcessError as error:
                self.session.keep(
                    f"describe/{info.module}", {"error": f"not installed: exit {error.returncode}"}
                )
            else:
                self.session.pythons[info.module] = str(python)
        self.systems = [info for info in self.systems if self._describe(info)]

    def _describe(self, info: SystemInfo) -> bool:
        told = self.session.measure(
            f"describe/{info.module}",
            120,
            system=info.module,
            kind="describe",
            packages=info.packages,
            cores=[MEASURED_CORE],
        )
        return "error" not in told

    def write(self) -> None:
        """Each system's own form of the same pairs."""
        sizes = {"full": self.options.pairs, "small": max(20_000, self.options.pairs // 5)}
        for info in self.systems:
            for size, pairs in sizes.items():
                key, root = f"write/{size}/{info.module}", self.root(info.module, size)
                if key not in self.session.done:
                    shutil.rmtree(root, ignore_errors=True)
                self.session.measure(
                    key,
                    1200,
                    system=info.module,
                    kind="write",
                    root=str(root),
                    pairs=pairs,
                    cores=[MEASURED_CORE],
                )
        self.systems = [
            info
            for info in self.systems
            if "error" not in self.session.done[f"write/full/{info.module}"]
        ]

    def read(self) -> None:
        """Speed and restarts; in each round every system has its turn."""
        names = [info.module for info in self.systems]
        with ExitStack() as stack:
            files = stack.enter_context(serve_folder(self.session.work, SERVER_CORE % self.cores))
            service = None
            if OURS in names:
                folder = self.root(OURS, "full").parent
                service = stack.enter_context(serve_dataservice(folder, SERVER_CORE % self.cores))
            for number in range(self.options.rounds):
                for name in names:
                    self._speed(name, number, files, service)
            for number in range(self.options.rounds):
                for name in names:
                    self._restarts(name, number, files)
        for name in names:
            self._cut(name)

    def _speed(self, name: str, number: int, files: Server, service: Server | None) -> None:
        """One round of one system: local, over HTTP, with loader workers."""
        root, url = str(self.root(name, "full")), self.url(name, "full", files)
        both = sorted({MEASURED_CORE, SERVER_CORE % self.cores})
        places: list[tuple[str, str, int, list[int]]] = [
            ("local", root, 0, [MEASURED_CORE]),
            ("http", url, 0, [MEASURED_CORE]),
            ("workers", root, 2, both),
        ]
        if name == OURS and service is not None:
            places.append(("service", f"{service.url}/datasets", 0, [MEASURED_CORE]))
        if not self.session.done[f"describe/{name}"]["reads_http"]:
            places = [place for place in places if place[0] != "http"]
        for place, where, workers, cores in places:
            key, sent = f"read/{place}/{name}/{number}", files.bytes_sent()
            is_new = key not in self.session.done
            result = self.session.measure(
                key,
                self.options.limit_s + 90,
                system=name,
                kind="read",
                root=where,
                num_workers=workers,
                limit_s=self.options.limit_s,
                cores=cores,
            )
            if place == "http" and is_new and result.get("complete"):
                wire = (files.bytes_sent() - sent) / result["samples"]
                self.session.keep(key, {**result, "wire_bytes_per_pair": wire})

    def _restarts(self, name: str, number: int, files: Server) -> None:
        """Go on in the middle: on the smaller set, over HTTP, since skipping takes minutes."""
        file = self.session.work / f"reference-{name}.pickle"
        reads_http = self.session.done[f"describe/{name}"]["reads_http"]
        small = self.url(name, "small", files) if reads_http else str(self.root(name, "small"))
        common: dict[str, Any] = {
            "system": name,
            "root": small,
            "file": str(file),
            "cores": [MEASURED_CORE],
        }
        told = self.session.measure(
            f"reference/{name}", 600, kind="reference", shares=SHARES, **common
        )
        if "error" in told:
            return
        kinds = ["resume", "fetch"] if name == OURS else ["resume"]
        for share in SHARES:
            for kind in kinds:
                self.session.measure(
                    f"{kind}/{share}/{name}/{number}",
                    300,
                    kind=kind,
                    share=share,
                    whole=number == 0,
                    **common,
                )

    def _cut(self, name: str) -> None:
        """One file of a copy lacks its last third: what is read is all, or an error, or a loss."""
        target = self.session.work / "data" / "cut" / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.root(name, "small"), target)
        largest = max(
            (path for path in target.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
        )
        with largest.open("r+b") as file:
            file.truncate(largest.stat().st_size * 2 // 3)
        self.session.measure(
            f"cut/{name}",
            60,
            system=name,
            kind="read",
            root=str(target),
            num_workers=0,
            limit_s=1000,
            cores=[MEASURED_CORE],
        )

    def ours_alone(self) -> None:
        """What is asked of no peer: memory by size, waiting while training, real text."""
        for millions in self.options.scale:
            folder = self.session.work / "data" / f"scale-{millions}"
            self.session.measure(
                f"scale/{millions}",
                900,
                system=OURS,
                kind="scale",
                root=str(folder),
                pairs=millions * 1_000_000,
                cores=[MEASURED_CORE],
            )
            shutil.rmtree(folder, ignore_errors=True)
        cores = list(range(self.cores))
        if self.options.train_steps:
            self.session.measure(
                "training",
                600,
                system=OURS,
                kind="training",
                root="",
                steps=self.options.train_steps,
                cores=cores,
            )
        if self.options.corpus:
            self.session.measure(
                "real",
                900,
                system=OURS,
                kind="real",
                root=str(self.session.work / "data" / "real"),
                corpus=str(self.options.corpus),
                cores=cores,
            )


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = [info.module for info in SYSTEMS]
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=10, help="of one reading of one epoch")
    parser.add_argument("--systems", nargs="*", default=names, choices=names)
    parser.add_argument(
        "--scale", nargs="*", type=int, default=[1, 10, 50], help="millions of pairs, ours alone"
    )
    parser.add_argument("--train-steps", type=int, default=100, help="0: no training")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=os.environ.get("PROMETHEUS_CORPUS"),
        help="JSON lines of real pairs, for padding; left out if not given",
    )
    parser.add_argument("--work", type=Path, default=HERE / "work", help="may be deleted later")
    parser.add_argument("--resume", action="store_true", help="keep what was measured already")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parse_options(arguments)
    console = Console(stderr=True, highlight=False)
    if find_nginx() is None:
        console.print(NO_NGINX)
        return 1
    session = Session(options.work.resolve(), keep=options.resume, tell=console.print)
    facts = machine()
    run = Run(options, session)
    run.install()
    run.write()
    run.read()
    if OURS in options.systems:
        run.ours_alone()
    result = {
        "machine": facts,
        "pairs": options.pairs,
        "rounds": options.rounds,
        "limit_s": options.limit_s,
        "measurements": session.done,
    }
    text = json.dumps(result, indent=1, sort_keys=True)
    options.results.write_text(f"{text}\n", encoding="utf-8")
    console.print(f"wrote {options.results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
