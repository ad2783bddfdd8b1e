"""The cases → the tables of docs/hostile-inputs.md, as the tests assert them.

python -m tests.dataservice.prepare.hostile.table
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.dataservice.prepare.hostile import GROUPS, Hostile

PAGE: Final = Path(__file__).parents[4] / "docs" / "hostile-inputs.md"
_PART = re.compile(r"(<!-- generated: hostile -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str) -> str:
    """A page with its generated part written anew."""
    written = "\n".join(tables())
    return _PART.sub(lambda match: f"{match[1]}\n{written}\n{match[2]}", page)


def tables() -> Iterator[str]:
    """One table for each group of cases."""
    for title, cases in GROUPS.items():
        yield f"### {title}"
        yield ""
        yield "| Input | By default | With `damaged: skip` |"
        yield "|---|---|---|"
        for case in cases:
            cells = (_code(case.name), _by_default(case), _skipped(case))
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def _code(name: str) -> str:
    """A name in which nothing is taken for HTML."""
    return name if "`" in name else name.replace("<", "&lt;")


def _by_default(case: Hostile) -> str:
    return f"an error: `…{case.error}…`" if case.error is not None else _read(case)


def _skipped(case: Hostile) -> str:
    return "the same error" if case.error is not None and case.lost is None else _read(case)


def _read(case: Hostile) -> str:
    """What is read, and what is counted."""
    told = ["1 pair" if case.pairs == 1 else f"{case.pairs} pairs"]
    told += [f"`{reason}` {number}" for reason, number in (case.lost or {}).items()]
    if case.author is not None:
        tag = f"the tag `<author_{case.author}>`" if case.author else "the default author's tag"
        told.append(tag)
    return ", ".join(told)


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
