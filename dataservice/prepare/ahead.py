"""Sources → what is read of them, in order, while the caller works on what was read before.

Reading is one thread's work, which leaves the other cores to those who clean what is there.
"""

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from dataservice.prepare.journal import Journal
from dataservice.prepare.reading import Ingested, ingest_source
from dataservice.prepare.sources import Chunk
from dataservice.settings import BuildSettings
from shards.cli.console import Report

_STAGE: Final = "read"
_STOP_S: Final = 10.0  # a download may not be waited for


class _StoppedError(Exception):
    """The build has ended, and nobody waits for the rest."""


class _Reader:
    """A thread that copies one source into chunks."""

    def __init__(
        self, settings: BuildSettings, number: int, before: Ingested, folder: Path
    ) -> None:
        self._read: Future[Ingested] = Future()
        self._chunks: list[Chunk] = []
        self._num_taken = self._num_told = 0
        self._news = threading.Event()
        self._read.add_done_callback(lambda _: self._news.set())
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            name="read-source",
            args=(settings, number, before, folder),
            daemon=True,
        )
        self._thread.start()

    def _run(self, settings: BuildSettings, number: int, before: Ingested, folder: Path) -> None:
        try:
            self._read.set_result(ingest_source(settings, number, before, folder, self._note))
        except BaseException as error:  # noqa: BLE001  # whoever waits for the result has it
            self._read.set_exception(error)

    def _note(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._news.set()
        if self._stopped.is_set():
            raise _StoppedError

    def take(self, tell: Callable[[int], None]) -> Chunk | None:
        """The next chunk, once another is there, too; none when reading has ended.

        What was not taken then, the last chunk always, is in the result, so that the next source
        is begun before.
        """
        while True:
            self._news.clear()  # before looking, or what comes meanwhile would wake nobody
            if self._read.done():
                return None
            if (num_chunks := len(self._chunks)) > self._num_told:
                self._num_told = num_chunks
                tell(num_chunks)
            if self._num_taken + 1 < len(self._chunks):
                self._num_taken += 1
                return self._chunks[self._num_taken - 1]
            self._news.wait()

    def result(self) -> Ingested:
        """What was read, once it is."""
        return self._read.result()

    def stop(self) -> None:
        """Let it end after its next chunk."""
        self._stopped.set()
        self._thread.join(_STOP_S)


def read_sources(
    settings: BuildSettings, folder: Path, journal: Journal, report: Report
) -> Generator[Ingested, None, None]:
    """Parts of what the sources hold, read now or by an earlier run; to be closed.

    Chunks are given while the rest of their source is read, which a build that goes on may find
    changed: it knows again what it did with a chunk by the digests of its files, not by its place.

    Raises:
        SourceError: when one is not there or damaged; see `ingest_source`.
    """
    numbers = range(max(1, len(settings.sources)))
    total = Ingested((), (), ())
    reader: _Reader | None = None

    def start(number: int) -> _Reader | None:
        if number not in numbers or journal.knows(_STAGE, str(number)):
            return None
        return _Reader(settings, number, total, folder)

    def tell(num_chunks: int) -> None:
        report(_STAGE, len(total.chunks) + num_chunks, None)

    def result() -> Ingested:
        assert reader is not None, "what the journal does not know is being read"
        return reader.result()

    journal.begin(_STAGE)
    try:
        reader = start(0)
        for number in numbers:
            num_given = 0
            while reader is not None and (chunk := reader.take(tell)):
                num_given += 1
                yield Ingested((chunk,), (), ())
            found = journal.once(_STAGE, str(number), result)
            total = total.joined(found)
            if reader is not None:  # what was read before is no news
                num_chunks = len(total.chunks)
                report(_STAGE, num_chunks, num_chunks if number == numbers[-1] else None)
            reader = start(number + 1)
            yield Ingested(found.chunks[num_given:], found.inputs, found.spilled)
    finally:
        if reader is not None:
            reader.stop()
