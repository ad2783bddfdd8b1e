"""Folders and versions of the driver → what is wrong with each node of a Ray cluster, if anything.

Units and results pass through a shared folder: a node that has a folder of its own at that path
would lose them, and one with other code or libraries would write other bytes.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dataservice.errors import BuildError
from dataservice.prepare.work.versions import versions

FOLDER_WAIT_S: Final = 10.0  # a network file system may show a new file only after a while
_NODE_WAIT_S: Final = 120.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Beacon:
    """What a worker must find: a file with this word in each folder, and these versions."""

    folders: tuple[Path, ...]
    word: str
    versions: tuple[tuple[str, str], ...]
    wait_s: float  # for a file to be seen

    def file(self, folder: Path, suffix: str = "") -> Path:
        return folder / f".tmp-beacon-{self.word}{suffix}"  # left over, a collection removes it


@contextmanager
def light_beacon(folders: Sequence[Path], wait_s: float) -> Iterator[Beacon]:
    """Put a beacon into each folder for as long as the cluster works for us."""
    places = tuple(folder.absolute() for folder in folders)
    beacon = Beacon(places, secrets.token_hex(8), tuple(versions().items()), wait_s)
    try:
        for folder in places:
            folder.mkdir(parents=True, exist_ok=True)
            beacon.file(folder).write_text(beacon.word)
        yield beacon
    finally:
        for folder in places:
            for path in folder.glob(f"{beacon.file(folder).name}*"):
                path.unlink(missing_ok=True)


@cache
def problem_here(beacon: Beacon) -> str | None:
    """What keeps this process from working for the driver; looked for once in each worker."""
    for folder in beacon.folders:
        if not _within(beacon.wait_s, beacon.file(folder).is_file):
            return f"does not see the driver's {folder}"
    mine = versions()
    other = [
        f"{name} {mine.get(name, 'none')[:12]} and not {wanted[:12]}"
        for name, wanted in beacon.versions
        if mine.get(name) != wanted
    ]
    return f"has {', '.join(other)}" if other else None


def _answer(beacon: Beacon, node_id: str) -> str | None:
    """On a node: say what is wrong, or leave a file in each folder for the driver to find."""
    problem = problem_here(beacon)
    if problem is None:
        for folder in beacon.folders:
            beacon.file(folder, f"-{node_id}").write_text(beacon.word)
    return problem


def check_nodes(beacon: Beacon) -> None:
    """Ask every live node, before any work is done.

    Raises:
        BuildError: when one does not see the folders, or has other code or libraries.
    """
    ask = ray.remote(_answer)
    answers = {
        node["NodeID"]: ask.options(
            num_cpus=0,
            max_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(beacon, node["NodeID"])
        for node in _nodes()
    }
    problems = {node_id: _problem_of(beacon, node_id, ref) for node_id, ref in answers.items()}
    wrong = [
        f"{_name(node)} {problems[node['NodeID']]}"
        for node in _nodes()
        if problems.get(node["NodeID"])
    ]
    if wrong:
        raise cluster_error(wrong)


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _problem_of(beacon: Beacon, node_id: str, ref: "ray.ObjectRef[str | None]") -> str | None:
    try:
        problem: str | None = ray.get(ref, timeout=_NODE_WAIT_S)
    except GetTimeoutError:
        return f"gave no answer within {_NODE_WAIT_S:.0f} s"
    except RayTaskError as error:
        return f"cannot run our code ({error.cause!r})"
    except RayError as error:
        return f"cannot run a task ({type(error).__name__})"
    for folder in () if problem else beacon.folders:
        if not _within(beacon.wait_s, beacon.file(folder, f"-{node_id}").is_file):
            return f"wrote into a {folder} that is not the driver's"
    return problem


def cluster_error(problems: Sequence[str]) -> BuildError:
    """The error for nodes that cannot work for the driver."""
    return BuildError(
        f"the Ray cluster cannot run this build: {'; '.join(problems)}; nothing was published; put "
        "--data-dir on a file system that every node mounts at the same path, install the same "
        "packages on all of them, or use --engine processes without an address"
    )


def _name(node: dict[str, Any]) -> str:
    return f"node {node['NodeID'][:8]} ({node['NodeManagerHostname']})"


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
