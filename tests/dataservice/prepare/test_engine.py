"""A function over units → results in order, in one process or in several that may die."""

import importlib
import math
import os
import pickle
import pkgutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

import dataservice
import shards
from dataservice.engine_settings import EngineSettings
from dataservice.errors import BuildError, SourceError, WorkerDiedError
from dataservice.prepare.engine import open_engine
from dataservice.prepare.engines.base import label_of
from dataservice.prepare.engines.processes import ProcessEngine
from shards.errors import PrometheusError
from tests.dataservice.prepare.toys import (
    KeywordError,
    Made,
    Toy,
    fail_at_three,
    fail_with_keyword,
    note_worker,
    square,
    tries,
)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_units(processes: int) -> None:
    units = [range(2_000_000 * (number % 3 == 0) + number) for number in range(12)]
    with ProcessEngine(processes) as engine:
        assert list(engine.map(sum, units)) == [len(unit) * (len(unit) - 1) // 2 for unit in units]
        assert list(engine.map(math.factorial, [])) == []
        assert list(engine.map(math.factorial, [4])) == [24]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_unit_is_the_error_of_the_map(processes: int, tmp_path: Path) -> None:
    with ProcessEngine(processes) as engine:
        results = engine.map(math.factorial, [0, 1, 2, -3, 4, 5, 6, 7, 8, 9])
        assert [next(results) for _ in range(3)] == [1, 1, 2]
        with pytest.raises(ValueError, match="negative"):
            next(results)
        with pytest.raises(SourceError, match=r"^line 3 is broken$"):
            list(engine.map(fail_at_three, [Toy(number, tmp_path) for number in range(9)]))


def test_an_error_that_wants_a_keyword_comes_back_whole(tmp_path: Path) -> None:
    with ProcessEngine(2) as engine, pytest.raises(KeywordError, match="broken") as caught:
        list(engine.map(fail_with_keyword, [Toy(7, tmp_path)]))
    assert caught.value.place == "unit 7"


@pytest.mark.parametrize("processes", [1, 2])
def test_units_are_taken_only_a_few_ahead(processes: int) -> None:
    taken = []

    def units() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with ProcessEngine(processes) as engine:
        next(engine.map(math.factorial, units()))
        assert len(taken) <= 2 * processes + 1


def test_a_worker_that_dies_costs_no_result(tmp_path: Path) -> None:
    deaths = {2: 1, 7: 2, 8: 1}
    units = [Toy(number, tmp_path, deaths.get(number, 0)) for number in range(12)]
    with ProcessEngine(2) as engine:
        assert [made.number for made in engine.map(square, units)] == [n * n for n in range(12)]
        assert list(engine.map(math.factorial, [4])) == [24]
    assert all(tries(tmp_path, number) > deaths for number, deaths in deaths.items())


@pytest.mark.parametrize("names_itself", [True, False])
def test_a_unit_that_kills_three_workers_is_named_and_its_neighbours_are_not(
    tmp_path: Path, names_itself: bool
) -> None:
    told = r"worker of toy 4 died 3 times.*nothing was published.*same command"
    if not names_itself:
        told = r"worker of Toy\(number=4, .*died 3 times"
    units = [Toy(n, tmp_path, 99 * (n == 4), names_itself) for n in range(12)]
    with ProcessEngine(2) as engine:
        results = engine.map(square, units)
        assert [next(results).number for _ in range(4)] == [0, 1, 4, 9]
        with pytest.raises(WorkerDiedError, match=told):
            next(results)
    assert tries(tmp_path, 4) in (3, 4)  # once with others beside it, unless another one died first


def test_a_map_over_the_results_of_a_map_survives_deaths_in_both(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = [Toy(number, tmp_path / "inner", number == 3) for number in range(8)]
    with ProcessEngine(2) as engine:
        outer = (
            Toy(made.number, tmp_path, made.number == 16) for made in engine.map(square, inner)
        )
        assert list(engine.map(square, outer)) == [Made(number**4) for number in range(8)]


@pytest.mark.parametrize(("processes", "started"), [(1, []), (2, ["0", "1"]), (3, ["0", "1", "2"])])
def test_workers_are_started_before_there_are_units(
    tmp_path: Path, processes: int, started: list[str]
) -> None:
    with ProcessEngine(processes) as engine:
        engine.warm(partial(note_worker, tmp_path))
        assert list(engine.map(math.factorial, range(8))) == [math.factorial(n) for n in range(8)]
    assert sorted(path.name for path in tmp_path.iterdir()) == started


def test_a_start_that_fails_costs_no_result(tmp_path: Path) -> None:
    with ProcessEngine(2) as engine:
        engine.warm(partial(note_worker, tmp_path / "gone"))
        assert list(engine.map(math.factorial, [4])) == [24]


def test_one_process_works_in_ours(tmp_path: Path) -> None:
    with open_engine(EngineSettings(processes=1), ()) as engine:
        assert list(engine.map(square, [Toy(3, tmp_path)])) == [Made(9)]
    assert [path.name.split("-")[2] for path in (tmp_path / "tries").iterdir()] == [
        str(os.getpid())
    ]


def test_no_number_means_one_process_for_each_core() -> None:
    assert ProcessEngine(0).processes == len(os.sched_getaffinity(0))
    assert ProcessEngine(5).processes == 5


def test_a_label_is_short() -> None:
    assert label_of("x" * 500) == f"'{'x' * 118}…"
    assert label_of(Toy(4, Path())) == "toy 4"


def test_an_engine_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in [name for name in sys.modules if name.startswith("dataservice.prepare.engines.ra")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BuildError, match=r"needs the package ray.*pip install.*--engine processes"):
        open_engine(EngineSettings(engine="ray"), ())


@pytest.mark.parametrize("address", ["ray://head:10001", "head", ":6379", "head:", "http://h:1/x"])
def test_an_address_that_is_no_head_node_is_refused(address: str) -> None:
    with pytest.raises(ValidationError, match=r"HOST:PORT of a head node"):
        EngineSettings(engine="ray", ray_address=address)


@pytest.mark.parametrize("address", ["", "auto", "head:6379", "10.0.0.1:6379", "[::1]:6379"])
def test_an_address_of_a_head_node_is_taken(address: str) -> None:
    assert EngineSettings(engine="ray", ray_address=address).ray_address == address


def test_an_address_that_no_engine_reads_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"'auto'.*'processes' reads none; set engine to ray"):
        EngineSettings(ray_address="auto")


def our_errors() -> list[type[PrometheusError]]:
    """Every class of error that a worker may raise."""
    for package in (dataservice, shards):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("errors") or "prepare" in module.name:
                importlib.import_module(module.name)
    found, left = [], [PrometheusError]
    while left:
        found.append(left.pop())
        left += found[-1].__subclasses__()
    return [kind for kind in found if kind.__module__.split(".")[0] in ("dataservice", "shards")]


def test_every_error_of_ours_survives_the_way_from_a_worker() -> None:
    kinds = our_errors()
    assert SourceError in kinds
    assert len(kinds) > 10
    for kind in kinds:
        error = kind("subject, value, consequence, remedy")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert str(again) == str(error)
