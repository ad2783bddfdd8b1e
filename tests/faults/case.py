"""A fault, how often it comes and what has to become of it → one case."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from shards.http import RetryPolicy
from tests.faults.proxy import Fault

Reaction = Literal["takes it", "asks for the rest", "asks again", "looks up the name again"]

QUICK: Final = RetryPolicy(
    attempts=4,
    first_wait_s=0.001,
    max_wait_s=0.01,
    # no case with this policy waits: as long as its deadline lets a busy machine pause
    connect_timeout_s=5,
    read_timeout_s=5,
    deadline_s=5,
)


@dataclass(frozen=True)
class Outcome:
    """How a reading ends: with every pair as often as it should come, or in an error."""

    error: str = ""
    told: str = ""  # … in it is anything

    def is_met_by(self, other: "Outcome") -> bool:
        pattern = ".*?".join(map(re.escape, self.told.split("…")))
        return self.error == other.error and re.fullmatch(pattern, other.told) is not None


EXACT: Final = Outcome()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault: what the network does and how often, what the reader does, how it ends."""

    name: str
    how_often: str
    faults: tuple[Fault, ...] = ()
    always: bool = False
    on: str = "/blobs/"
    failed_lookups: int = 0
    """How often the host's name does not resolve, from the second lookup on; -1: always."""
    reaction: Reaction
    """What the reader does about the file of the first fault, in the end."""
    outcome: Outcome = EXACT
    policy: RetryPolicy = QUICK
    slow: bool = False

    @property
    def id(self) -> str:
        return f"{self.name}, {self.how_often}"


SILENT: Final = "timed out: nothing came for 0.4 s, or too little"


def unavailable(
    reason: str, file: str = "blobs/SHA.tar.zst", *, attempts: str = "4 attempts"
) -> Outcome:
    """The one sentence for what could not be had."""
    return Outcome(
        "StoreUnavailableError",
        f"URL/datasets/{file} could not be fetched in {attempts}: {reason}; nothing was "
        "lost; check that the service is up and reachable, then run the same command again",
    )


CORRUPT: Final = Outcome(
    "CorruptBlobError",
    "URL/datasets/blobs/SHA.tar.zst: blob blobs/SHA.tar.zst has sha256 …, the manifest says …; it "
    "is not used; restore it at its source, or build the data set again",
)
IMPATIENT: Final = replace(QUICK, read_timeout_s=0.4, attempts=3)
DRIPPING: Final = replace(
    QUICK, connect_timeout_s=0.4, read_timeout_s=0.4, attempts=1000, deadline_s=3
)
PATIENT: Final = replace(QUICK, attempts=100_000, max_wait_s=0.05, deadline_s=60)
USEFUL: Final = replace(QUICK, deadline_s=1.5, min_bytes_per_s=200)
UNTIL: Final = "… attempts until the deadline of 3 s"
PORTAL: Final = (
    "a web page came (text/html), not the file; something on the way answers for the server, a "
    "proxy or a portal to sign in to"
)
NOT_ALL: Final = "… bytes came, which are not all, and no Content-Length says how many"
EDITED: Final = Outcome(
    "ManifestError",
    "manifest URL/datasets/demo/versions/SHA/manifest.json has sha256 …, its version says …; it is "
    "damaged or was edited and is not used; restore it or build the data set again",
)


def both(
    name: str,
    fault: Fault,
    reaction: Reaction,
    always: Outcome,
    *,
    times: int = 1,
    on: str = "/blobs/",
    policy: RetryPolicy = QUICK,
    slow: bool = False,
    reaction_always: Reaction | None = None,
) -> Iterator[Case]:
    """A fault that passes, which leaves the exact pairs, and the same for ever (perhaps slow)."""
    often = {1: "once", 2: "twice"}.get(times, f"{times} times")
    case = Case(
        name=name,
        how_often=often,
        faults=(fault,) * times,
        on=on,
        reaction=reaction,
        policy=policy,
    )
    yield case
    yield replace(
        case,
        how_often="always",
        faults=(fault,),
        always=True,
        reaction=reaction_always or reaction,
        outcome=always,
        slow=slow,
    )


def once(name: str, *faults: Fault, reaction: Reaction) -> Iterator[Case]:
    """Faults that come one after the other, and pass."""
    yield Case(name=name, how_often="once", faults=faults, reaction=reaction)
