"""Signals while processes are started or ended: late, and never lost."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from shards.cli.child import uninterrupted

SHOW_MASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


class _Told(Exception):  # noqa: N818  # no error: what a handler raises
    pass


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose handler raises."""

    def tell(*_: object) -> None:
        raise _Told

    before = signal.signal(request.param, tell)
    yield request.param
    signal.signal(request.param, before)


@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_waits_until_the_end_and_comes_once(number: signal.Signals, times: int) -> None:
    reached = 0
    with pytest.raises(_Told), uninterrupted():
        for _ in range(times):
            signal.raise_signal(number)
            reached += 1
    assert reached == times


def test_a_signal_that_another_thread_takes_waits_as_well(number: signal.Signals) -> None:
    stop, whole = threading.Event(), False
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(_Told), uninterrupted():
            os.kill(os.getpid(), number)
            sum(range(100_000))  # a handler would run between two of its steps
            whole = True
    finally:
        stop.set()
        thread.join()
    assert whole


def test_what_is_started_does_not_hear_ctrl_c_and_we_do_again() -> None:
    command = [sys.executable, "-c", SHOW_MASK]
    with uninterrupted():
        inside = subprocess.run(command, capture_output=True, text=True, check=True)
    after = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (inside.stdout, after.stdout) == ("True\n", "False\n")


def test_in_another_thread_what_is_started_does_not_hear_it_either() -> None:
    told: list[str] = []

    def start() -> None:
        with uninterrupted():
            done = subprocess.run(
                [sys.executable, "-c", SHOW_MASK], capture_output=True, text=True, check=True
            )
        told.append(done.stdout)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert told == ["True\n"]
