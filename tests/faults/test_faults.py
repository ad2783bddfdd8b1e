"""Every fault of the list → an exact epoch, or the error that the list says, within its bound."""

from pathlib import Path

import pytest

from shards.dataset import open_dataset
from shards.manifest import BlobInfo
from tests.faults.case import EXACT, Case
from tests.faults.cases import CASES
from tests.faults.reading import How, run
from tests.faults.service import NUM_SHARDS, Service
from tests.faults.table import PAGE, render
from trainer.stream.cache import BlobCache

BY_ID = {case.id: case for case in CASES}
PASSING = [case for case in CASES if case.outcome == EXACT and case.on == "/blobs/"]
AT_ONCE = How(window_samples=1 << 20)


def params(cases: list[Case], *, slow: bool = False) -> list[object]:
    return [
        pytest.param(case, id=case.id, marks=pytest.mark.slow if slow or case.slow else ())
        for case in cases
    ]


def test_no_two_cases_have_one_name() -> None:
    assert len(BY_ID) == len(CASES)


def test_the_page_of_faults_says_what_the_cases_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(page), "docs/faults.md is stale; run `make docs-faults`"


@pytest.mark.parametrize("case", params(list(CASES)))
def test_an_epoch_is_exact_or_ends_in_the_error_that_the_list_says(
    case: Case, service: Service
) -> None:
    reading = run(case, service)
    assert case.outcome.is_met_by(reading.outcome), reading.outcome
    assert reading.reaction == case.reaction
    assert case.always or reading.plan.met == len(case.faults), "the fault did not come"


@pytest.mark.parametrize("case", params(PASSING))
def test_a_fault_that_passes_is_survived_by_threads_that_fetch_at_once_too(
    case: Case, service: Service
) -> None:
    assert run(case, service, AT_ONCE).outcome == EXACT


WITH_WORKERS = [
    "the connection is cut in half of the body, once",
    "no answer: the connection is closed at once, 3 times",
    "one bit of the body is flipped, once",
    "one bit of the body is flipped, always",
    "silence in the middle of the body, always",
    "503 with Retry-After: 0, always",
    "the service is killed (SIGKILL) in the middle of a file and starts again, once",
    "the service is killed (SIGKILL) in the middle of a file, for good",
]


@pytest.mark.parametrize("case", params([BY_ID[name] for name in WITH_WORKERS], slow=True))
def test_loader_workers_survive_the_same_and_end_in_the_same_errors(
    case: Case, service: Service
) -> None:
    reading = run(case, service, How(num_workers=2))
    assert case.outcome.is_met_by(reading.outcome), reading.outcome


WITH_CACHE = [
    "the connection is cut in half of the body, once",
    "one bit of the body is flipped, once",
    "Content-Encoding: gzip, though identity was asked for, always",
]


@pytest.mark.parametrize("case", params([BY_ID[name] for name in WITH_CACHE]))
def test_the_cache_keeps_whole_blobs_alone_and_needs_no_network_for_a_second_epoch(
    case: Case, service: Service, tmp_path: Path
) -> None:
    reading = run(case, service, How(cache=tmp_path, epochs=2))
    assert reading.outcome == EXACT
    shards = open_dataset(service.folder_url).manifest.splits["train"].shards
    cache = BlobCache(tmp_path, 1 << 30, fetch=_no_network)
    assert [len(cache.read(info)) for info in shards] == [info.bytes for info in shards]
    first_asks = {path for path, _ in reading.plan.seen if "/blobs/" in path}
    assert len(first_asks) == NUM_SHARDS == len(list(tmp_path.iterdir()))


def test_the_cache_keeps_nothing_of_a_blob_that_never_comes_right(
    service: Service, tmp_path: Path
) -> None:
    case = BY_ID["one bit of the body is flipped, always"]
    assert case.outcome.is_met_by(run(case, service, How(cache=tmp_path)).outcome)
    assert list(tmp_path.iterdir()) == []


def _no_network(info: BlobInfo) -> bytes:
    raise AssertionError(f"{info.path} was fetched, though it should be in the cache")
