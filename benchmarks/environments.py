"""Lists of packages → virtual environments, one for all systems that can live together."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.session import Session

LOCK: Final = Path(__file__).parents[1] / "requirements" / "dev.txt"


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """A system that is measured, and where the packages that it needs are listed."""

    name: str
    requirements: str | None  # None: the environment that runs this, with the project's own lock
    packages: tuple[str, ...]


def install(systems: Iterable[SystemInfo], lists: Path, session: Session) -> None:
    """Tell a session the interpreter of each system, or that its packages do not install."""
    for info in systems:
        if info.requirements is None:
            continue
        wanted = lists / f"{info.requirements}.txt"
        try:
            python = prepare(session.work / "environments", wanted, session.tell)
        except subprocess.CalledProcessError as error:
            told = f"not installed: exit {error.returncode}"
            session.keep(f"describe/{info.name}", {"error": told})
        else:
            session.pythons[info.name] = str(python)


def prepare(folder: Path, wanted: Path, tell: Callable[[str], object]) -> Path:
    """The interpreter of an environment below `folder` with the packages of a list.

    Raises:
        subprocess.CalledProcessError: when its packages cannot be installed.
    """
    place = folder / wanted.stem
    python, ready = place / "bin" / "python", place / "installed.txt"
    packages = wanted.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == packages:
        return python
    tell(f"installing {wanted.stem} into {place}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if "torchvision==" in packages:
        # the project's own torch, before anything can ask for another
        torch = re.search(r"^torch==\S+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
        assert torch is not None, "the lock pins torch"
        subprocess.run([*pip, torch[0]], check=True)
        pip.append(torch[0])
    subprocess.run([*pip, "--requirement", str(wanted)], check=True)
    ready.write_text(packages, encoding="utf-8")
    return python
