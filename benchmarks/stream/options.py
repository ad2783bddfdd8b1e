"""The command line → what is measured, and a name for the code that measures it."""

import argparse
import hashlib
import os
from pathlib import Path
from typing import Final

from benchmarks.stream.environments import SYSTEMS

HERE: Final = Path(__file__).parent
_MEASURED: Final = (
    *("benchmarks/stream/measure.py", "benchmarks/stream/ours_alone.py"),
    *("benchmarks/stream/corpus.py", "benchmarks/stream/systems"),
    *("shards", "trainer", "dataservice"),
)


def code_digest() -> str:
    """Names all code that a measurement of ours depends on."""
    digest = hashlib.sha256()
    for place in _MEASURED:
        path = HERE.parents[1] / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(
        description="Measure the stream beside its peers, in turns; writes results.json.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = [info.module for info in SYSTEMS]
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=8, help="of one reading")
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
