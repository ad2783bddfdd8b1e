"""What programs say → lines that a log can hold and a person can copy."""

import re

import pytest

from shards.cli.console import LogLines, print_result, progress_bars

VERSION = "0123456789abcdef" * 4
PATH = f"/data/datasets/mine/versions/{VERSION}/report.html"


def test_work_that_lasts_tells_a_log_where_it_is_and_quick_work_tells_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = 0.0
    report = LogLines(clock=lambda: seconds)
    for done in range(1000, 50_000, 1000):
        seconds += 0.5
        report("encode and write", done, 30_000 if done < 25_000 else None)
    told = capsys.readouterr().err.splitlines()
    assert told == ["encode and write: 20,000 of 30,000", "encode and write: 40,000"]


def test_where_stderr_is_no_terminal_progress_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as report:
        report("read", 1, 2)
    assert isinstance(report, LogLines)
    assert capsys.readouterr() == ("", "")


def test_of_two_stages_at_once_both_go_on_and_each_ends_at_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with progress_bars() as report:
        report("read", 1, None)
        report("clean", 1, None)
        report("read", 60, None)
        report("clean", 60, 60)
        report("split", 7, None)
    told = re.sub(r"\x1b\[[\d;?]*\w", "", capsys.readouterr().err)
    bars = re.findall(r"(\w+) +\S+ +(\d+/\S+)", told)
    assert bars[-3:] == [("read", "60/60"), ("clean", "60/60"), ("split", "7/7")]


def test_ids_and_paths_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    print_result({"version": VERSION, "report": PATH, "bytes": 7}, as_json=False, title="Built")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for text, line in zip((VERSION, PATH, "7"), lines[1:], strict=True):
        assert line.endswith(f"  {text}")
