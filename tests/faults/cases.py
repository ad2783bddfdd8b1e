"""The faults that a reader has to survive, or to end with one clear error: the list of them."""

from typing import Final

from tests.faults.answers import ANSWERS, BYTES, SMALL_FILES
from tests.faults.network import CONNECTION, NAMES, PROCESS, WAITING

GROUPS: Final = {
    "The connection": CONNECTION,
    "Waiting": WAITING,
    "Answers": ANSWERS,
    "Bytes": BYTES,
    "Manifest and pointer": SMALL_FILES,
    "Names": NAMES,
    "The service": PROCESS,
}
CASES: Final = tuple(case for group in GROUPS.values() for case in group)
