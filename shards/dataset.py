"""The URL of a data set → its manifest and verified blocks, wherever it lies."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from shards.block import Block
from shards.errors import ManifestError, NotFoundError, ShardError
from shards.http import HttpStore, RetryPolicy
from shards.manifest import BlobInfo, Manifest, ShardInfo, load_manifest
from shards.mirrors import MirrorStore, Tell, hasty
from shards.objects import SCHEMES, ObjectStore
from shards.reader import decode_shard
from shards.store import LocalStore, Store, check_name, is_version, version_path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """Where a data set is: the root of its tree, its name, and a version if one is pinned.

    `mirrors` are other places of the same data set, in the order in which they are tried.
    """

    root: str
    name: str
    version: str | None = None
    mirrors: "tuple[DatasetRef, ...]" = ()

    @property
    def is_remote(self) -> bool:
        """Whether what is tried first is no folder of this machine."""
        return "://" in self.root

    @property
    def places(self) -> "tuple[DatasetRef, ...]":
        """Each place by itself, the preferred first."""
        return (replace(self, mirrors=()), *self.mirrors)

    @property
    def url(self) -> str:
        """As it was given: the places separated by commas."""
        tail = f"/versions/{self.version}" if self.version else ""
        return ",".join(f"{place.root}/{place.name}{tail}" for place in self.places)

    def pinned(self, version: str) -> "DatasetRef":
        """The same data set at one version, everywhere."""
        mirrors = tuple(mirror.pinned(version) for mirror in self.mirrors)
        return replace(self, version=version, mirrors=mirrors)


def parse_dataset_url(url: str) -> DatasetRef:
    """Split `ROOT/NAME` or `ROOT/NAME/versions/SHA`, or several of them separated by commas.

    ROOT is http(s)://, s3://, gs://, az://, file:// or a folder. A version that one mirror has
    holds for all of them.

    Raises:
        ShardError: when it has no name, or a scheme that is not read, or contradicts itself.
    """
    check_userinfo(url)  # whole as well: a password may have a comma in it
    first, *mirrors = [_parse_place(place) for place in url.split(",")]
    ref = replace(first, mirrors=tuple(mirrors))
    versions = {place.version for place in ref.places if place.version}
    if len(versions) > 1:
        raise ShardError(
            f"data set URL {url!r} names several versions; mirrors are places of one version; "
            "name it once, or not at all"
        )
    return ref.pinned(versions.pop()) if versions else ref


def check_userinfo(url: str) -> None:
    """Refuse a URL with a user or a key in it, and do not quote it.

    Raises:
        ShardError: when there is an @ in the part that names the host or the bucket.
    """
    host = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if "@" in host:
        raise ShardError(
            "a URL has a user name or a key before an @; it would not be used, but written into "
            "the logs and the run's files; leave it out, and give keys of a bucket by the "
            "environment"
        )


def _parse_place(url: str) -> DatasetRef:
    check_userinfo(url)
    text = url.removesuffix("/").removesuffix("/manifest.json")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ShardError(f"data set URL {url!r} cannot be read ({error}); check it") from error
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ShardError(f"data set URL {url!r} names a host; use file:///FOLDER/NAME")
        text = unquote(parts.path)
        if "," in text:
            raise ShardError(
                f"data set URL {url!r} has a comma in it, which separates mirrors; the run could "
                "not be resumed; rename the folder"
            )
    elif "://" in text and not text.startswith(("http://", "https://", *SCHEMES)):
        raise ShardError(
            f"data set URL {url!r} has scheme {parts.scheme!r}, which is not read; "
            "use http://, https://, s3://, gs://, az://, file:// or a folder"
        )
    if text and "://" not in text:
        text = str(Path(text).absolute())
    version = None
    head, _, last = text.rpartition("/")
    if is_version(last) and head.endswith("/versions"):
        version, text = last, head.removesuffix("/versions")
    root, _, name = text.rpartition("/")
    if not root or root.endswith("/") or not name:
        raise ShardError(
            f"data set URL {url!r} names no data set; give ROOT/NAME, for example "
            "http://localhost:8000/datasets/demo"
        )
    return DatasetRef(root, check_name(name), version)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One version of a data set, opened: blobs come verified, blocks decoded."""

    store: Store
    ref: DatasetRef
    version: str
    manifest: Manifest

    def read_blob(self, info: BlobInfo) -> bytes:
        return self.store.read_blob(info)

    def read_shard(self, info: ShardInfo) -> list[Block]:
        return decode_shard(self.read_blob(info), info)


def make_store(
    ref: DatasetRef, policy: RetryPolicy | None = None, tell: Tell | None = None
) -> Store:
    """The store that a reference points into; `tell` hears when a mirror is left for another.

    Raises:
        ShardError: when it is a bucket and cannot be one here.
    """
    if ref.mirrors:
        policy = policy or RetryPolicy()
        places = [(make_store(place, hasty(policy)), place.name) for place in ref.places]
        return MirrorStore(places, policy=policy, tell=tell)
    if ref.root.startswith(SCHEMES):
        return ObjectStore(ref.root, policy=policy)
    return HttpStore(ref.root, policy=policy) if ref.is_remote else LocalStore(Path(ref.root))


def open_dataset(
    url: str, *, policy: RetryPolicy | None = None, tell: Tell | None = None
) -> Dataset:
    """Resolve a data set URL to one immutable version and read its manifest.

    Of several mirrors the first one that answers says which version is the latest, for all.

    Raises:
        NotFoundError, StoreUnavailableError, ManifestError: as the names say.
    """
    ref = parse_dataset_url(url)
    store = make_store(ref, policy, tell)
    version = ref.version or _ask(store, ref, read_latest)
    manifest = _ask(store, ref, lambda place, name: _read_manifest(place, name, version))
    return Dataset(store, ref.pinned(version), version, manifest)


def with_policy(dataset: Dataset, policy: RetryPolicy) -> Dataset:
    """The same data set, read with another patience; what is known of its mirrors is kept."""
    if isinstance(dataset.store, MirrorStore):
        return replace(dataset, store=dataset.store.with_policy(policy))
    return replace(dataset, store=make_store(dataset.ref, policy))


def _ask(store: Store, ref: DatasetRef, question: Callable[[Store, str], T]) -> T:
    """Ask a store; of mirrors the first whose answer also holds what it promises."""
    if isinstance(store, MirrorStore):
        return store.first(question)
    return question(store, ref.name)


def _read_manifest(store: Store, name: str, version: str) -> Manifest:
    path = version_path(name, version)
    return load_manifest(store.read(path), version, f"{store.root}/{path}")


def read_latest(store: Store, name: str) -> str:
    """The version that a data set's `latest` pointer names."""
    path = f"{name}/latest.json"
    try:
        data = store.read(path)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no data set {name!r} at {store.root} ({path} is missing); "
            "check the URL, or build it with `dataservice build`"
        ) from error
    try:
        version = json.loads(data)["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ManifestError(
            f"{store.root}/{path} is not a `latest` pointer ({error}); build the data set again"
        ) from error
    if not isinstance(version, str) or not is_version(version):
        raise ManifestError(f"{store.root}/{path} points to {version!r}, which is no version")
    return version
