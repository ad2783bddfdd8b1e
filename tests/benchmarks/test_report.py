"""What the reports share: errors, numbers, and what stands between marks."""

from pathlib import Path

import pytest

from benchmarks.cells import rounded
from benchmarks.figures import short
from benchmarks.report import replace_marked


def test_errors_are_shown_without_the_paths_of_a_machine() -> None:
    assert short("a.module.StrangeError: in /some/where/there") == "StrangeError: in …"


@pytest.mark.parametrize(
    ("value", "text"), [(0.04791, "0.0479"), (97.66, "97.7"), (100, "100"), (123_456, "123,000")]
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert rounded(value) == text


def test_a_report_leaves_what_stands_around_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("one <!-- end -->\n<!-- two -->\nold\n<!-- end -->\nthree <!-- end -->\n")
    replace_marked(path, "<!-- two -->\nnew\n<!-- end -->")
    assert path.read_text() == (
        "one <!-- end -->\n<!-- two -->\nnew\n<!-- end -->\nthree <!-- end -->\n"
    )
