"""Build settings → jobs in a queue, run one at a time in processes of their own.

A build in this process would hold the interpreter lock, and slow every download while it runs.
"""

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from dataservice.jobs.outcome import failure_reason, published_version
from dataservice.jobs.process import ChildProcess, start_process
from dataservice.jobs.records import JobRecord, Progress, RecordFolder, new_record
from dataservice.settings import ENV_PREFIX, BuildSettings
from shards.errors import PrometheusError

_TAIL_LINES: Final = 20

BuildCommand = Callable[[Path], Sequence[str]]


class QueueFullError(PrometheusError):
    """More jobs wait than one service should promise to run."""


def build_command(settings_file: Path) -> Sequence[str]:
    """The command that builds from a settings file and tells programs how it goes."""
    program = (sys.executable, "-m", "dataservice")
    return (*program, "build", "--config", str(settings_file), "--json", "--progress", "json")


class JobRunner:
    """The jobs of one service; lives from `start` to `stop`, inside one event loop."""

    def __init__(
        self,
        folder: Path,
        *,
        command: BuildCommand = build_command,
        grace_s: float = 5.0,
        max_queued: int = 100,
    ) -> None:
        self._folder = RecordFolder(folder)
        self._command = command
        self._grace_s = grace_s
        self._max_queued = max_queued
        self.on_success: Callable[[], Awaitable[None]] | None = None
        """Awaited after each job that published a version, before the next one begins."""
        self._records: dict[str, JobRecord] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._queue: asyncio.Queue[tuple[str, Path] | None] = asyncio.Queue()
        self._submitting = asyncio.Lock()
        self._child: ChildProcess | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._lock: int | None = None

    async def start(self) -> None:
        """Read the records, close those that a stopped service left open, and begin to work.

        Raises:
            JobsInUseError: when another service runs the jobs of this folder.
        """
        self._lock = await asyncio.to_thread(self._folder.lock)
        for record in await asyncio.to_thread(self._folder.load):
            self._records[record.id] = record
            if record.is_open:
                await self._change(record.interrupted())
        self._task = asyncio.create_task(self._work(), name="jobs")

    async def stop(self) -> None:
        """End the running build, with force after the grace period; open jobs are interrupted."""
        self._stopping = True
        self._queue.put_nowait(None)
        if self._child is not None:
            await self._child.stop(self._grace_s)
        if self._task is not None:
            await self._task
        for record in list(self._records.values()):
            if record.is_open:
                await self._change(record.interrupted())
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def submit(self, settings: BuildSettings, overrides: Mapping[str, Any]) -> JobRecord:
        """Queue a build; its record is on disk when this returns.

        Raises:
            QueueFullError, StoreFullError: and then nothing is queued.
        """
        async with self._submitting:
            waiting = sum(record.state == "queued" for record in self._records.values())
            if waiting >= self._max_queued:
                raise QueueFullError(
                    f"{waiting} jobs wait already, which is the most this service keeps; nothing "
                    "was queued; GET /jobs shows them, POST again when some have ended"
                )
            record = new_record(settings.name, overrides)
            file = await asyncio.to_thread(self._folder.save_settings, record, settings)
            await asyncio.to_thread(self._folder.save, record)
            self._records[record.id] = record
            self._ended[record.id] = asyncio.Event()
            self._queue.put_nowait((record.id, file))
            return record

    def get(self, job_id: str) -> JobRecord | None:
        """A job as it is now."""
        return self._records.get(job_id)

    def jobs(self) -> list[JobRecord]:
        """Every job, newest first."""
        return sorted(self._records.values(), key=lambda record: record.id, reverse=True)

    async def wait(self, job_id: str) -> JobRecord:
        """A job once it has ended."""
        if (ended := self._ended.get(job_id)) is not None:
            await ended.wait()
        return self._records[job_id]

    async def _work(self) -> None:
        while not self._stopping and (item := await self._queue.get()) is not None:
            job_id, file = item
            try:
                await self._run(job_id, file)
            except Exception as error:  # one job may not end the queue
                logging.getLogger(__name__).exception("job %s", job_id)
                reason = f"the job could not be run ({type(error).__name__}: {error})"
                await self._change(self._records[job_id].failed(f"{reason}; see the service's log"))

    async def _run(self, job_id: str, file: Path) -> None:
        await self._change(self._records[job_id].started_now())
        last_line = deque[bytes](maxlen=1)
        tail = deque[bytes](maxlen=_TAIL_LINES)
        command = self._command(file)
        # what is set for the service would be applied over the job's own settings file
        variables = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        try:
            child = await start_process(
                command, variables, last_line.append, lambda line: self._hear(job_id, line, tail)
            )
        except OSError as error:
            reason = f"the build process {command[0]} could not be started ({error.strerror})"
            await self._change(
                self._records[job_id].failed(f"{reason}; free memory and POST /reshard again")
            )
            return
        self._child = child
        if self._stopping:
            await child.stop(self._grace_s)
        status = await child.wait()
        self._child = None
        await self._conclude(job_id, status, last_line[0] if last_line else b"", tail)

    async def _conclude(self, job_id: str, status: int, line: bytes, tail: Sequence[bytes]) -> None:
        record = self._records[job_id]
        version = published_version(status, line, record.dataset)
        if version is not None:
            await self._change(record.succeeded(version))
            if self.on_success is not None:
                await self.on_success()
        elif self._stopping:
            await self._change(record.interrupted())
        else:
            await self._change(record.failed(failure_reason(status, line, list(tail))))

    def _hear(self, job_id: str, line: bytes, tail: deque[bytes]) -> None:
        try:
            progress = Progress.model_validate_json(line)
        except ValidationError:
            tail.append(line)
            return
        self._records[job_id] = self._records[job_id].model_copy(update={"progress": progress})

    async def _change(self, record: JobRecord) -> None:
        """Make a change of state known, here at once and on disk if that has room."""
        self._records[record.id] = record
        try:
            await asyncio.to_thread(self._folder.save, record)
        except (OSError, PrometheusError):
            logging.getLogger(__name__).exception("record of job %s not written", record.id)
        if record.state == "failed":
            logging.getLogger(__name__).warning("job %s failed: %s", record.id, record.error)
        if not record.is_open and record.id in self._ended:
            self._ended.pop(record.id).set()
