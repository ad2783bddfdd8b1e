"""What reports of several benchmarks share: the table of settings, and their place in a page."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.cells import table
from benchmarks.figures import short


def settings_section(
    measurements: Mapping[str, dict[str, Any]], systems: Iterable[str], columns: Mapping[str, str]
) -> str:
    """What each system says of itself, by column, with its versions; then those left out."""
    rows = []
    for system in systems:
        told = measurements[f"describe/{system}"]
        versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
        rows.append((told["name"], *(told[name] for name in columns), versions))
    left_out = [
        f"- {key.removeprefix('describe/')} is left out: {short(str(value['error']))}"
        for key, value in measurements.items()
        if key.startswith("describe/") and "error" in value
    ]
    text = table(("", *columns.values(), "Versions"), rows)
    return text + ("\n" + "\n".join(left_out) + "\n" if left_out else "")


def replace_marked(path: Path, text: str) -> None:
    """Put a text, whose first and last line are marks, in place of what they enclose in a file.

    Raises:
        ValueError: when the marks are not there.
    """
    first, *_, last = text.splitlines()
    old = path.read_text(encoding="utf-8")
    begin = old.index(first)
    end = old.index(last, begin) + len(last)
    path.write_text(old[:begin] + text + old[end:], encoding="utf-8")
