"""Files that mean harm, or were made by accident → what comes of each: a count or an error."""

from collections.abc import Iterator
from typing import Final

from tests.dataservice.prepare.hostile.archives import ARCHIVES, BOMBS
from tests.dataservice.prepare.hostile.case import Hostile
from tests.dataservice.prepare.hostile.formats import CATALOGUES, PARQUET, XML
from tests.dataservice.prepare.hostile.lines import ENCODINGS, JSON, LINES, NAMES
from tests.dataservice.prepare.hostile.places import FILES

__all__ = ["BOMBS", "GROUPS", "NAMES", "Hostile", "cases"]

GROUPS: Final[dict[str, tuple[Hostile, ...]]] = {
    "Encodings": ENCODINGS,
    "Lines": LINES,
    "JSON lines": JSON,
    "Archives": ARCHIVES,
    "Bombs": BOMBS,
    "Parquet": PARQUET,
    "TMX": XML,
    "gettext": CATALOGUES,
    "Files and places": FILES,
    "Names": NAMES,
}


def cases() -> Iterator[Hostile]:
    for group in GROUPS.values():
        yield from group
