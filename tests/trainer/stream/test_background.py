"""Work ahead in threads: order kept, errors raised where asked, nothing left running."""

import threading
from collections.abc import Iterator

import pytest

from trainer.stream.background import map_in_threads, prefetch


def test_items_come_in_order() -> None:
    assert list(prefetch(range(100), depth=3)) == list(range(100))


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    stream = prefetch(items(), depth=2)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_no_more_than_depth_items_are_made_ahead() -> None:
    made: list[int] = []
    reached = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 2:
                reached.set()
            yield number

    stream = prefetch(items(), depth=2)
    assert next(stream) == 0
    assert reached.wait(60), "two are made ahead of the one that was taken"
    assert made == [0, 1, 2]


def test_closing_the_stream_ends_its_thread() -> None:
    before = set(threading.enumerate())
    stream = prefetch(iter(range(10**9)), depth=2)
    next(stream)
    (thread,) = set(threading.enumerate()) - before
    stream.close()  # type: ignore[attr-defined]
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize("num_threads", [1, 3, 50])
def test_results_are_in_the_order_of_the_items(num_threads: int) -> None:
    assert map_in_threads(lambda number: number * 2, range(20), num_threads) == [
        number * 2 for number in range(20)
    ]


def test_the_error_of_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        map_in_threads(lambda number: 1 // number, [1, 2, 0, 3], 2)
