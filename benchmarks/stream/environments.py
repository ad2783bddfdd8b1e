"""Lists of packages → virtual environments, one for all systems that can live together."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
LOCK: Final = HERE.parents[1] / "requirements" / "dev.txt"


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """A module below systems/, and where the packages that it needs are listed."""

    module: str
    requirements: str | None  # None: the environment that runs this, with the project's own lock
    packages: tuple[str, ...]


SYSTEMS: Final = (
    SystemInfo("ours", None, ("torch", "numpy", "zstandard", "urllib3")),
    SystemInfo("litdata_zstd", "peers", ("litdata", "zstd")),
    SystemInfo("hf_parquet", "peers", ("datasets", "pyarrow")),
    SystemInfo("mosaic_mds", "mosaic", ("mosaicml-streaming",)),
    SystemInfo("webdataset_pairs", "peers", ("webdataset",)),
    SystemInfo("webdataset_blocks", "peers", ("webdataset",)),
    SystemInfo("energon_crude", "energon", ("megatron-energon",)),
)


def prepare(folder: Path, requirements: str, tell: Callable[[str], object]) -> Path:
    """The interpreter of an environment below `folder`, made if it is not there yet.

    Raises:
        subprocess.CalledProcessError: when its packages cannot be installed.
    """
    place, wanted = folder / requirements, HERE / "requirements" / f"{requirements}.txt"
    python, ready = place / "bin" / "python", place / "installed.txt"
    packages = wanted.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == packages:
        return python
    tell(f"installing {requirements} into {place}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    # the project's own torch, before anything can ask for another
    torch = re.search(r"^torch==\S+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert torch is not None, "the lock pins torch"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, torch[0]], check=True)
    subprocess.run([*pip, torch[0], "--requirement", str(wanted)], check=True)
    ready.write_text(packages, encoding="utf-8")
    return python
