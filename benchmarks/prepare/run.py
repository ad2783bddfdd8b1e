"""Every system on the same real text, in turns → results.json.

    make bench-prepare      # installs the peers, measures, writes docs/prepare.md and its plots

Each measurement is a process of its own, pinned to one core. Environments, models and finished
measurements are kept in the work folder: --resume goes on where a run was stopped.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.environments import SystemInfo, install
from benchmarks.machine import machine
from benchmarks.options import code_digest
from benchmarks.prepare.corpus import Size, copy_plain
from benchmarks.prepare.expand import expand
from benchmarks.prepare.options import HERE, MEASURED, NO_CORPUS, OURS, SYSTEMS, parse_options
from benchmarks.session import OtherRunError, Session

CORE: Final = max(os.sched_getaffinity(0))
"""That on which everything is measured: the first one has more of the system's own work."""
CHANGES: Final = ("shards", "tags")
MEMOS: Final = ("reused", "warm", "cold")
_TIMEOUT_S: Final = 1200


class Run:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace, session: Session, corpus: Path) -> None:
        self.options = options
        self.session = session
        self.corpus = corpus
        self.systems = [info for info in SYSTEMS if info.name in options.systems]

    def measure(self, key: str, system: str, kind: str, size: int, **more: Any) -> dict[str, Any]:
        """One measurement on one core, with a vocabulary of one size."""
        work = self.session.work
        request = {
            "cores": [CORE],
            "corpus": str(self.corpus),
            "folder": str(work / "data" / system),
            "model": str(work / "models" / f"{size}.model"),
            "tokenizer": str(work / "models" / f"{size}.json"),
            "vocab_size": size,
        }
        return self.session.measure(key, _TIMEOUT_S, system=system, kind=kind, **(request | more))

    def install(self) -> None:
        """Make the environments; a system that cannot be described is left out, by name."""
        install(self.systems, HERE / "requirements", self.session)
        self.systems = [info for info in self.systems if self._describe(info)]

    def _describe(self, info: SystemInfo) -> bool:
        key = f"describe/{info.name}"
        size = self.options.sizes[0]
        return "error" not in self.measure(key, info.name, "describe", size, packages=info.packages)

    def train(self) -> None:
        """The models that all are given; those of an earlier run on the same text are kept."""
        (self.session.work / "models").mkdir(parents=True, exist_ok=True)
        names = [info.name for info in self.systems]
        for size in self.options.sizes:
            self.measure(f"train/{size}/{OURS}", OURS, "train", size)
            if "hf_datasets" in names:
                self.measure(f"train/{size}/hf_datasets", "hf_datasets", "train", size)

    def check(self) -> None:
        """What each system writes, read back once."""
        for size in self.options.sizes:
            for info in self.systems:
                self.measure(f"check/{size}/{info.name}", info.name, "check", size)

    def bases(self) -> None:
        """What is there before a reshard."""
        for size in self.options.sizes:
            folder = self._base(size)
            if not folder.exists():
                self.session.done.pop(f"base/{size}", None)
            self.measure(f"base/{size}", OURS, "base", size, base=str(folder))

    def _base(self, size: int) -> Path:
        return self.session.work / "base" / str(size)

    def round(self, number: int) -> None:
        """Every system and every kind of work once, forth or back, so that none always is first."""
        for size in self.options.sizes:
            turns: list[tuple[str, str, str, dict[str, Any]]] = [
                (f"prepare/{size}/{info.name}", info.name, "prepare", {}) for info in self.systems
            ]
            if OURS in self.options.systems:
                turns += [(f"encode/{size}", OURS, "encode", {})]
                turns += [(f"commands/{size}", OURS, "commands", {"processes": 1})]
                turns += [
                    (
                        f"reshard/{size}/{change}/{memo}",
                        OURS,
                        "reshard",
                        {"change": change, "memo": memo, "base": str(self._base(size))},
                    )
                    for change in CHANGES
                    for memo in MEMOS
                ]
            turns.insert(len(turns) // 2, (f"raw/{size}", OURS, "raw", {}))
            for key, system, kind, more in turns[:: 1 if number % 2 == 0 else -1]:
                self.measure(f"{key}/{number}", system, kind, size, **more)

    def scaling(self, number: int, corpus: list[Path]) -> None:
        """The same build by one process on one core, and by two on two."""
        both = sorted(os.sched_getaffinity(0))[-2:]
        for processes, cores in ((1, [CORE]), (2, both))[:: 1 if number % 2 == 0 else -1]:
            self.measure(
                f"scaling/{processes}/{number}",
                OURS,
                "commands",
                self.options.sizes[-1],
                processes=processes,
                cores=cores,
                sources=[str(part) for part in corpus],
            )

    def run(self) -> None:
        """All of it."""
        self.install()
        self.train()
        if not self.options.without_checks:
            self.check()
        ours = OURS in self.options.systems
        if ours:
            self.bases()
        for number in range(self.options.rounds):
            self.round(number)
        if ours and (pairs := self.options.scaling_pairs):
            folder = self.session.work / f"corpus-{pairs}"
            parts = expand(self.options.corpus, pairs, folder)
            for number in range(self.options.rounds):
                self.scaling(number, parts)


def _kept_scale(results: Path) -> dict[str, Any]:
    """Measurements that scale.py put into the results of an earlier run."""
    if not results.exists():
        return {}
    told = json.loads(results.read_text(encoding="utf-8")).get("measurements", {})
    return {key: value for key, value in told.items() if key.startswith("scale/")}


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    options = parse_options(arguments)
    console = Console(stderr=True, highlight=False)
    if options.corpus is None:
        console.print(NO_CORPUS)
        return 1
    work = options.work.resolve()
    corpus = work / "corpus.jsonl"
    console.print("copying the corpus")
    size: Size = copy_plain(options.corpus, corpus, options.pairs)
    facts = machine()
    how = {"pairs": size.pairs, "text_bytes": size.text_bytes, "code": code_digest(MEASURED)}
    how |= {"sizes": options.sizes, "scaling_pairs": options.scaling_pairs}
    how |= {"cpu": facts["cpu"], "kernel": facts["kernel"]}
    try:
        session = Session(
            "benchmarks.prepare.measure", work, how, keep=options.resume, tell=console.print
        )
    except OtherRunError as error:
        console.print(f"error: {error}")
        return 1
    Run(options, session, corpus).run()
    result = {
        "machine": facts,
        "rounds": options.rounds,
        **{name: how[name] for name in ("pairs", "text_bytes", "code", "sizes", "scaling_pairs")},
        "measurements": session.done | _kept_scale(options.results),
    }
    session.write_results(options.results, result)
    console.print(f"wrote {options.results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
