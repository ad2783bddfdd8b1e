"""The last marks of both sides → dropped or kept."""

import pytest
from pydantic import ValidationError

from dataservice.settings import BuildSettings
from tests.dataservice.prepare.filters.judge import says


@pytest.mark.parametrize(
    ("src", "tgt", "marks", "expected"),
    [
        ("Да?", "Yes.", "?", True),
        ("Да?", "Yes?", "?", False),
        ("«Да?»", "“Yes?”", "?", False),
        ("(«Да?»)", "Yes", "?", True),
        ("Да？", "Yes?", "?", False),
        ("Да!", "Yes.", "?", False),
        ("Да!", "Yes.", "?!", True),
        ("Да…", "Yes...", "…", False),
        ("Да..", "Yes.", "…", True),
        ("Да.", "Yes", ".", True),
        ("Да...", "Yes.", ".", True),
        ("Да:", "Yes", ":", True),
        ("Да:", "Yes", "", False),
        ("»", "?", "?", True),
        ("", "?", "?", True),
    ],
)
def test_ends_must_match_in_the_marks_that_are_named(
    src: str, tgt: str, marks: str, expected: bool
) -> None:
    assert says("sentence_end", src, tgt, match_ends=marks) is expected


def test_a_mark_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError, match="match_ends"):
        BuildSettings.model_validate({"match_ends": "?;"})
