"""The URL of a data set → its manifest and verified blocks, wherever it lies."""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shards.block import Block
from shards.errors import ManifestError, NotFoundError, ShardError
from shards.http import HttpStore, RetryPolicy
from shards.manifest import BlobInfo, Manifest, ShardInfo, load_manifest
from shards.reader import decode_shard
from shards.store import LocalStore, Store, check_name, is_version, version_path


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """Where a data set is: the root of its tree, its name, and a version if one is pinned."""

    root: str
    name: str
    version: str | None = None

    @property
    def is_http(self) -> bool:
        return self.root.startswith(("http://", "https://"))

    @property
    def url(self) -> str:
        base = f"{self.root}/{self.name}"
        return f"{base}/versions/{self.version}" if self.version else base

    def pinned(self, version: str) -> "DatasetRef":
        """The same data set at one version."""
        return DatasetRef(self.root, self.name, version)


def parse_dataset_url(url: str) -> DatasetRef:
    """Split `ROOT/NAME` or `ROOT/NAME/versions/SHA`; ROOT is http(s)://, file:// or a folder.

    Raises:
        ShardError: when it has no name, or a scheme that is not read.
    """
    text = url.removesuffix("/").removesuffix("/manifest.json")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ShardError(f"data set URL {url!r} cannot be read ({error}); check it") from error
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ShardError(f"data set URL {url!r} names a host; use file:///FOLDER/NAME")
        text = unquote(parts.path)
    elif "://" in text and parts.scheme not in ("http", "https"):
        raise ShardError(
            f"data set URL {url!r} has scheme {parts.scheme!r}, which is not read; "
            "use http://, https://, file:// or a folder"
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


def make_store(ref: DatasetRef, policy: RetryPolicy | None = None) -> Store:
    """The store that a reference points into."""
    return HttpStore(ref.root, policy=policy) if ref.is_http else LocalStore(Path(ref.root))


def open_dataset(url: str, *, policy: RetryPolicy | None = None) -> Dataset:
    """Resolve a data set URL to one immutable version and read its manifest.

    Raises:
        NotFoundError, StoreUnavailableError, ManifestError: as the names say.
    """
    ref = parse_dataset_url(url)
    store = make_store(ref, policy)
    version = ref.version or read_latest(store, ref.name)
    path = version_path(ref.name, version)
    manifest = load_manifest(store.read(path), version, f"{ref.root}/{path}")
    return Dataset(store, ref.pinned(version), version, manifest)


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
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{store.root}/{path} is not a `latest` pointer ({error}); build the data set again"
        ) from error
    if not isinstance(version, str) or not is_version(version):
        raise ManifestError(f"{store.root}/{path} points to {version!r}, which is no version")
    return version
