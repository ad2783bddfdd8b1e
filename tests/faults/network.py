"""What a network does: it cuts, it is slow, a name or the service goes → cases."""

from typing import Final

from tests.faults import faults
from tests.faults.case import (
    DRIPPING,
    EXACT,
    IMPATIENT,
    PATIENT,
    SILENT,
    UNTIL,
    USEFUL,
    Case,
    both,
    unavailable,
)

CONNECTION: Final = (
    *both("the connection is cut in half of the body", faults.cut(), "asks for the rest", EXACT),
    *both(
        "the connection is cut before the body",
        faults.cut(0),
        "asks again",
        unavailable("cut after 0 bytes: the connection ended early"),
    ),
    *both(
        "the body has no Content-Length and is cut in half",
        faults.cut_unframed(),
        "asks for the rest",
        EXACT,
    ),
    *both(
        "the body has no Content-Length and is empty",
        faults.cut_unframed(0),
        "asks again",
        unavailable("ended after 0 of … bytes"),
    ),
    *both("a chunked body is cut in a chunk", faults.cut_chunked, "asks for the rest", EXACT),
    *both(
        "the connection is cut in the headers",
        faults.cut_in_headers,
        "asks again",
        unavailable("ended after 0 of … bytes"),
    ),
    *both("the connection is reset (RST) in the body", faults.reset, "asks for the rest", EXACT),
    *both(
        "no answer: the connection is closed at once",
        faults.nothing,
        "asks again",
        unavailable("Remote end closed connection without response"),
        times=3,
    ),
    *both(
        "something answers that is no HTTP",
        faults.garbage,
        "asks again",
        unavailable("the answer is no HTTP, it begins with 'SSH-2.0-OpenSSH_9.9'"),
    ),
)
WAITING: Final = (
    *both(
        "silence before the first byte",
        faults.stall(0),
        "asks again",
        unavailable(SILENT, attempts="3 attempts"),
        policy=IMPATIENT,
        slow=True,
    ),
    *both(
        "silence in the middle of the body",
        faults.stall(0.5),
        "asks for the rest",
        unavailable(f"…{SILENT}", attempts=UNTIL),
        policy=DRIPPING,
        slow=True,
    ),
    *both(
        "headers that come byte by byte",
        faults.drip_headers(0.02),
        "asks again",
        unavailable(SILENT, attempts=UNTIL),
        policy=DRIPPING,
        slow=True,
    ),
    *both(
        "one byte now and then, without end",
        faults.drip(1, 0.05),
        "asks for the rest",
        unavailable(f"…{SILENT}", attempts=UNTIL),
        policy=DRIPPING,
        slow=True,
    ),
    Case(
        name="a slow link, on which a file takes longer than the deadline",
        how_often="once",
        faults=(faults.drip(100, 0.08),),
        reaction="takes it",
        policy=USEFUL,
        slow=True,
    ),
    *both(
        "the size of a chunk comes byte by byte",
        faults.drip_chunk_size(0.02),
        "asks again",
        unavailable(f"…{SILENT}", attempts=UNTIL),
        policy=DRIPPING,
        slow=True,
    ),
    *both(
        "100 Continue over and over",
        faults.flood,
        "asks again",
        unavailable(SILENT, attempts=UNTIL),
        policy=DRIPPING,
        slow=True,
    ),
)
NAMES: Final = (
    Case(
        name="the host's name does not resolve",
        how_often="always",
        failed_lookups=-1,
        reaction="looks up the name again",
        outcome=unavailable(
            "Failed to resolve 'data-box.test' ([Errno -3] Temporary failure in name resolution)",
            file="demo/latest.json",
        ),
    ),
    Case(
        name="the host's name stops resolving in the middle of a file, and resolves again",
        how_often="twice",
        faults=(faults.cut(),),
        failed_lookups=2,
        reaction="asks for the rest",
    ),
)
PROCESS: Final = (
    Case(
        name="the service is killed (SIGKILL) in the middle of a file and starts again",
        how_often="once",
        faults=(faults.kill, faults.restart),
        reaction="asks for the rest",
        policy=PATIENT,
        slow=True,
    ),
    Case(
        name="the service is killed (SIGKILL) in the middle of a file",
        how_often="for good",
        faults=(faults.kill,),
        reaction="asks for the rest",
        outcome=unavailable("…"),
        slow=True,
    ),
)
