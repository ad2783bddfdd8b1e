"""The stages of a build → their results, those of an earlier run of it taken from a file.

A frame for each finished unit, appended by the driver alone: a kill at any moment leaves whole
frames and at most one torn one. A result counts only as long as every file that it names is
there with its size and digest.
"""

import logging
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self, TypeVar

from dataservice.prepare.engines.base import Engine, Unit, label_of
from dataservice.prepare.work.folder import JOURNAL_FILE, LOCK_FILE
from dataservice.prepare.work.pickled import PickledError, dump, load
from dataservice.prepare.work.spill import HasFiles, SpillFile
from shards.store import LocalStore

_MAGIC: Final = b"prometheus journal 1\n"
_FRAME: Final = struct.Struct("<II")  # bytes of the record, and their crc32
_MAX_RECORD_BYTES: Final = 1 << 30

Result = TypeVar("Result", bound=HasFiles)
_log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where a record lies in the file, and what its unit was known by."""

    start: int
    num_bytes: int
    identity: str


class _Stage:
    """What the file holds of one stage."""

    def __init__(self) -> None:
        self.results: dict[str, _Place] = {}
        self.dropped = False


class _Looked(NamedTuple):
    """One unit, and its place in the file if it was done before."""

    key: str
    unit: Any
    place: _Place | None


class Journal:
    """The record of one build, in its work folder; one process at a time may hold it."""

    def __init__(
        self, folder: Path, store: LocalStore | None = None, *, trusted: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._store = store
        self._trusted = ("dataservice", "shards", *trusted)
        self._stages: dict[str, _Stage] = {}
        self._file: IO[bytes]
        self._end = 0  # of the last whole frame

    def __enter__(self) -> Self:
        path = self.folder / JOURNAL_FILE
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        try:
            self._replay()
            self._verify()
            self._clear()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def num_known(self) -> int:
        """Units that an earlier run has finished."""
        return sum(len(stage.results) for stage in self._stages.values())

    def map(
        self,
        engine: Engine,
        stage: str,
        function: Callable[[Unit], Result],
        units: Iterable[Unit],
    ) -> Iterator[Result]:
        """Results in unit order; only units that were not done before are run by the engine.

        A unit is known by its number, and by its `label` and `content` if it has these.
        """
        looked = (
            _Looked(str(number), unit, self._place(stage, str(number), unit))
            for number, unit in enumerate(units)
        )
        for done, group in groupby(looked, key=lambda entry: entry.place is not None):
            if done:
                for entry in group:
                    assert entry.place is not None
                    yield self._read(entry.place)
                continue
            started: deque[_Looked] = deque()
            for result in engine.map(function, _take(group, started)):
                entry = started.popleft()
                self._append("result", stage, entry.key, _identity(entry.unit), result)
                yield result

    def once(self, stage: str, key: str, function: Callable[[], Result]) -> Result:
        """The result of a step that the driver does itself, such as reading one source."""
        place = self._place(stage, key, None)
        if place is not None:
            recorded: Result = self._read(place)
            return recorded
        result = function()
        self._append("result", stage, key, "", result)
        return result

    def begin(self, stage: str) -> None:
        """Put a stage before those that work on it, whose results may be known before its own."""
        if stage not in self._stages:
            self._append("begin", stage, "", "", None)

    def knows(self, stage: str, key: str) -> bool:
        """Whether an earlier run did this step of the driver's."""
        return self._place(stage, key, None) is not None

    def drop(self, stage: str) -> None:
        """Free the files of a stage whose readers are all finished; its results stay known."""
        found = self._stages.get(stage)
        if found is None or found.dropped:
            return
        places = list(found.results.values())
        self._append("drop", stage, "", "", None)
        self._unlink(places)

    def forget(self, stage: str) -> None:
        """Free the files of a stage, and know nothing of it any more: it will be done again."""
        found = self._stages.get(stage)
        if found is None:
            return
        places = [] if found.dropped else list(found.results.values())
        self._append("forget", stage, "", "", None)
        self._unlink(places)

    def forget_all_but(self, *stages: str) -> None:
        """Forget every stage that is not named."""
        for stage in self._stages.keys() - set(stages):
            self.forget(stage)

    def _unlink(self, places: Iterable[_Place]) -> None:
        for place in places:
            for file in self._files(place):
                if not file.in_store:
                    file.under(self.folder).unlink(missing_ok=True)

    def _place(self, stage: str, key: str, unit: object) -> _Place | None:
        found = self._stages.get(stage)
        place = found.results.get(key) if found else None
        return place if place is not None and place.identity == _identity(unit) else None

    def _append(self, kind: str, stage: str, key: str, identity: str, value: object) -> None:
        data = dump((kind, stage, key, identity, value))
        frame = _FRAME.pack(len(data), zlib.crc32(data)) + data
        self._file.seek(self._end)
        written = self._file.write(frame)
        if written < len(frame):  # the disk is full: another write says so
            self._file.write(frame[written:])
        place = _Place(self._end + _FRAME.size, len(data), identity)
        self._end += len(frame)
        self._note(kind, stage, key, place)

    def _note(self, kind: str, stage: str, key: str, place: _Place) -> None:
        found = self._stages.setdefault(stage, _Stage())
        if kind == "result":
            found.results[key] = place
        elif kind == "drop":
            found.dropped = True
        elif kind == "forget" and key:
            found.results.pop(key, None)
        elif kind == "forget":
            self._stages[stage] = _Stage()

    def _replay(self) -> None:
        """Read what is there, and cut off what is torn, damaged or of another format."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        if self._file.read(len(_MAGIC)) == _MAGIC:
            self._end = len(_MAGIC)
            while record := self._next_record():
                self._note(*record)
        if self._end < size:
            _log.warning("%d bytes at the end of %s: dropped", size - self._end, self.folder)
        self._file.truncate(self._end)
        if not self._end:
            self._file.seek(0)
            self._end = self._file.write(_MAGIC)

    def _next_record(self) -> tuple[str, str, str, _Place] | None:
        """The kind, stage, key and place of the frame at the end, which moves; None if torn."""
        head = self._file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            return None
        num_bytes, crc = _FRAME.unpack(head)
        data = self._file.read(num_bytes) if num_bytes <= _MAX_RECORD_BYTES else b""
        if len(data) != num_bytes or zlib.crc32(data) != crc:
            return None
        try:
            kind, stage, key, identity, _ = load(data, self._trusted)
        except PickledError:
            return None
        place = _Place(self._end + _FRAME.size, num_bytes, identity)
        self._end += _FRAME.size + num_bytes
        return kind, stage, key, place

    def _verify(self) -> None:
        """Forget results whose files are gone or damaged, and dropped ones they are made from."""
        dropped: list[str] = []
        for name, stage in list(self._stages.items()):
            if stage.dropped:
                dropped.append(name)
                continue
            bad = {
                key: files
                for key, place in stage.results.items()
                if (files := self._not_whole(place))
            }
            for key in bad:
                _log.warning("the files of %s %s are not whole: it is done again", name, key)
                self._append("forget", name, key, "", None)
            # what lay in the store alone, and was collected, is made of files that are still here
            if any(not file.in_store for files in bad.values() for file in files):
                for earlier in dropped:
                    self._append("forget", earlier, "", "", None)
                dropped.clear()

    def _clear(self) -> None:
        """Remove files that nothing names, such as those of units that were not finished."""
        named = {
            file.under(self.folder)
            for stage in self._stages.values()
            for place in ([] if stage.dropped else stage.results.values())
            for file in self._files(place)
            if not file.in_store
        }
        keep = named | {self.folder / JOURNAL_FILE, self.folder / LOCK_FILE}
        for path in self.folder.rglob("*"):
            if path not in keep and not path.is_dir():
                path.unlink(missing_ok=True)

    def _not_whole(self, place: _Place) -> list[SpillFile]:
        return [file for file in self._files(place) if not self._is_there(file)]

    def _is_there(self, file: SpillFile) -> bool:
        if not file.in_store:
            return file.is_whole(file.under(self.folder))
        if self._store is None:
            return False
        path = file.under(self.folder, self._store.folder)
        try:
            with self._store.lock(shared=True):
                os.utime(path)  # it counts as stored now, so that no collection takes it
        except FileNotFoundError:
            return False
        return file.is_whole(path)

    def _files(self, place: _Place) -> tuple[SpillFile, ...]:
        value: HasFiles = self._read(place)
        return value.files()

    def _read(self, place: _Place) -> Any:
        self._file.seek(place.start)
        return load(self._file.read(place.num_bytes), self._trusted)[-1]


def _take(group: Iterable[_Looked], started: deque[_Looked]) -> Iterator[Any]:
    """The units of a group, each noted as the engine takes it."""
    for entry in group:
        started.append(entry)
        yield entry.unit


def _identity(unit: object) -> str:
    label = label_of(unit) if isinstance(getattr(unit, "label", None), str) else ""
    content = getattr(unit, "content", "")
    return f"{label} {content}" if content else label
