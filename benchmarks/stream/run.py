"""Every system on the same pairs, in turns → results.json, docs/stream.md and its plots.

    make bench-stream       # installs the peers, measures, writes the page: half an hour

Environments, data and finished measurements are kept in the work folder: --resume goes on where a
run was stopped, and keeps what was measured. Needs nginx, as the file server of all systems.
"""

import argparse
import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.environments import SystemInfo, install
from benchmarks.machine import find_nginx, machine
from benchmarks.options import code_digest
from benchmarks.session import OtherRunError, Session
from benchmarks.stream.options import HERE, MEASURED, OURS, SYSTEMS, parse_options
from benchmarks.stream.server import Server, serve_dataservice, serve_folder

SHARES: Final = (0.5, 0.9)
MEASURED_CORE: Final = 0
SERVER_CORE: Final = 1
NO_NGINX: Final = (
    "error: nginx is not installed, so nothing was measured, since it is the file server of all "
    "systems; install it, for example with `apt-get install --no-install-recommends nginx`"
)


class Run:
    """One run of the benchmark: which systems, how many pairs and rounds."""

    def __init__(self, options: argparse.Namespace, session: Session) -> None:
        self.options = options
        self.session = session
        self.systems = [info for info in SYSTEMS if info.name in options.systems]
        self.cores = os.cpu_count() or 1

    def root(self, system: str, size: str) -> Path:
        """Where a system's data lies; ours as the data folder of a service."""
        folder = self.session.work / "data" / size / system
        return folder / "datasets" if system == OURS else folder

    def url(self, system: str, size: str, files: Server) -> str:
        return f"{files.url}/{self.root(system, size).relative_to(self.session.work)}"

    def install(self) -> None:
        """Make the environments; a system that cannot be described is left out, by name."""
        install(self.systems, HERE / "requirements", self.session)
        self.systems = [info for info in self.systems if self._describe(info)]

    def _describe(self, info: SystemInfo) -> bool:
        told = self.session.measure(
            f"describe/{info.name}",
            120,
            system=info.name,
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
                key, root = f"write/{size}/{info.name}", self.root(info.name, size)
                if key not in self.session.done:
                    shutil.rmtree(root, ignore_errors=True)
                self.session.measure(
                    key,
                    1200,
                    system=info.name,
                    kind="write",
                    root=str(root),
                    pairs=pairs,
                    cores=[MEASURED_CORE],
                )
        self.systems = [
            info
            for info in self.systems
            if "error" not in self.session.done[f"write/full/{info.name}"]
        ]

    def read(self) -> None:
        """Speed and restarts; in each round every system has its turn."""
        names = [info.name for info in self.systems]
        with ExitStack() as stack:
            files = stack.enter_context(serve_folder(self.session.work, SERVER_CORE % self.cores))
            service = None
            if OURS in names:
                folder = self.root(OURS, "full").parent
                service = stack.enter_context(serve_dataservice(folder, SERVER_CORE % self.cores))
            for number in range(self.options.rounds):
                # forth and back, so that no system always comes first
                for name in names[:: 1 if number % 2 == 0 else -1]:
                    self._speed(name, number, files, service)
            for number in range(self.options.rounds):
                for name in names:  # the smaller set, since some skip, which takes minutes
                    self._restarts(name, "small", number, files)
                if OURS in names:
                    self._restarts(OURS, "full", number, files)
            for name in names:
                self._wire(name, files)
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
        if not self._reads_http(name):
            places = [place for place in places if place[0] != "http"]
        for place, where, workers, cores in places:
            self.session.measure(
                f"read/{place}/{name}/{number}",
                self.options.limit_s + 90,
                system=name,
                kind="read",
                root=where,
                num_workers=workers,
                whole=False,
                limit_s=self.options.limit_s,
                cores=cores,
            )

    def _wire(self, name: str, files: Server) -> None:
        """What the file server sends for one whole epoch of the smaller set."""
        key, sent = f"wire/{name}", files.bytes_sent()
        if key in self.session.done or not self._reads_http(name):
            return
        url = self.url(name, "small", files)
        result = self._read_whole(key, name, url, timeout_s=300)
        if "error" not in result:
            wire = (files.bytes_sent() - sent) / result["samples"]
            self.session.keep(key, {**result, "wire_bytes_per_pair": wire})

    def _read_whole(self, key: str, name: str, root: str, *, timeout_s: float) -> dict[str, Any]:
        return self.session.measure(
            key,
            timeout_s,
            system=name,
            kind="read",
            root=root,
            num_workers=0,
            whole=True,
            cores=[MEASURED_CORE],
        )

    def _reads_http(self, name: str) -> bool:
        return bool(self.session.done[f"describe/{name}"]["reads_http"])

    def _restarts(self, name: str, size: str, number: int, files: Server) -> None:
        """Go on in the middle, over HTTP."""
        file = self.session.work / f"reference-{size}-{name}.pickle"
        url, root = self.url(name, size, files), str(self.root(name, size))
        common: dict[str, Any] = {
            "system": name,
            "root": url if self._reads_http(name) else root,
            "file": str(file),
            "cores": [MEASURED_CORE],
        }
        told = self.session.measure(
            f"reference/{size}/{name}", 600, kind="reference", shares=SHARES, **common
        )
        if "error" in told:
            return
        kinds = ["resume", "fetch"] if name == OURS else ["resume"]
        for share in SHARES:
            for kind in kinds:
                self.session.measure(
                    f"{kind}/{size}/{share}/{name}/{number}",
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
        self._read_whole(f"cut/{name}", name, str(target), timeout_s=90)

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


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parse_options(arguments)
    console = Console(stderr=True, highlight=False)
    if find_nginx() is None:
        console.print(NO_NGINX)
        return 1
    facts = machine()
    how = {"pairs": options.pairs, "rounds": options.rounds, "limit_s": options.limit_s}
    how |= {"code": code_digest(MEASURED), "cpu": facts["cpu"], "kernel": facts["kernel"]}
    try:
        work = options.work.resolve()
        session = Session(
            "benchmarks.stream.measure", work, how, keep=options.resume, tell=console.print
        )
    except OtherRunError as error:
        console.print(f"error: {error}")
        return 1
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
        "code": how["code"],
        "measurements": session.done,
    }
    session.write_results(options.results, result)
    console.print(f"wrote {options.results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
