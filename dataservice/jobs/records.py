"""Job records ↔ JSON files, one a job, written anew at each change of state."""

import fcntl
import logging
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shards.errors import PrometheusError
from shards.store import write_atomically

JobState = Literal["queued", "running", "succeeded", "failed", "interrupted"]


class JobsInUseError(PrometheusError):
    """Another service runs the jobs of this folder."""


class Progress(BaseModel):
    """How far a build is: `done` of `total` units of a stage; null where that is not known."""

    model_config = ConfigDict(frozen=True)

    stage: str
    done: int
    total: int | None = None


class JobRecord(BaseModel):
    """One request to build, from its arrival to its end; times are UTC."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^[0-9A-Za-z-]+$")
    state: JobState = "queued"
    dataset: str = Field(description="Name of the data set that it builds")
    settings: dict[str, Any] = Field(description="What the request set apart from the service's")
    created: AwareDatetime
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    progress: Progress | None = None
    version: str | None = Field(None, description="What it published, when succeeded")
    error: str | None = Field(None, description="Why it published nothing, otherwise")

    @property
    def is_open(self) -> bool:
        return self.state in ("queued", "running")

    def started_now(self) -> "JobRecord":
        return self.model_copy(update={"state": "running", "started": datetime.now(UTC)})

    def succeeded(self, version: str) -> "JobRecord":
        return self._ended("succeeded", version=version)

    def failed(self, error: str) -> "JobRecord":
        return self._ended("failed", error=error)

    def interrupted(self) -> "JobRecord":
        """The record of a job that the service's end cut short."""
        return self._ended(
            "interrupted",
            error=f"job {self.id} was {self.state} when the service stopped; every version that "
            "was published is whole and untouched; POST /reshard again with the same settings",
        )

    def _ended(self, state: JobState, **values: str) -> "JobRecord":
        return self.model_copy(update={"state": state, "finished": datetime.now(UTC), **values})


def new_record(dataset: str, settings: Mapping[str, Any]) -> JobRecord:
    """A queued job whose id sorts by the time of its creation."""
    now = datetime.now(UTC)
    return JobRecord(
        id=f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}",
        dataset=dataset,
        settings=dict(settings),
        created=now,
    )


class RecordFolder:
    """The folder that holds `<id>.json`, the record, and `<id>.yaml`, the settings of the build."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lock(self) -> int:
        """Take the folder for this process; closing the descriptor gives it back.

        Raises:
            JobsInUseError: when a running service has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise JobsInUseError(
                f"another service runs the jobs of {self.folder}; this one does not start, since "
                "each would take the other's jobs for its own; stop that one, or give this one "
                "another --data-dir"
            ) from error
        return descriptor

    def load(self) -> list[JobRecord]:
        """Every record that can be read, oldest first."""
        records = []
        for path in sorted(self.folder.glob("[!.]*.json")):
            try:
                records.append(JobRecord.model_validate_json(path.read_bytes()))
            except (OSError, ValidationError) as error:
                reason = " ".join(str(error).split())
                logging.getLogger(__name__).warning("job record %s left out: %s", path, reason)
        return records

    def save(self, record: JobRecord) -> None:
        """Write a record. Raises StoreFullError."""
        data = record.model_dump_json(indent=2).encode() + b"\n"
        write_atomically(self.folder / f"{record.id}.json", data)

    def save_settings(self, record: JobRecord, settings: BaseModel) -> Path:
        """Write the whole settings of a job's build; the file to run it from. Raises as `save`."""
        path = self.folder / f"{record.id}.yaml"
        text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
        write_atomically(path, text.encode())
        return path
