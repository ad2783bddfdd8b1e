"""docs/hostile-inputs.md is what the cases say."""

from tests.dataservice.prepare.hostile.table import PAGE, render


def test_the_tables_of_hostile_inputs_are_those_of_the_cases() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert render(page) == page, "run python -m tests.dataservice.prepare.hostile.table"
