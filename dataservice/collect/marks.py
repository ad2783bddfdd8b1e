"""A store and its leases → which versions stay, each with its reasons, and what they name."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dataservice.collect.errors import CollectError
from dataservice.collect.leases import Lease
from shards.dataset import read_latest
from shards.errors import NotFoundError, ShardError
from shards.manifest import FORMAT_VERSION
from shards.retired import stamp
from shards.store import LocalStore, check_name, is_version, version_path

_MAX_HOLDERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What stays: the newest `keep` versions of each data set, and what is younger than the grace.

    Also `latest`, and what is leased, whatever these say.
    """

    keep: int
    grace_s: float


@dataclass(slots=True)
class Marked:
    """One version: why it stays (it goes when there is no reason), and the blobs it names."""

    name: str
    version: str
    published: float
    reasons: list[str]
    blobs: frozenset[str] = field(default_factory=frozenset)


def mark(store: LocalStore, leases: list[Lease], rules: Rules, now: float) -> list[Marked]:
    """Every version of a store, data set by data set, newest first.

    Raises:
        CollectError: when a manifest cannot be read: nobody knows then which blobs are needed.
    """
    found = [version for name in dataset_names(store) for version in _mark(store, name, rules, now)]
    for version in found:
        held = [x for x in leases if (x.dataset, x.version) == (version.name, version.version)]
        if held:
            version.reasons.append(_told(held))
        version.blobs = _blobs(store, version)
    return found


def dataset_names(store: LocalStore) -> list[str]:
    """The folders of data sets, those without a `latest` pointer too, sorted."""
    return sorted(filter(_is_name, (path.parent.name for path in store.folder.glob("*/versions"))))


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except ShardError:
        return False


def _mark(store: LocalStore, name: str, rules: Rules, now: float) -> Iterator[Marked]:
    versions = [version for version in reversed(store.versions(name)) if is_version(version)]
    try:
        latest = read_latest(store, name)
    except NotFoundError:
        latest = None
    except ShardError as error:
        raise CollectError(f"{error}; nothing is removed") from error
    for number, version in enumerate(versions):
        published = (store.folder / version_path(name, version)).stat().st_mtime
        reasons = []
        if version == latest:
            reasons.append("latest")
        if latest is None:
            reasons.append("no latest.json says which version readers get")
        if number < rules.keep:
            reasons.append(f"among the newest {rules.keep}")
        if published > now - rules.grace_s:
            reasons.append(f"younger than {rules.grace_s:g} s")
        yield Marked(name, version, published, reasons)


def _told(held: list[Lease]) -> str:
    holders = ", ".join(lease.holder for lease in held[:_MAX_HOLDERS])
    more = f" and {len(held) - _MAX_HOLDERS} more" if len(held) > _MAX_HOLDERS else ""
    until = max(lease.expires_at for lease in held)
    return f"held by {holders}{more} until {stamp(until)}"


def _blobs(store: LocalStore, version: Marked) -> frozenset[str]:
    """The names of a version's blobs, of older formats too: whatever has a sha256 and a suffix."""
    path = store.folder / version_path(version.name, version.version)
    data = path.read_bytes()
    try:
        if hashlib.sha256(data).hexdigest() != version.version:
            raise ValueError("its sha256 is another")
        manifest = json.loads(data)
        if manifest["format_version"] > FORMAT_VERSION:
            raise ValueError(f"it has format version {manifest['format_version']}")
    except (ValueError, KeyError, TypeError) as error:
        raise CollectError(
            f"{path} cannot be read ({error}), so nobody knows which blobs it names; nothing is "
            "removed; restore it, use the release that wrote it, or remove that file"
        ) from error
    return frozenset(_names(manifest))


def _names(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(sha256 := value.get("sha256"), str) and "suffix" in value:
            yield f"{sha256}{value['suffix']}"
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _names(item)


def moment(seconds: float) -> datetime:
    """A time in seconds since 1970 as one that people read."""
    return datetime.fromtimestamp(seconds, UTC)
