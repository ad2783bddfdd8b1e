"""A function and its units → results in unit order, from the tasks of a Ray cluster."""

import logging
import os
import socket
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Self

import ray
from ray._private import worker as ray_output
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayTaskError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from dataservice.errors import BuildError
from dataservice.prepare.engines.base import (
    MAX_DEATHS,
    Failed,
    Result,
    Unit,
    attempt,
    unwrapped,
    worker_died,
)
from dataservice.prepare.engines.ray_probe import (
    FOLDER_WAIT_S,
    Beacon,
    check_nodes,
    cluster_error,
    light_beacon,
    problem_here,
)

_DIED: Final = (WorkerCrashedError, NodeDiedError, OutOfMemoryError, LocalRayletDiedError)
_CONNECT_S: Final = 10.0
_ENVIRONMENT: Final = {"RAY_USAGE_STATS_ENABLED": "0"}  # for the processes that Ray starts


@dataclass(slots=True)
class _Task(Generic[Unit]):
    unit: Unit
    reference: Any
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class _Misplaced:
    """A node that came later than the probe and cannot work for us."""

    problem: str


class RayEngine:
    """Maps functions over units on all nodes; `folders` are what the driver shares with them."""

    def __init__(
        self,
        address: str,
        folders: Sequence[Path],
        processes: int = 0,
        *,
        wait_s: float = FOLDER_WAIT_S,
    ) -> None:
        self._address = address
        self._folders = folders
        self._wait_s = wait_s
        self._processes = processes or len(os.sched_getaffinity(0))
        self._stack = ExitStack()
        self._beacon: Beacon
        self._call: Any

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._beacon = stack.enter_context(light_beacon(self._folders, self._wait_s))
            stack.enter_context(_connected(self._address, self._processes))
            check_nodes(self._beacon)
            # deaths are counted here, and a result that is lost is computed again
            self._call = ray.remote(_call).options(num_cpus=1, max_retries=0)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def warm(self, function: Callable[[int], None]) -> None:
        """Workers of a cluster are started by their nodes as tasks come."""

    def map(self, function: Callable[[Unit], Result], units: Iterable[Unit]) -> Iterator[Result]:
        """Results in unit order; see `Engine.map`."""
        cpus = ray.cluster_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
        ahead = 2 * max(1, int(cpus))
        waiting: deque[_Task[Unit]] = deque()
        try:
            for unit in units:
                waiting.append(_Task(unit, self._start(function, unit)))
                if len(waiting) > ahead:
                    yield self._result(function, waiting)
            while waiting:
                yield self._result(function, waiting)
        finally:
            for task in waiting:
                ray.cancel(task.reference)

    def _start(self, function: Callable[[Unit], Result], unit: Unit) -> Any:
        return self._call.remote(function, unit, self._beacon)

    def _result(self, function: Callable[[Unit], Result], waiting: deque[_Task[Unit]]) -> Result:
        """The first task's result, which is then no longer waited for."""
        task = waiting[0]
        while True:
            try:
                result: Result | Failed | _Misplaced = ray.get(task.reference)
            except _DIED as error:
                task.deaths += 1
                if task.deaths == MAX_DEATHS:
                    raise worker_died(task.unit) from error
                if task.deaths == MAX_DEATHS - 1:
                    _wait_for_others(waiting)
            except (ObjectLostError, TaskUnschedulableError):
                pass  # it went with its node, which says nothing of the unit
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, Exception) else error) from None
            else:
                waiting.popleft()
                return _checked(result)
            task.reference = self._start(function, task.unit)


def _wait_for_others(waiting: deque[_Task[Unit]]) -> None:
    """Let all but the first task end: its last try has as much memory as there is."""
    others = [task.reference for task in waiting][1:]
    if others:
        ray.wait(others, num_returns=len(others), fetch_local=False)


def _checked(result: Result | Failed | _Misplaced) -> Result:
    if isinstance(result, _Misplaced):
        raise cluster_error([result.problem])
    return unwrapped(result)


def _call(
    function: Callable[[Unit], Result], unit: Unit, beacon: Beacon
) -> Result | Failed | _Misplaced:
    """On a worker: run a unit, unless this node has another folder or other code."""
    if problem := problem_here(beacon):
        return _Misplaced(f"node {ray.get_runtime_context().get_node_id()[:8]} {problem}")
    return attempt(function, unit)


@contextmanager
def _connected(address: str, processes: int) -> Iterator[None]:
    """Ray at our side, as quiet as the rest of the program."""
    options: dict[str, Any] = {"address": address}
    if not address:
        options = {"address": "local", "num_cpus": processes, "include_dashboard": False}
    elif address != "auto":
        _check_answer(address)
    with _environment(_ENVIRONMENT), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own affair
        try:
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise BuildError(
                f"Ray at {address or 'this machine'} cannot be joined ({error}); nothing was "
                "built; run the build on a machine of the cluster, check --ray-address, or use "
                "--engine processes without an address"
            ) from error
    # it prints what becomes of its workers to stdout, where our result belongs
    ray_output._worker_logs_enabled = False
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.shutdown()


def _check_answer(address: str) -> None:
    """Ray itself would wait for minutes, and then end the program."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError as error:
        raise BuildError(
            f"no Ray cluster answers at {address} ({error}); nothing was built; start its head "
            "node, check --ray-address, or use --engine processes without an address"
        ) from error


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for a while; those that the user has set stay."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
