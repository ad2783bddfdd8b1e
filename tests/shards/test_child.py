"""Signals while processes are started or ended: late, each once, and never lost."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from shards.cli.child import starting, uninterrupted

BOTH = (signal.SIGINT, signal.SIGTERM)

SHOW_MASK = """
import multiprocessing, signal
from shards.cli.child import starting

def show():
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    for manager in (starting(), starting()):
        with manager:
            process = context.Process(target=show)
            process.start()  # the first one starts the tracker of resources as well
        process.join()
    show()
"""


class _HandlerError(Exception):
    """What a handler raises, as that of Ctrl-C does."""


@pytest.fixture
def told() -> Iterator[Counter[int]]:
    """How often each signal was handled; SIGINT's and SIGTERM's handlers raise."""
    count: Counter[int] = Counter()

    def tell(number: int, _: object) -> None:
        count[number] += 1
        raise _HandlerError

    before = {number: signal.signal(number, tell) for number in BOTH}
    yield count
    for number, handler in before.items():
        signal.signal(number, handler)


def _step(_: int) -> None:
    """A handler may run before it returns."""


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("manager", [uninterrupted, starting])
def test_a_signal_waits_until_the_end(
    told: Counter[int],
    number: signal.Signals,
    manager: Callable[[], AbstractContextManager[None]],
) -> None:
    reached = False
    with pytest.raises(_HandlerError), manager():
        signal.raise_signal(number)
        reached = True
    assert reached
    assert told == {number: 1}


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """Becomes readable when the process has taken a signal, in whichever thread."""
    ours, pythons = socket.socketpair()
    with ours, pythons:
        ours.settimeout(60)
        pythons.setblocking(False)
        before = signal.set_wakeup_fd(pythons.fileno())
        yield ours
        signal.set_wakeup_fd(before)


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_that_another_thread_takes_waits_as_well(
    told: Counter[int], taken: socket.socket, number: signal.Signals
) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    steps = 0
    try:
        with pytest.raises(_HandlerError), starting():
            os.kill(os.getpid(), number)
            # A busy main thread may not notice what another took: it does after it has waited.
            assert taken.recv(1) == bytes([number])
            for steps in range(1000):
                _step(steps)
    finally:
        stop.set()
        thread.join()
    assert steps == 999
    assert told == {number: 1}


def test_of_two_signals_none_is_lost_though_the_handler_of_one_raises(told: Counter[int]) -> None:
    with pytest.raises(_HandlerError), uninterrupted():
        for number in BOTH:
            signal.raise_signal(number)
    assert told == dict.fromkeys(BOTH, 1)


@pytest.mark.parametrize("number", BOTH)
def test_a_second_signal_of_a_kind_does_not_wait(
    told: Counter[int], number: signal.Signals
) -> None:
    reached = 0
    with pytest.raises(_HandlerError), uninterrupted():
        for _ in range(3):
            signal.raise_signal(number)
            reached += 1
    assert reached == 1
    assert told == {number: 2}


@pytest.mark.parametrize("manager", [uninterrupted, starting])
def test_handlers_are_those_from_before_whatever_happens_inside(
    told: Counter[int], manager: Callable[[], AbstractContextManager[None]]
) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with pytest.raises(ZeroDivisionError), manager(), uninterrupted():
        raise ZeroDivisionError
    with pytest.raises(_HandlerError), manager(), uninterrupted():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in BOTH] == before
    assert told == {signal.SIGTERM: 1}


def test_a_signal_that_is_ignored_stays_ignored(told: Counter[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert not told


def test_what_is_started_does_not_hear_ctrl_c_and_we_do_again() -> None:
    command = [sys.executable, "-W", "error", "-c", SHOW_MASK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\nTrue\nFalse\n", "")


def test_in_another_thread_what_is_started_does_not_hear_it_either() -> None:
    shown: list[bool] = []

    def start() -> None:
        with starting():
            shown.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
        shown.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert shown == [True, False]
