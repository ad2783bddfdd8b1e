"""This installation → what decides the bytes of a build besides its input and its settings."""

import hashlib
import importlib.metadata
import platform
import re
from functools import cache
from pathlib import Path
from typing import Final

PACKAGE: Final = "prometheusgpt-mini"
_EXTRA: Final = re.compile(r"extra == ['\"](\w[\w-]*)['\"]")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_CODE: Final = (
    *("dataservice/prepare", "dataservice/demo", "shards"),
    *(
        "dataservice/settings.py",
        "dataservice/filter_settings.py",
        "dataservice/source_settings.py",
    ),
)


@cache
def versions() -> dict[str, str]:
    """Python, every library that a build may use, and a digest of our own code."""
    found = {"python": platform.python_version(), "code": code_digest()}
    for name in (PACKAGE, *_requirements()):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _requirements() -> list[str]:
    """What the package needs in its build, by its own metadata."""
    names = []
    for requirement in importlib.metadata.requires(PACKAGE) or ():
        extra = _EXTRA.search(requirement)
        name = _NAME.match(requirement)
        if name and (extra is None or extra[1] == "dataservice"):
            names.append(name[0])
    return sorted(set(names))


def code_digest(root: Path = Path(__file__).parents[3]) -> str:
    """A digest of the code that turns text into data sets."""
    digest = hashlib.sha256()
    for folder in _CODE:
        place = root / folder
        for path in sorted(place.rglob("*.py")) if place.is_dir() else sorted(root.glob(folder)):
            digest.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
