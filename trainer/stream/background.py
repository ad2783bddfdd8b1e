"""Work to do later → results in order, made ahead of time by daemon threads.

Threads are enough: fetching, zstd, hashing and numpy release the GIL. Daemons, because a thread
that waits for a dead server must not keep a program alive after Ctrl-C.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Failure(Generic[Result]):
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    pass


def prefetch(
    items: Iterable[Result], depth: int, stop: threading.Event | None = None
) -> Iterator[Result]:
    """The same items, up to `depth` made ahead; an error is raised where its item is asked for.

    Once `stop` is set, waiting for an item that does not come ends the items instead.
    """
    results: queue.Queue[Result | _Failure[Result] | _End] = queue.Queue(maxsize=depth)
    closed = threading.Event()
    arguments = (items, results, closed)
    threading.Thread(target=_produce, args=arguments, name="prefetch", daemon=True).start()
    try:
        while not isinstance(result := _take(results, stop), _End):
            if isinstance(result, _Failure):
                raise result.error
            yield result
    finally:
        closed.set()


def _produce(
    items: Iterable[Result],
    results: "queue.Queue[Result | _Failure[Result] | _End]",
    closed: threading.Event,
) -> None:
    """Put every item, then the end or an error; stop when nobody takes them any more."""

    def put(result: Result | _Failure[Result] | _End) -> bool:
        while not closed.is_set():
            try:
                results.put(result, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    try:
        for item in items:
            if not put(item):
                return
        put(_End())
    except BaseException as error:  # noqa: BLE001  # handed over to whoever asks next
        put(_Failure(error))


def _take(
    results: "queue.Queue[Result | _Failure[Result] | _End]", stop: threading.Event | None
) -> Result | _Failure[Result] | _End:
    if stop is None:
        return results.get()
    while True:
        try:
            return results.get(timeout=0.2)
        except queue.Empty:
            if stop.is_set():
                return _End()


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], num_threads: int
) -> list[Result]:
    """Results in the order of the items; the first error is raised, and no new item is begun."""
    results: dict[int, Result] = {}
    errors: list[BaseException] = []
    numbers = iter(range(len(items)))
    lock = threading.Lock()

    def work() -> None:
        while not errors:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                results[number] = function(items[number])
            except BaseException as error:  # noqa: BLE001  # raised in the thread that asked
                errors.append(error)

    threads = [
        threading.Thread(target=work, name="fetch", daemon=True)
        for _ in range(min(num_threads, len(items)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(items))]
