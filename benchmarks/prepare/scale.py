"""Millions of pairs → memory of all processes, disk and time of a whole build, into results.json.

    python -m benchmarks.prepare.scale --pairs 1 10 50      # after run; hours on a small machine

The corpus is the real one, expanded (expand.py). A build that was stopped, or whose measurement
was, goes on with the same command; what it had used until then counts. Parts of the corpus and
unfinished builds lie in the work folder.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.machine import machine
from benchmarks.prepare.expand import expand
from benchmarks.prepare.monitor import Watch, run_watched, thinned
from benchmarks.prepare.options import HERE, NO_CORPUS
from benchmarks.session import write_json

_NAME: Final = "scale"


class Scale:
    """The builds of one call."""

    def __init__(self, options: argparse.Namespace, tell: Console) -> None:
        self.options = options
        self.tell = tell
        self.folder: Path = options.work.resolve() / "scale"

    def measure(self, pairs: int) -> dict[str, Any]:
        """Expand, build and verify; and then leave no data behind."""
        self.say(f"{pairs:,} pairs: the corpus")
        parts = expand(self.options.corpus, pairs, self.folder / f"corpus-{pairs}")
        place = self.folder / f"build-{pairs}"
        if self.options.fresh:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        data = place / "data"
        folders = {"work": data / "work", "store": data / "datasets"}
        program = [sys.executable, "-m", "dataservice"]
        build = [*program, "build", "--json", "--progress", "json", "--name", _NAME]
        build += ["--data-dir", str(data), "--processes", str(self.options.processes)]
        build += [word for part in parts for word in ("--source", str(part))]
        build += self.options.build_options
        self.say(f"{pairs:,} pairs: build")
        built, told = self.watched(build, place / "build.json", folders)
        self.say(f"{pairs:,} pairs: verify, after {built.elapsed_s:,.0f} s")
        verify = [*program, "verify", str(data / "datasets" / _NAME)]
        verified, _ = self.watched(verify, place / "verify.json", folders)
        summary = json.loads(told)
        result = _result(built, verified) | {
            "pairs": pairs,
            "kept": sum(summary["samples"].values()),
            "vocab_size": summary["vocab_size"],
            "dataset_bytes": summary["bytes"],
            "corpus_bytes": sum(part.stat().st_size for part in parts),
            "options": self.options.build_options,
            "build_processes": self.options.processes,
            "machine": machine(),
        }
        shutil.rmtree(place)
        if not self.options.keep_corpus:
            shutil.rmtree(self.folder / f"corpus-{pairs}")
        return result

    def say(self, text: str) -> None:
        self.tell.print(f"{datetime.now():%H:%M:%S} {text}")

    def watched(
        self, command: list[str], file: Path, folders: dict[str, Path]
    ) -> tuple[Watch, str]:
        """Run a command, or go on with it; not again when it has ended."""
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        watch = Watch(**kept.get("watch", {}))
        if "output" in kept:
            return watch, kept["output"]
        environment = {
            name: value for name, value in os.environ.items() if "DATASERVICE_" not in name
        }
        output = run_watched(
            command,
            watch,
            folders,
            environment=environment,
            keep=lambda seen: write_json(file, {"watch": asdict(seen)}),
        )
        write_json(file, {"watch": asdict(watch), "output": output})
        return watch, output


def _result(built: Watch, verified: Watch) -> dict[str, Any]:
    told = asdict(built)
    told["samples"] = thinned(built)
    told["stages_s"] = list(built.stages_s.items())
    return told | {
        "verify_s": verified.elapsed_s,
        "verify_peak_pss_bytes": verified.peak_pss_bytes,
    }


def merge(results: Path, measurements: dict[str, Any]) -> None:
    """Put measurements into a results file, in place of those of the same name."""
    told = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    told["measurements"] = told.get("measurements", {}) | measurements
    write_json(results, told)


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description="Measure whole builds of growing corpora.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--pairs", nargs="+", type=float, default=[1, 10, 50], help="millions")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--corpus", type=Path, default=os.environ.get("PROMETHEUS_CORPUS"))
    parser.add_argument("--work", type=Path, default=HERE / "work", help="may be deleted later")
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--fresh", action="store_true", help="begin again what was stopped")
    parser.add_argument("--keep-corpus", action="store_true", help="for the next time")
    parser.add_argument("build_options", nargs="*", help="after --: more options of the build")
    options = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False)
    if options.corpus is None:
        console.print(NO_CORPUS)
        return 1
    scale = Scale(options, console)
    for millions in options.pairs:
        try:
            result = scale.measure(int(millions * 1_000_000))
        except RuntimeError as error:
            result = {"error": str(error)}
            console.print(f"error: {error}")
        merge(options.results, {f"scale/{millions:g}": result})
    return 0


if __name__ == "__main__":
    sys.exit(main())
