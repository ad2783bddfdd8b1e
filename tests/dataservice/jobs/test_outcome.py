"""How builds end → the version, or the reason that a user reads."""

import json

import pytest

from dataservice.jobs.outcome import failure_reason, published_version

VERSION = "0f" * 32


@pytest.mark.parametrize(
    ("status", "line", "version"),
    [
        (0, json.dumps({"name": "demo", "version": VERSION}), VERSION),
        (1, json.dumps({"name": "demo", "version": VERSION}), None),
        (0, json.dumps({"name": "another", "version": VERSION}), None),
        (0, json.dumps({"name": "demo", "version": "../../etc"}), None),
        (0, json.dumps({"name": "demo", "version": 5}), None),
        (0, json.dumps([VERSION]), None),
        (0, "[" * 100_000, None),
        (0, "", None),
    ],
)
def test_a_version_counts_only_when_the_build_ended_well_and_names_it(
    status: int, line: str, version: str | None
) -> None:
    assert published_version(status, line.encode(), "demo") == version


@pytest.mark.parametrize(
    ("status", "line", "expected"),
    [
        (1, b'{"error": "no pair is left"}', "no pair is left"),
        (-9, b"", "SIGKILL"),
        (-200, b"", "signal 200"),
        (3, b"\xff\xfe", "exit status 3"),
        (3, b'{"error": 5}', "exit status 3"),
        (0, b"{}", "without saying which version"),
    ],
)
def test_a_failure_names_what_ended_the_build(status: int, line: bytes, expected: str) -> None:
    assert expected in failure_reason(status, line, [])


@pytest.mark.parametrize("status", [0, 3, -11])
def test_an_unexplained_end_quotes_the_last_words(status: int) -> None:
    assert "MemoryError: \ufffd" in failure_reason(status, b"", [b"a", b"MemoryError:", b"\xff"])
