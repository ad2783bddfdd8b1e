"""A store over HTTP that does not answer well → how long is waited, and where it ends."""

import time
from email.utils import formatdate

import pytest

from shards.errors import StoreUnavailableError
from shards.http import HttpStore, RetryPolicy
from tests.shards.fault_server import Fault, FaultServer, Handler, stall, status, trickle


@pytest.mark.parametrize("fault", [stall(100_000), trickle(0.05)], ids=["stall", "trickle"])
def test_a_deadline_ends_what_would_go_on_for_ever(server: FaultServer, fault: Fault) -> None:
    server.script.files["/file"] = bytes(200_000)
    server.script.always = fault
    policy = RetryPolicy(
        attempts=1000, first_wait_s=0.001, max_wait_s=0.01, read_timeout_s=0.3, deadline_s=0.8
    )
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        HttpStore(server.url, policy=policy).read("file")
    assert time.monotonic() - started < 25  # a server that stalls hangs up after 30


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def read(self) -> float:
        return self.now


def naps(server: FaultServer, policy: RetryPolicy) -> list[float]:
    """How long a client waits between attempts that all fail."""
    clock = Clock()
    store = HttpStore(server.url, policy=policy, sleep=clock.sleep, clock=clock.read)
    with pytest.raises(StoreUnavailableError):
        store.read("anything")
    return clock.naps


def test_waits_double_up_to_their_bound(server: FaultServer) -> None:
    server.script.always = status(503)
    policy = RetryPolicy(attempts=6, first_wait_s=1, max_wait_s=5)
    assert naps(server, policy) == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(("wish", "wait_s"), [("3", 3), ("0", 1), ("9999", 60), ("soon", 1)])
@pytest.mark.parametrize("code", [429, 503])
def test_the_servers_wish_to_wait_counts_within_bounds(
    server: FaultServer, code: int, wish: str, wait_s: float
) -> None:
    server.script.always = status(code, Retry_After=wish)
    assert naps(server, RetryPolicy(attempts=2, first_wait_s=1)) == [wait_s]


@pytest.mark.parametrize(
    ("after_s", "date", "wait_s"),
    [(30, True, 30), (3000, True, 60), (-30, True, 1), (3000, False, 60), (-30, False, 1)],
)
def test_a_date_to_wait_for_is_read_by_the_clock_of_the_server(
    server: FaultServer, after_s: int, date: bool, wait_s: float
) -> None:
    now = 1_700_000_000 if date else time.time()

    def fault(handler: Handler, _: bytes) -> None:
        handler.send_response_only(503)
        if date:
            handler.send_header("Date", formatdate(now, usegmt=True))
        handler.send_header("Retry-After", formatdate(now + after_s, usegmt=True))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.script.always = fault
    assert naps(server, RetryPolicy(attempts=2, first_wait_s=1)) == [wait_s]


def test_waits_stay_bounded_after_any_number_of_attempts() -> None:
    assert RetryPolicy(max_wait_s=5).wait_s(100_000, None) == 5


def test_no_wait_is_begun_that_would_pass_the_deadline(server: FaultServer) -> None:
    server.script.always = status(503)
    policy = RetryPolicy(attempts=100, first_wait_s=1, max_wait_s=100, deadline_s=10)
    assert naps(server, policy) == [1, 2, 4]
    assert len(server.script.requests) == 4
