"""Leases of readers ↔ JSON files, one a lease: a version that is held is not collected.

Each change is made under the store's lock, so that a collection sees all of it or nothing.
"""

import re
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from dataservice.collect.errors import CollectError, LeaseNotFoundError, TooManyLeasesError
from shards.lease import DEFAULT_TTL_S, MAX_TTL_S
from shards.manifest import Sha256
from shards.store import LocalStore, version_path, write_atomically

MAX_LEASES: Final = 1000
CLEAR_AFTER_S: Final = 3600

_ID = re.compile(r"[0-9a-f]{32}")

Clock = Callable[[], float]
"""Seconds since 1970, as time.time gives them."""


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("give a name of printable characters, such as host and run")
    return text.strip()


Holder = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
TtlSeconds = Annotated[int, Field(ge=1, le=MAX_TTL_S)]


class Lease(BaseModel):
    """A reader's wish that one version stays, until it expires; times are UTC."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    dataset: str
    version: Sha256
    holder: Holder = Field(description="Who reads, for people")
    ttl_s: TtlSeconds = Field(description="For how long a renewal holds")
    created: AwareDatetime
    expires_at: AwareDatetime = Field(description="Without a renewal before, it ends here")


class LeaseFolder:
    """The folder that holds `<id>.json`; what lies there is all that is known of leases."""

    def __init__(
        self,
        folder: Path,
        store: LocalStore,
        *,
        clock: Clock = time.time,
        max_leases: int = MAX_LEASES,
    ) -> None:
        self.folder = folder
        self._store = store
        self.clock = clock
        self._max_leases = max_leases
        self._changing = threading.Lock()

    def acquire(self, name: str, version: str, holder: str, ttl_s: int = DEFAULT_TTL_S) -> Lease:
        """Hold a version; records of leases that expired long ago, or are too many, are removed.

        Raises:
            NotFoundError: when it is not there; as a GoneError when it was collected.
            TooManyLeasesError: when as many are held as are kept.
        """
        self._require(name, version)
        with self._changing, self._store.lock(shared=True):
            self._require(name, version)  # a collection may have been waited for
            held = self._make_room()
            if held >= self._max_leases:
                raise TooManyLeasesError(
                    f"{held} leases are held already, which is the most this service keeps; "
                    f"version {version} is not held; give back leases of readers that have ended, "
                    "or wait until some expire"
                )
            now = self._now()
            lease = Lease(
                id=secrets.token_hex(16),
                dataset=name,
                version=version,
                holder=holder,
                ttl_s=ttl_s,
                created=now,
                expires_at=now + timedelta(seconds=ttl_s),
            )
            self._save(lease)
            return lease

    def renew(self, name: str, version: str, lease_id: str, ttl_s: int | None = None) -> Lease:
        """Hold a version for another while; one that has expired lives again if it is still there.

        Raises:
            LeaseNotFoundError: when there is no such lease.
            NotFoundError: when the version is not there; as a GoneError when it was collected.
        """
        self._require(name, version)
        # no acquire beside it: that might clear away the record that lives again here
        with self._changing, self._store.lock(shared=True):
            self._require(name, version)
            lease = self._find(name, version, lease_id)
            ttl_s = ttl_s or lease.ttl_s
            expires = self._now() + timedelta(seconds=ttl_s)
            lease = lease.model_copy(update={"ttl_s": ttl_s, "expires_at": expires})
            self._save(lease)
            return lease

    def give_back(self, name: str, version: str, lease_id: str) -> None:
        """End a lease before its time. Raises LeaseNotFoundError."""
        self._find(name, version, lease_id)
        self._path(lease_id).unlink(missing_ok=True)

    def active(self, name: str | None = None, version: str | None = None) -> list[Lease]:
        """The leases that have not expired, oldest first: all, or those of one version.

        Raises:
            CollectError: when one cannot be read.
        """
        now = self._now()
        return [
            lease
            for lease in self._load()
            if lease.expires_at > now
            and name in (None, lease.dataset)
            and version in (None, lease.version)
        ]

    def expired(self) -> list[Lease]:
        """The leases whose time has passed. Raises CollectError."""
        now = self._now()
        return [lease for lease in self._load() if lease.expires_at <= now]

    def clear(self, leases: list[Lease]) -> None:
        """Remove the records of leases; for a collection, which holds the store's lock."""
        for lease in leases:
            self._path(lease.id).unlink(missing_ok=True)

    def _make_room(self) -> int:
        """Clear away what expired long ago, and else first what expired first; how many are held.

        With one more there are at most as many records as may be held, of those that can be read.
        """
        now = self._now()
        leases = self._load(skip_unreadable=True)
        held = [lease for lease in leases if lease.expires_at > now]
        ended = sorted((x for x in leases if x.expires_at <= now), key=lambda x: x.expires_at)
        too_many = max(0, len(leases) + 1 - self._max_leases)
        long_ago = now - timedelta(seconds=CLEAR_AFTER_S)
        self.clear(ended[:too_many] + [x for x in ended[too_many:] if x.expires_at <= long_ago])
        return len(held)

    def _load(self, *, skip_unreadable: bool = False) -> list[Lease]:
        leases = []
        for path in self.folder.glob("[!.]*.json"):
            try:
                leases.append(Lease.model_validate_json(path.read_bytes()))
            except FileNotFoundError:  # given back just now
                continue
            except (OSError, ValidationError) as error:
                if skip_unreadable:  # it keeps no other reader from a lease
                    continue
                reason = " ".join(str(error).split())
                raise CollectError(
                    f"lease {path} cannot be read ({reason}), so nobody knows which version it "
                    "holds; nothing is removed; remove that file if its reader has ended"
                ) from error
        return sorted(leases, key=lambda lease: (lease.created, lease.id))

    def _find(self, name: str, version: str, lease_id: str) -> Lease:
        try:
            if not _ID.fullmatch(lease_id):
                raise FileNotFoundError
            lease = Lease.model_validate_json(self._path(lease_id).read_bytes())
            if (lease.dataset, lease.version) != (name, version):
                raise FileNotFoundError
        except (FileNotFoundError, ValidationError) as error:
            raise LeaseNotFoundError(
                f"there is no lease {lease_id[:64]!r} on version {version} of data set {name!r}: "
                "it was given back, or it expired; acquire another with POST "
                f"/datasets/{name}/versions/{version}/leases"
            ) from error
        return lease

    def _require(self, name: str, version: str) -> None:
        path = version_path(name, version)
        if not (self._store.folder / path).is_file():
            self._store.read(path)  # says what became of it

    def _save(self, lease: Lease) -> None:
        data = lease.model_dump_json(indent=2).encode() + b"\n"
        write_atomically(self._path(lease.id), data)

    def _path(self, lease_id: str) -> Path:
        return self.folder / f"{lease_id}.json"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)


def lease_folder(data_dir: Path, clock: Clock = time.time) -> LeaseFolder:
    """The leases of the service whose data folder this is."""
    return LeaseFolder(data_dir / "leases", LocalStore(data_dir / "datasets"), clock=clock)
