"""Every hostile file → a reason that is counted, or one clear error; never a hang or a loss."""

import dataclasses
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dataservice.errors import SourceError
from dataservice.prepare.pair import Pairs
from dataservice.prepare.rows import Labels
from dataservice.prepare.tags import labels_of_pairs
from dataservice.source_settings import DamagePolicy, Reading, SourceSettings
from shards.sample import tag_symbol
from tests.dataservice.prepare.hostile import BOMBS, NAMES, cases
from tests.dataservice.prepare.hostile.case import Hostile
from tests.dataservice.prepare.source_files import Pair, read

CASES = list(cases())
every = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
pytestmark = pytest.mark.timeout(60)


def attempt(
    case: Hostile, folder: Path, policy: DamagePolicy
) -> tuple[list[Pair], Counter[str]] | str:
    """What is read, and what is lost by reason; or the error."""
    source: Any = case.make(folder)
    reading = dataclasses.replace(Reading(damaged=policy), **case.reading)
    lost: Counter[tuple[str, str]] = Counter()
    try:
        found = read(SourceSettings.model_validate(source), folder, None, reading, lost)
    except SourceError as error:
        return str(error)
    reasons = Counter[str]()
    for (_, reason), number in lost.items():
        reasons[reason] += number
    return found, reasons


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@every
def test_a_hostile_file_is_one_clear_error_or_none(tmp_path: Path, case: Hostile) -> None:
    found = attempt(case, tmp_path, "error")
    if case.error is None:
        assert isinstance(found, tuple), found
        assert (len(found[0]), found[1]) == (case.pairs, case.lost or {})
        return
    assert isinstance(found, str)
    assert case.error in found
    assert "\n" not in found
    assert "; " in found, "it has no remedy"


@every
def test_a_hostile_file_is_counted_where_damage_is_skipped(tmp_path: Path, case: Hostile) -> None:
    found = attempt(case, tmp_path, "skip")
    if case.error is not None and case.lost is None:
        assert isinstance(found, str)
        assert case.error in found
        return
    assert isinstance(found, tuple), found
    pairs, lost = found
    assert (len(pairs), lost) == (case.pairs, case.lost or {})
    assert all(pair.tgt for pair in pairs)


@pytest.mark.parametrize("case", BOMBS, ids=[case.name for case in BOMBS])
def test_a_bomb_never_fills_the_memory(tmp_path: Path, case: Hostile) -> None:
    source = SourceSettings.model_validate(case.make(tmp_path))
    reading = dataclasses.replace(Reading(), **case.reading)
    tracemalloc.start()
    try:
        with pytest.raises(SourceError):
            read(source, tmp_path, None, reading)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20


@pytest.mark.parametrize("case", NAMES, ids=[case.name for case in NAMES])
def test_a_hostile_name_becomes_one_harmless_token(tmp_path: Path, case: Hostile) -> None:
    found = attempt(case, tmp_path, "error")
    assert isinstance(found, tuple)
    ((pair,), _) = found
    columns = Pairs(
        src=["а"], tgt=["a"], author=[pair.author], city=[None], year=[None], source=["s"]
    )
    tags = Labels.load(labels_of_pairs(columns)[0])
    assert tags.author == case.author
    symbol = tag_symbol("author", tags.author or "default")
    assert not set("<> \t\n\0\x1b") & set(symbol[1:-1])
