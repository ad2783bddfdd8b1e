"""A function over units → results in order, in one process or in several."""

import math
import os
from collections.abc import Iterator

import pytest

from dataservice.errors import BuildError
from dataservice.prepare.engine import Engine

# workers are fresh processes, which import what they run: only installed functions will do


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_units(processes: int) -> None:
    units = [range(2_000_000 * (number % 3 == 0) + number) for number in range(12)]
    with Engine(processes) as engine:
        assert list(engine.map(sum, units)) == [len(unit) * (len(unit) - 1) // 2 for unit in units]
        assert list(engine.map(math.factorial, [])) == []
        assert list(engine.map(math.factorial, [4])) == [24]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_unit_is_the_error_of_the_map(processes: int) -> None:
    with Engine(processes) as engine:
        results = engine.map(math.factorial, [0, 1, 2, -3, 4, 5, 6, 7, 8, 9])
        assert [next(results) for _ in range(3)] == [1, 1, 2]
        with pytest.raises(ValueError, match="negative"):
            next(results)


@pytest.mark.parametrize("processes", [1, 2])
def test_units_are_taken_only_a_few_ahead(processes: int) -> None:
    taken = []

    def units() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with Engine(processes) as engine:
        next(engine.map(math.factorial, units()))
        assert len(taken) <= 2 * processes + 1


def test_a_worker_that_dies_is_one_clear_error() -> None:
    with Engine(2) as engine, pytest.raises(BuildError, match=r"worker process died.*--processes"):
        list(engine.map(os._exit, range(3)))


def test_no_number_means_one_process_for_each_core() -> None:
    assert Engine(0).processes == len(os.sched_getaffinity(0))
    assert Engine(5).processes == 5
