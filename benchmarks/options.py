"""What command lines of several benchmarks share, and a name for the code that they measure."""

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def code_digest(places: Iterable[str]) -> str:
    """Names all code of some files and folders of the project."""
    digest = hashlib.sha256()
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def add_run_options(parser: argparse.ArgumentParser, folder: Path) -> None:
    """Where a benchmark works and writes, below its own folder unless told otherwise."""
    parser.add_argument("--work", type=Path, default=folder / "work", help="may be deleted later")
    parser.add_argument("--resume", action="store_true", help="keep what was measured already")
    parser.add_argument("--results", type=Path, default=folder / "results.json")


def parse_report_options(doc: str | None, folder: Path) -> argparse.Namespace:
    """What a report reads, and where it writes; `doc` is that of its module."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    parser.add_argument("--results", type=Path, default=folder / "results.json")
    parser.add_argument("--root", type=Path, default=ROOT, help="holds docs/ and README.md")
    return parser.parse_args()
