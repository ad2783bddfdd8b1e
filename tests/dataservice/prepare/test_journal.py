"""Stages that were interrupted → the same results, and nothing done twice that was whole."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataservice.errors import SourceError
from dataservice.prepare.engines.processes import ProcessEngine
from dataservice.prepare.journal import Journal
from dataservice.prepare.work.folder import JOURNAL_FILE
from dataservice.prepare.work.pickled import PickledError, dump, load
from dataservice.prepare.work.spill import SpillFile, open_spill, spill
from tests.dataservice.prepare.toys import (
    Made,
    Toy,
    blob_of,
    fail_at_three,
    note_try,
    square,
    store_of,
    store_square,
    tries,
)

NUMBER = 6
SQUARES = [number**2 for number in range(NUMBER)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "notes").mkdir()
    work = tmp_path / "work"
    work.mkdir()
    return work


def journal_of(folder: Path) -> Journal:
    return Journal(folder, store_of(folder), trusted=("tests",))


def notes(folder: Path) -> Path:
    return folder.parent / "notes"


def noted_square(unit: Toy) -> Made:
    note_try(Toy(unit.number, notes(unit.folder)))
    data = b"%d " % unit.number**2 * (100 + unit.number)
    return Made(unit.number**2, (spill(unit.folder, f"square-{unit.number}", data),))


def noted_sum(unit: Toy) -> Made:
    """A second stage, which reads what the first one left."""
    note_try(Toy(100 + unit.number, notes(unit.folder)))
    value = int((unit.folder / f"square-{unit.number}").read_bytes().split()[0]) + 1
    return Made(value, (spill(unit.folder, f"sum-{unit.number}", b"%d" % value),))


def squares(journal: Journal, folder: Path, number: int = NUMBER) -> Iterator[Made]:
    units = [Toy(index, folder) for index in range(number)]
    with ProcessEngine(1) as engine:
        yield from journal.map(engine, "square", noted_square, units)


def sums(journal: Journal, folder: Path) -> Iterator[Made]:
    units = [Toy(index, folder) for index in range(NUMBER)]
    with ProcessEngine(1) as engine:
        yield from journal.map(engine, "sum", noted_sum, units)


def run_squares(folder: Path) -> list[int]:
    with journal_of(folder) as journal:
        return [made.number for made in squares(journal, folder)]


def all_tries(folder: Path, offset: int = 0) -> list[int]:
    return [tries(notes(folder), offset + number) for number in range(NUMBER)]


def test_a_stage_that_is_forgotten_is_done_again_and_its_files_are_gone(folder: Path) -> None:
    with journal_of(folder) as journal:
        list(squares(journal, folder))
        journal.forget("square")
        journal.forget("unknown")
        assert not list(folder.glob("square-*"))
        assert journal.num_known == 0
    with journal_of(folder) as journal:
        assert [made.number for made in squares(journal, folder)] == SQUARES
        assert journal.num_known == NUMBER
    assert all_tries(folder) == [2] * NUMBER


@pytest.mark.parametrize("done", range(NUMBER + 1))
def test_units_that_were_finished_are_not_run_again(folder: Path, done: int) -> None:
    with journal_of(folder) as journal:
        results = squares(journal, folder)
        assert [next(results).number for _ in range(done)] == SQUARES[:done]
    assert run_squares(folder) == SQUARES
    assert all_tries(folder) == [1] * NUMBER


def test_the_journal_goes_with_its_folder_to_another_place(folder: Path) -> None:
    assert run_squares(folder) == SQUARES
    moved = folder.rename(folder.with_name("moved"))
    assert run_squares(moved) == SQUARES
    assert all_tries(moved) == [1] * NUMBER


def test_a_journal_that_is_cut_at_any_byte_costs_only_the_units_behind_the_cut(
    folder: Path, tmp_path: Path
) -> None:
    assert run_squares(folder) == SQUARES
    whole = (folder / JOURNAL_FILE).read_bytes()
    redone = []
    for cut in range(0, len(whole), 7):
        copy = Path(shutil.copytree(folder, tmp_path / "copies" / f"{cut}" / "work"))
        notes(copy).mkdir()
        (copy / JOURNAL_FILE).write_bytes(whole[:cut])
        assert run_squares(copy) == SQUARES
        redone.append(sum(all_tries(copy)))
        assert run_squares(copy) == SQUARES  # what was appended after the cut is read again
        assert sum(all_tries(copy)) == redone[-1]
    assert redone == sorted(redone, reverse=True)
    assert set(redone) == set(range(1, NUMBER + 1))


def test_a_journal_that_is_damaged_at_any_byte_is_never_trusted(
    folder: Path, tmp_path: Path
) -> None:
    assert run_squares(folder) == SQUARES
    whole = (folder / JOURNAL_FILE).read_bytes()
    for place in range(0, len(whole), 11):
        copy = Path(shutil.copytree(folder, tmp_path / "copies" / f"{place}" / "work"))
        notes(copy).mkdir()
        damaged = bytearray(whole)
        damaged[place] ^= 0x21
        (copy / JOURNAL_FILE).write_bytes(damaged)
        assert run_squares(copy) == SQUARES
        assert sum(all_tries(copy)) >= 1


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))  # as some file systems do in a power cut


DAMAGES = [remove, cut, zero]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_unit_whose_file_is_missing_or_damaged_is_run_again(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    assert run_squares(folder) == SQUARES
    for number in (0, 3, 4):
        damage(folder / f"square-{number}")
    assert run_squares(folder) == SQUARES
    assert all_tries(folder) == [2, 1, 1, 2, 2, 1]
    for number in range(NUMBER):
        assert int((folder / f"square-{number}").read_bytes().split()[0]) == number**2
    assert run_squares(folder) == SQUARES
    assert all_tries(folder) == [2, 1, 1, 2, 2, 1]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_unit_whose_blob_was_collected_or_damaged_is_run_again(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    units = [Toy(index, folder) for index in range(NUMBER)]

    def run() -> list[Made]:
        with journal_of(folder) as journal, ProcessEngine(1) as engine:
            return list(journal.map(engine, "store", store_square, units))

    made = run()
    paths = [store_of(folder).folder / blob_of(one).path for one in made]
    damage(paths[2])
    for path in paths:
        if path.exists():
            os.utime(path, (1, 1))
    shutil.move(folder / "tries", notes(folder) / "tries")
    assert run() == made
    assert tries(folder, 2) == 1
    assert sum(tries(folder, number) for number in range(NUMBER)) == 1
    # those that were not stored again count as stored now, for the sake of a collection
    assert all(path.stat().st_mtime > 1e9 for path in paths)
    for one in made:
        store_of(folder).read_blob(blob_of(one))


def test_a_blob_that_was_collected_does_not_bring_back_what_was_dropped_before(
    folder: Path,
) -> None:
    units = [Toy(index, folder) for index in range(NUMBER)]

    def run() -> list[Made]:
        with journal_of(folder) as journal, ProcessEngine(1) as engine:
            list(squares(journal, folder))
            journal.drop("square")
            return list(journal.map(engine, "store", store_square, units))

    made = run()
    before = (folder / "journal").stat().st_size
    (store_of(folder).folder / blob_of(made[2]).path).unlink()
    with journal_of(folder) as journal:
        assert journal.num_known == 2 * NUMBER - 1  # the one blob alone
    assert (folder / "journal").stat().st_size > before
    assert run() == made


def test_dropped_files_are_not_missed(folder: Path) -> None:
    with journal_of(folder) as journal:
        list(squares(journal, folder))
        list(sums(journal, folder))
        journal.drop("square")
        assert not list(folder.glob("square-*"))
    with journal_of(folder) as journal:
        assert [made.number for made in squares(journal, folder)] == SQUARES
        assert [made.number for made in sums(journal, folder)] == [n + 1 for n in SQUARES]
    assert all_tries(folder) == [1] * NUMBER
    assert all_tries(folder, 100) == [1] * NUMBER


def test_a_damaged_file_brings_back_the_dropped_ones_it_is_made_from(folder: Path) -> None:
    def run() -> list[int]:
        with journal_of(folder) as journal:
            list(squares(journal, folder))
            values = [made.number for made in sums(journal, folder)]
            journal.drop("square")
            return values

    assert run() == [number + 1 for number in SQUARES]
    (folder / "sum-2").unlink()
    for _ in range(2):  # the second time nothing is left to do
        assert run() == [number + 1 for number in SQUARES]
        assert all_tries(folder) == [2] * NUMBER
        assert all_tries(folder, 100) == [1, 1, 2, 1, 1, 1]
        assert not list(folder.glob("square-*"))


def test_a_stage_that_began_first_is_brought_back_by_what_was_done_before_its_end(
    folder: Path,
) -> None:
    def run() -> list[str]:
        calls = []

        def make(name: str) -> Made:
            calls.append(name)
            return Made(0, (spill(folder, name, name.encode()),))

        with journal_of(folder) as journal:
            journal.begin("read")
            journal.once("clean", "0", lambda: make("rows"))
            journal.once("read", "0", lambda: make("text"))
            journal.drop("read")
        return calls

    for _ in range(2):
        assert run() == ["rows", "text"]
        assert run() == []
        (folder / "rows").unlink()


def test_files_that_no_result_names_are_removed(folder: Path) -> None:
    run_squares(folder)
    (folder / "square-99").write_bytes(b"of a unit that was not finished")
    (folder / ".square-3.0123").write_bytes(b"half")
    with journal_of(folder):
        assert sorted(path.name for path in folder.iterdir()) == [
            JOURNAL_FILE,
            *(f"square-{number}" for number in range(NUMBER)),
        ]


def test_an_error_keeps_what_was_finished_before(folder: Path) -> None:
    units = [Toy(index, notes(folder)) for index in range(NUMBER)]
    with (
        journal_of(folder) as journal,
        ProcessEngine(2) as engine,
        pytest.raises(SourceError, match="line 3"),
    ):
        list(journal.map(engine, "toys", fail_at_three, units))
    before = all_tries(folder)
    with journal_of(folder) as journal, ProcessEngine(2) as engine:
        assert [made.number for made in journal.map(engine, "toys", square, units)] == SQUARES
    assert all_tries(folder)[:3] == before[:3] == [1, 1, 1]


def test_a_unit_with_another_label_is_another_unit(folder: Path) -> None:
    run_squares(folder)
    with journal_of(folder) as journal, ProcessEngine(1) as engine:
        units = [Toy(index + (index > 3), folder) for index in range(NUMBER)]
        found = [made.number for made in journal.map(engine, "square", noted_square, units)]
    assert found == [0, 1, 4, 9, 25, 36]
    assert all_tries(folder) == [1, 1, 1, 1, 1, 2]


def test_a_step_of_the_driver_is_done_once_as_well(folder: Path) -> None:
    calls = []

    def read(name: str) -> Made:
        calls.append(name)
        return Made(len(name), (spill(folder, name, name.encode()),))

    for _ in range(2):
        with journal_of(folder) as journal:
            assert journal.once("read", "one", lambda: read("one")).number == 3
            assert journal.once("read", "three", lambda: read("three")).number == 5
    assert calls == ["one", "three"]
    (folder / "one").unlink()
    with journal_of(folder) as journal:
        assert journal.once("read", "one", lambda: read("one")).number == 3
    assert calls == ["one", "three", "one"]


def test_a_spill_that_fails_leaves_nothing(folder: Path) -> None:
    with pytest.raises(RuntimeError), open_spill(folder, "half") as writer:
        writer.write(b"some")
        raise RuntimeError
    assert list(folder.iterdir()) == []


def test_a_spill_in_pieces_is_the_same_as_in_one(folder: Path) -> None:
    with open_spill(folder, "pieces") as writer:
        writer.write(b"some")
        writer.write(memoryview(b"thing"))
    spilled = writer.spilled
    assert spilled == SpillFile("pieces", 9, spill(folder, "one", b"something").digest)
    assert spilled.is_whole(spilled.under(folder))
    assert not spilled.is_whole(folder)


def test_results_with_arrays_come_back_as_they_were() -> None:
    array = np.arange(5, dtype=np.uint16)
    value: dict[str, Any] = {"a": array, "b": (np.int64(3), Path("x"), {1, 2})}
    again = load(dump(value), ())
    assert np.array_equal(again["a"], value["a"])
    assert again["b"] == value["b"]


@pytest.mark.parametrize("value", [os.system, shutil.rmtree, print, Made(1)], ids=str)
def test_a_record_that_asks_for_more_than_data_is_refused(value: object) -> None:
    with pytest.raises(PickledError, match="is no data"):
        load(dump(value), ("dataservice",))
