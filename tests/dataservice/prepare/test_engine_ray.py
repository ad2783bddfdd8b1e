"""Units → results from a Ray cluster whose workers and nodes die, or see other files than we."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from dataservice.engine_settings import EngineSettings
from dataservice.errors import BuildError, SourceError, WorkerDiedError
from dataservice.prepare.build import build
from dataservice.prepare.engine import Engine, open_engine
from dataservice.prepare.journal import Journal
from shards.store import LocalStore
from tests.corpus import make_pairs
from tests.dataservice.prepare.builds import small, write_rows
from tests.dataservice.prepare.kills import build_version, running_build
from tests.dataservice.prepare.toys import (
    KeywordError,
    Made,
    Toy,
    fail_at_three,
    fail_with_keyword,
    note_try,
    square,
    tries,
    write_square,
)

ROOT = Path(__file__).parents[3]
_WAIT_S = 240.0  # a busy machine takes long to start a worker
_STORE_BYTES = 80 << 20

pytestmark = [
    pytest.mark.slow,
    # Ray leaves its sockets and processes to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@contextmanager
def cluster_of(head_cpus: int) -> Iterator[Any]:
    """A head node and another one, which has one core."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        head = {"num_cpus": head_cpus, "include_dashboard": False}
        head |= {"object_store_memory": _STORE_BYTES}
        running = Cluster(initialize_head=True, head_node_args=head)
        running.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
        yield running
        running.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with one core each."""
    with cluster_of(head_cpus=1) as running:
        yield running


@contextmanager
def engine_of(cluster: Any, *folders: Path) -> Iterator[Engine]:
    with open_engine(EngineSettings(engine="ray", ray_address=cluster.address), folders) as engine:
        yield engine


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def slow_square(unit: Toy) -> Made:
    """The square, after the file `go` has come, and where it was made."""
    note_try(unit)
    wait_for((unit.folder / "go").exists)
    return Made(unit.number**2)


def large(unit: Toy) -> tuple[int, bytes]:
    """A result too large to travel with its task: it lies on the node that made it."""
    note_try(unit)
    return unit.number, bytes(1 << 20)


def test_results_of_two_nodes_come_in_the_order_of_the_units(cluster: Any, tmp_path: Path) -> None:
    units = [Toy(number, tmp_path) for number in range(30)]
    with engine_of(cluster, tmp_path) as engine:
        made = list(engine.map(write_square, units))
        assert list(engine.map(square, [])) == []
    assert [one.number for one in made] == [number**2 for number in range(30)]
    assert all(file.is_whole(tmp_path / file.path) for one in made for file in one.files())
    assert not list(tmp_path.glob(".tmp-*"))


def test_units_are_taken_only_a_few_ahead_of_a_cluster(cluster: Any, tmp_path: Path) -> None:
    taken = []

    def units() -> Iterator[Toy]:
        for number in range(1000):
            taken.append(number)
            yield Toy(number, tmp_path)

    with engine_of(cluster, tmp_path) as engine:
        next(engine.map(square, units()))
    assert len(taken) <= 2 * 2 + 1


def test_errors_come_from_a_cluster_as_they_were_raised(cluster: Any, tmp_path: Path) -> None:
    with engine_of(cluster, tmp_path) as engine:
        with pytest.raises(SourceError, match=r"^line 3 is broken$") as caught:
            list(engine.map(fail_at_three, [Toy(number, tmp_path) for number in range(9)]))
        assert "fail_at_three" in str(caught.value.__cause__)
        with pytest.raises(KeywordError, match="broken") as keyword:
            list(engine.map(fail_with_keyword, [Toy(7, tmp_path)]))
        assert keyword.value.place == "unit 7"


def test_a_worker_of_a_cluster_that_dies_costs_no_result(
    cluster: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    deaths = {2: 1, 7: 2, 8: 1}
    units = [Toy(number, tmp_path, deaths.get(number, 0)) for number in range(12)]
    with engine_of(cluster, tmp_path) as engine:
        assert [made.number for made in engine.map(square, units)] == [n * n for n in range(12)]
    assert [tries(tmp_path, number) for number in (2, 7, 8)] == [2, 3, 2]
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")  # results and progress are ours to print


def test_a_unit_that_kills_three_workers_of_a_cluster_is_named(
    cluster: Any, tmp_path: Path
) -> None:
    units = [Toy(number, tmp_path, 99 * (number == 4)) for number in range(12)]
    with engine_of(cluster, tmp_path) as engine:
        results = engine.map(square, units)
        assert [next(results).number for _ in range(4)] == [0, 1, 4, 9]
        with pytest.raises(WorkerDiedError, match=r"worker of toy 4 died 3 times.*same command"):
            next(results)
        assert tries(tmp_path, 4) == 3
        with pytest.raises(WorkerDiedError, match=r"worker of toy 5 died 3 times"):
            list(engine.map(square, [Toy(5, tmp_path, 99)]))  # with nobody beside it


def test_workers_killed_at_random_change_nothing(cluster: Any, tmp_path: Path) -> None:
    """From outside, as a kernel does that is out of memory."""
    units = [Toy(number, tmp_path) for number in range(6)]
    with engine_of(cluster, tmp_path) as engine:
        killer = subprocess.Popen([sys.executable, "-c", _KILLER, str(tmp_path), "3", str(_WAIT_S)])
        with killer:
            made = list(engine.map(slow_square, units))
    assert [one.number for one in made] == [number**2 for number in range(6)]
    assert killer.returncode == 0


# kills three workers, each in the midst of a unit, and then lets the others go on
_KILLER = """
import os, signal, sys, time
from pathlib import Path
folder, number, killed = Path(sys.argv[1]), int(sys.argv[2]), set()
deadline = time.monotonic() + float(sys.argv[3])
while len(killed) < number and time.monotonic() < deadline:
    for path in (folder / "tries").glob("*"):
        pid = int(path.name.split("-")[2])
        if pid not in killed and len(killed) < number:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
    time.sleep(0.02)
(folder / "go").touch()
sys.exit(len(killed) != number)
"""


def test_a_node_that_dies_in_the_midst_costs_no_result(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2, object_store_memory=_STORE_BYTES)
    units = [Toy(number, tmp_path) for number in range(8)]
    with engine_of(cluster, tmp_path) as engine:
        # all results of one kind lie on the nodes when one of them goes
        results = engine.map(large, units)
        assert next(results)[0] == 0
        wait_for(lambda: sum(tries(tmp_path, number) for number in range(8)) >= 6)
        cluster.remove_node(node, allow_graceful=False)
        assert [number for number, _ in results] == list(range(1, 8))


def test_a_node_that_dies_under_running_units_costs_no_result(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2, object_store_memory=_STORE_BYTES)
    units = [Toy(number, tmp_path) for number in range(6)]

    def lose_node() -> Iterator[Toy]:
        yield from units
        # the engine asks for more while the first ones run
        wait_for(lambda: len(workers_of(tmp_path)) >= 4)
        cluster.remove_node(node, allow_graceful=False)
        wait_for(lambda: sum(map(is_alive, workers_of(tmp_path))) <= 2)
        (tmp_path / "go").touch()

    with engine_of(cluster, tmp_path) as engine:
        made = list(engine.map(slow_square, lose_node()))
    assert [one.number for one in made] == [number**2 for number in range(6)]
    assert sum(tries(tmp_path, number) for number in range(6)) > 6


def test_a_journal_that_a_pool_began_is_finished_by_a_cluster(cluster: Any, tmp_path: Path) -> None:
    units = [Toy(number, tmp_path) for number in range(9)]
    (tmp_path / "tries").mkdir()
    with (
        Journal(tmp_path, trusted=("tests",)) as journal,
        open_engine(EngineSettings(processes=2), ()) as pool,
    ):
        results = journal.map(pool, "toys", write_square, units)
        assert [next(results).number for _ in range(4)] == [0, 1, 4, 9]
    with Journal(tmp_path, trusted=("tests",)) as journal, engine_of(cluster, tmp_path) as engine:
        made = list(journal.map(engine, "toys", write_square, units))
    assert [one.number for one in made] == [number**2 for number in range(9)]
    assert all(file.is_whole(tmp_path / file.path) for one in made for file in one.files())


def test_a_build_on_a_cluster_gives_the_version_of_one_process(
    cluster: Any, tmp_path: Path
) -> None:
    rows = make_pairs(1500)
    alone = build(small(tmp_path / "alone", rows, partition_bytes=1 << 16))
    there = {"engine": "ray", "ray_address": cluster.address, "processes": 0}
    settings = small(tmp_path / "cluster", rows, partition_bytes=1 << 16, **there)
    told: list[str] = []

    def lose_workers(stage: str, done: int, total: int | None) -> None:
        del total
        told.append(stage)
        if done % 3 == 1:
            for worker in workers_of_ray()[:1]:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(worker, signal.SIGKILL)

    assert build(settings, lose_workers).version == alone.version
    assert len(told) > 10
    assert [path.name for path in (tmp_path / "cluster/data/work").iterdir()] == ["lock"]


def build_options(folder: Path) -> tuple[str, ...]:
    """A build of so many chunks and partitions that a node has some whenever it goes."""
    options = ["--vocab-size", "900", "--partition-bytes", "65536", "--near-duplicates", "off"]
    pairs = make_pairs(24_000)
    for number in range(12):
        source = write_rows(folder / f"{number}.jsonl", pairs[number::12])
        options += ["--source", str(source)]
    return tuple(options)


def published(folder: Path) -> list[str]:
    """The versions that builds have published."""
    return LocalStore(folder / "datasets").versions("small")


def test_a_build_that_loses_its_node_in_every_stage_gives_the_version_of_one_process(
    tmp_path: Path,
) -> None:
    """All units run on one node, so whenever it goes some are lost; another takes its place."""
    parts = build_options(tmp_path)
    alone = build_version(tmp_path / "alone", *parts, "--processes", "1")
    stages = {"clean and filter", "deduplicate and split", "encode and write"}
    with cluster_of(head_cpus=0) as cluster:
        (node,) = cluster.worker_nodes
        options = (*parts, "--engine", "ray", "--ray-address", cluster.address)
        with running_build(tmp_path / "cluster", *options) as (_, lines):
            for line in lines:
                told = json.loads(line)
                if told["stage"] in stages and told["done"] < 4:
                    stages.remove(told["stage"])
                    cluster.remove_node(node, allow_graceful=False)
                    node = cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
    assert stages == set()
    assert published(tmp_path / "cluster") == [alone]


def test_a_build_whose_driver_is_killed_goes_on_and_gives_the_version_of_one_process(
    cluster: Any, tmp_path: Path
) -> None:
    parts = build_options(tmp_path)
    alone = build_version(tmp_path / "alone", *parts, "--processes", "1")
    options = (*parts, "--engine", "ray", "--ray-address", cluster.address)
    folders = set()
    for stage in ("deduplicate and split", "encode and write"):
        with running_build(tmp_path / "cluster", *options) as (pid, lines):
            next(line for line in lines if json.loads(line).get("stage") == stage)
            os.kill(pid, signal.SIGKILL)
        folders |= {path.name for path in (tmp_path / "cluster" / "work").glob("build-*")}
    assert len(folders) == 1  # the second run found the folder of the first
    assert build_version(tmp_path / "cluster", *options) == alone


def workers_of_ray() -> list[int]:
    """Processes that run a unit just now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::_call"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has just ended
    return found


def test_nothing_of_a_map_runs_on_when_its_engine_is_gone(cluster: Any, tmp_path: Path) -> None:
    with engine_of(cluster, tmp_path) as engine:

        def begin() -> Iterator[Toy]:
            yield Toy(0, tmp_path)
            wait_for(lambda: tries(tmp_path, 0))
            raise KeyboardInterrupt  # as Ctrl-C would, while a worker is busy

        results = engine.map(slow_square, begin())
        with pytest.raises(KeyboardInterrupt):
            next(results)
    workers = workers_of(tmp_path)
    assert workers
    wait_for(lambda: not any(map(is_alive, workers)))


def workers_of(folder: Path) -> set[int]:
    """The processes that began units."""
    return {int(path.name.split("-")[2]) for path in (folder / "tries").glob("*")}


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends while it is read
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_a_node_that_has_another_folder_at_that_path_is_refused_before_any_work(
    cluster: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with elsewhere(cluster, f"mount -t tmpfs none {data}"):
        told = rf"node \w+ \(.*\) does not see the driver's {data}.*--data-dir.*every node mounts"
        with pytest.raises(BuildError, match=told) as caught, engine_of(cluster, data):
            pass
        assert str(caught.value).count("node ") == 2  # that one and the advice; not the other two
    assert list(data.iterdir()) == []


def test_a_node_that_reads_our_folder_but_writes_elsewhere_is_refused(
    cluster: Any, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name in ("data", "upper", "inner"):
        (tmp_path / name).mkdir()
    mount = (
        f"mount -t tmpfs none {tmp_path}/inner && mkdir {tmp_path}/inner/up {tmp_path}/inner/work "
        f"&& mount -t overlay overlay -o lowerdir={data},upperdir={tmp_path}/inner/up,"
        f"workdir={tmp_path}/inner/work {data}"
    )
    with (
        elsewhere(cluster, mount),
        pytest.raises(BuildError, match=rf"wrote into a {data} that is not the driver's"),
        engine_of(cluster, data),
    ):
        pass


def test_a_node_with_other_code_is_refused_before_any_work(cluster: Any, tmp_path: Path) -> None:
    code = ROOT / "dataservice" / "prepare" / "pair.py"
    changed = tmp_path / "pair.py"
    changed.write_bytes(code.read_bytes() + b"# another release\n")
    with (
        elsewhere(cluster, f"mount --bind {changed} {code}"),
        pytest.raises(BuildError, match=r"has code \w+ and not \w+.*same packages"),
        engine_of(cluster, tmp_path),
    ):
        pass


@contextmanager
def elsewhere(cluster: Any, mount: str) -> Iterator[None]:
    """One more node, which sees other files than we do; to mount them needs root."""
    import ray

    program = f"{mount} && exec {sys.executable} -m ray.scripts.scripts start --block"
    program += f" --address {cluster.address} --num-cpus 1 --object-store-memory {_STORE_BYTES}"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    before = len(cluster.list_all_nodes())
    node = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        ray.init(cluster.address, log_to_driver=False)
        try:
            wait_for(lambda: node.poll() is not None or alive_nodes() > before)
        finally:
            ray.shutdown()
        if node.poll() is not None:
            assert node.stdout is not None
            pytest.fail(f"no node with files of its own can be started:\n{node.stdout.read()}")
        yield
    finally:
        node.terminate()
        try:
            node.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(node.pid, signal.SIGKILL)
            node.communicate()


def alive_nodes() -> int:
    import ray

    return sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]


def test_an_address_at_which_nobody_answers_is_an_error_at_once(tmp_path: Path) -> None:
    settings = EngineSettings(engine="ray", ray_address="127.0.0.1:9")
    with (
        pytest.raises(BuildError, match=r"no Ray cluster answers at 127\.0\.0\.1:9.*--ray-address"),
        open_engine(settings, (tmp_path,)),
    ):
        pass


def test_no_address_means_a_ray_of_our_own(tmp_path: Path) -> None:
    settings = EngineSettings(engine="ray", processes=2)
    with open_engine(settings, (tmp_path,)) as engine:
        made = engine.map(square, [Toy(number, tmp_path) for number in range(4)])
        assert [one.number for one in made] == [0, 1, 4, 9]
