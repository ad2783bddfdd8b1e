"""What the JSON pages hold: one model a page, so that OpenAPI says what to expect."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from dataservice.collect.leases import Lease
from dataservice.jobs.records import JobRecord


class ErrorPage(BaseModel):
    """Why a request was not answered, and what to do."""

    detail: str


class HomePage(BaseModel):
    """What this service is, and where its parts are."""

    service: str
    links: dict[str, str]


class HealthPage(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class ReadyPage(BaseModel):
    """At least one data set can be read."""

    status: Literal["ready"] = "ready"
    datasets: list[str]


class DatasetEntry(BaseModel):
    """One data set, as the list of them shows it; counts are of its latest version."""

    name: str
    latest: str | None = Field(description="The version that a reader without a pinned one gets")
    url: str = Field(description="What a trainer is pointed at for the latest version")
    versions_url: str
    latest_url: str | None = None
    report_url: str | None = Field(None, description="A page about the latest version")
    samples: int | None = Field(None, description="Null when there is a problem")
    problem: str | None = None


class DatasetsPage(BaseModel):
    """The data sets that have a version, sorted by name."""

    datasets: list[DatasetEntry]
    hint: str | None = Field(None, description="What to do when there is none")


class DatasetPage(DatasetEntry):
    """One data set and the ids of its versions, oldest first."""

    versions: list[str]


class VersionEntry(BaseModel):
    """One version, as the list of them shows it; a damaged one has a problem and no counts."""

    version: str
    latest: bool
    published: AwareDatetime
    url: str = Field(description="What a trainer is pointed at for this version, always")
    samples: int | None = None
    tokens: int | None = Field(None, description="Both sides, tags included")
    sources: dict[str, int] | None = Field(None, description="Samples by source name")
    vocab_size: int | None = None
    problem: str | None = None
    retired: AwareDatetime | None = Field(
        None, description="When it was collected; its files answer 410 since then"
    )


class VersionsPage(BaseModel):
    """The versions of a data set, oldest first."""

    name: str
    versions: list[VersionEntry]


class SplitPage(BaseModel):
    """Sums over a split's shards; bytes as stored, and after decompression."""

    samples: int
    src_tokens: int
    tgt_tokens: int
    shards: int
    bytes: int
    raw_bytes: int


class TokenizerPage(BaseModel):
    """The SentencePiece model of a version, and the ids that mean something beyond text."""

    url: str
    sha256: str
    bytes: int
    vocab_size: int
    pad_id: int
    unk_id: int
    bos_id: int
    eos_id: int
    target_ids: dict[str, int]


class VersionPage(VersionEntry):
    """A version in short; its manifest has the shards."""

    name: str
    manifest_url: str
    stats_url: str
    report_url: str | None = Field(None, description="The statistics as a page, if there is one")
    languages: dict[str, str]
    splits: dict[str, SplitPage]
    tokenizer: TokenizerPage
    funnel: dict[str, Any] = Field(description="Pairs read, dropped by reason, and kept")
    build: dict[str, Any] = Field(description="The settings that decided the version")


class JobPage(JobRecord):
    """A job, with the URL of what it published."""

    url: str | None = Field(None, description="The version's URL, when succeeded")


class JobsPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobPage]


class LeasePage(Lease):
    """A lease, with the URL that renews it (PUT) or gives it back (DELETE)."""

    url: str


class LeasesPage(BaseModel):
    """The leases that hold a version, oldest first."""

    name: str
    version: str
    leases: list[LeasePage]
