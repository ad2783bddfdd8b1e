"""The cases → the tables of docs/faults.md, written once every case does what it says.

python -m tests.faults.table
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.faults.case import EXACT, Case
from tests.faults.cases import CASES, GROUPS
from tests.faults.reading import run
from tests.faults.service import Service, publish

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"
_PART = re.compile(r"(<!-- generated: faults -->\n).*?(<!-- end -->)", re.DOTALL)
_MANY: Final = 100


def render(page: str) -> str:
    """A page with its generated part written anew."""
    written = "\n".join(tables())
    return _PART.sub(lambda match: f"{match[1]}\n{written}\n{match[2]}", page)


def tables() -> Iterator[str]:
    """One table for each group of cases."""
    for title, cases in GROUPS.items():
        yield f"### {title}"
        yield ""
        yield "| Fault | How often | The reader | Outcome | Bound |"
        yield "|---|---|---|---|---|"
        for case in cases:
            cells = (case.name, case.how_often, _reaction(case), _outcome(case), _bound(case))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def _reaction(case: Case) -> str:
    return case.reaction if case.outcome == EXACT else f"{case.reaction}, then gives up"


def _outcome(case: Case) -> str:
    """The error as far as it differs from case to case; the page has the rest of the sentence."""
    if case.outcome == EXACT:
        return "exact"
    told = case.outcome.told.split("; ")[0]
    told = told.removeprefix("URL/datasets/blobs/SHA.tar.zst").replace("URL/datasets/", "…/")
    told = f"…{told}" if told.startswith((" ", ":")) else told
    return f"{case.outcome.error}: `{told}`"


def _bound(case: Case) -> str:
    seconds = f"{case.policy.deadline_s:g} s"
    many = case.policy.attempts >= _MANY
    return seconds if many else f"{case.policy.attempts} attempts, {seconds}"


def main() -> None:
    """Run every case; write the page, or say which case is not what it says."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder) / "datasets")
        service = Service(Path(folder), "demo")
        try:
            for case in CASES:
                reading = run(case, service)
                met = case.outcome.is_met_by(reading.outcome)
                if not met or reading.reaction != case.reaction:
                    wrong.append(f"{case.id}: {reading.reaction}, {reading.outcome}")
        finally:
            service.kill()
    if wrong:
        sys.exit("\n".join(["nothing was written; these cases do not do what they say:", *wrong]))
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
