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
    results: queue.SimpleQueue[Result | _Failure[Result] | _End] = queue.SimpleQueue()
    room = threading.Semaphore(depth)
    closed = threading.Event()
    arguments = (items, results, room, closed)
    threading.Thread(target=_produce, args=arguments, name="prefetch", daemon=True).start()
    try:
        while not isinstance(result := _take(results, stop), _End):
            if isinstance(result, _Failure):
                raise result.error
            room.release()
            yield result
    finally:
        closed.set()
        room.release()


def _produce(
    items: Iterable[Result],
    results: "queue.SimpleQueue[Result | _Failure[Result] | _End]",
    room: threading.Semaphore,
    closed: threading.Event,
) -> None:
    """Put every item, then the end or an error; stop when nobody takes them any more.

    Room is waited for before an item is made: what is being made counts as made ahead.
    """
    try:
        iterator = iter(items)
        while room.acquire() and not closed.is_set():
            try:
                item = next(iterator)
            except StopIteration:
                results.put(_End())
                return
            results.put(item)
            del item  # it is the consumer's now
    except BaseException as error:  # noqa: BLE001  # handed over to whoever asks next
        results.put(_Failure(error))


def _take(
    results: "queue.SimpleQueue[Result | _Failure[Result] | _End]", stop: threading.Event | None
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
