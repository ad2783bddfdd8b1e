"""A folder ↔ the tree of data sets, versions and blobs; every write is atomic.

NAME/latest.json   NAME/versions/<sha>/manifest.json   blobs/<sha256><suffix>
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from shards.errors import (
    CorruptBlobError,
    GoneError,
    NotFoundError,
    ShardError,
    StoreFullError,
    StoreUnavailableError,
)
from shards.manifest import BlobInfo, Manifest, canonical_json, dump_manifest, load_manifest
from shards.reader import check_blob
from shards.retired import TOMBSTONE, Tombstone, load_tombstone

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION = re.compile(r"[0-9a-f]{64}")
RESERVED_NAMES: Final = frozenset({"blobs"})
LOCK_FILE: Final = ".lock"
_SYNCS_AT_ONCE: Final = 16
STATISTICS: Final = "dataset_stats.json"
REPORT: Final = "report.html"
FOR_PEOPLE: Final = (STATISTICS, REPORT)
"""Files beside a manifest that no program reads; a version is whole without them."""


class Store(Protocol):
    """Read access to a tree of data sets, wherever it lies."""

    root: str

    def read(self, path: str) -> bytes:
        """The whole of a small file, unverified. Raises NotFoundError, StoreUnavailableError."""
        ...

    def read_blob(self, info: BlobInfo) -> bytes:
        """The whole of a blob, verified. Raises CorruptBlobError besides what `read` does."""
        ...


def check_name(name: str) -> str:
    """The name of a data set, if it can be one.

    Raises:
        ShardError: when it is reserved or would not survive in a URL and a folder.
    """
    if not _NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise ShardError(
            f"data set name {name!r} cannot be used in a URL and a folder; take up to 64 of "
            "A-Z a-z 0-9 . _ - , a letter or digit first, and not 'blobs'"
        )
    return name


def is_version(text: str) -> bool:
    """Whether a text has the shape of a version: 64 lower-case hex digits."""
    return _VERSION.fullmatch(text) is not None


def version_path(name: str, version: str, file: str = "manifest.json") -> str:
    """Where a file of a version lies, below the store's root."""
    return f"{name}/versions/{version}/{file}"


def dump_statistics(manifest: Manifest) -> bytes:
    """The bytes of dataset_stats.json: a manifest's statistics, for people."""
    text = json.dumps(manifest.stats, ensure_ascii=False, indent=2, sort_keys=True)
    return text.encode() + b"\n"


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that it is there whole, or not at all; if durable, even after a power cut.

    Raises:
        StoreFullError: when the disk has no room; nothing is left behind.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def disk_error(error: OSError, path: Path) -> Exception:
    """The clear error for a full disk, or the given one for anything else."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return StoreFullError(
        f"no space left on the disk of {path.parent} to write {path.name}; nothing half-written "
        "was kept; free some space and run the same command again"
    )


def sync(path: Path) -> None:
    """Make what a file holds, or the renames in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    """A descriptor to lock; another user may have made the file, root in a cron job for example."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise disk_error(error, path) from error


class LocalStore:
    """A tree of data sets in a local folder: the only kind that is written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = str(folder)

    def read(self, path: str) -> bytes:
        """The whole of a file.

        Raises:
            NotFoundError: when there is none; as a GoneError where its version was collected.
            StoreUnavailableError: when it cannot be read.
        """
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if tombstone := self._tombstone_of(path):
                raise GoneError(tombstone.sentence()) from error
            raise NotFoundError(
                f"{self.folder / path} is not there; check the path, or build the data set first"
            ) from error
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.folder / path} cannot be read ({error.strerror or error}); nothing was "
                "lost; check the disk and who may read it, then run the same command again"
            ) from error

    def read_blob(self, info: BlobInfo) -> bytes:
        """The whole of a blob, verified against the manifest."""
        data = self.read(info.path)
        check_blob(data, info)
        return data

    def put_blob(self, data: bytes, suffix: str) -> BlobInfo:
        """Store bytes under their own sha256; an intact copy that is there already is kept.

        Such a copy counts as written now, which saves it from a collection until the commit. A blob
        survives a power cut from the commit on: it is not waited for one by one.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        info = BlobInfo(sha256=sha256, bytes=len(data), suffix=suffix)
        path = self.folder / info.path
        if path.exists():
            with self.lock(shared=True), suppress(FileNotFoundError):
                os.utime(path)
            with suppress(NotFoundError, CorruptBlobError):
                self.read_blob(info)
                return info
        write_atomically(path, data, durable=False)
        return info

    def commit(
        self, name: str, manifest: Manifest, files: Mapping[str, bytes] | None = None
    ) -> str:
        """Publish a version: its statistics, then its manifest, then the `latest` pointer.

        `files` lie beside the statistics, for people: `report.html`. Every blob that the manifest
        names must be stored already; its size is checked here, with collections locked out. A
        version that was collected comes back to life.
        """
        check_name(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sync_blobs(manifest)
        with self.lock():
            self._check_blobs(manifest)
            return self._publish(name, manifest, files or {})

    def _sync_blobs(self, manifest: Manifest) -> None:
        def sync_blob(blob: BlobInfo) -> None:
            with suppress(FileNotFoundError):  # the check says so
                sync(self.folder / blob.path)

        try:
            # many at a time: the disk takes them together
            with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
                for _ in pool.map(sync_blob, manifest.blobs()):
                    pass
            sync(self.folder / "blobs")
        except OSError as error:
            raise disk_error(error, self.folder / "blobs") from error

    def _check_blobs(self, manifest: Manifest) -> None:
        for blob in manifest.blobs():
            path = self.folder / blob.path
            if not path.is_file():
                raise NotFoundError(
                    f"blob {path} is not there though the build has stored it; the version is not "
                    "published; find out what removed it, and build again"
                )
            size = path.stat().st_size
            if size != blob.bytes:
                raise CorruptBlobError(
                    f"blob {blob.path} has {size} bytes on disk, {blob.bytes} were written; "
                    "the version is not published; check the disk and build again"
                )

    def _publish(self, name: str, manifest: Manifest, files: Mapping[str, bytes]) -> str:
        data, version = dump_manifest(manifest)
        assert set(files) <= set(FOR_PEOPLE), "a collection removes these and no others"
        for file, content in {STATISTICS: dump_statistics(manifest), **files}.items():
            write_atomically(self.folder / version_path(name, version, file), content)
        write_atomically(self.folder / version_path(name, version), data)
        # beside a manifest it means nothing, so a crash in between does no harm
        (self.folder / version_path(name, version, TOMBSTONE)).unlink(missing_ok=True)
        write_atomically(self.folder / name / "latest.json", canonical_json({"version": version}))
        return version

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the store's lock: alone to publish or to collect, shared to keep both out."""
        descriptor = _open_lock(self.folder / LOCK_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        """The data sets that have at least one version, sorted."""
        return sorted(path.parent.name for path in self.folder.glob("*/latest.json"))

    def versions(self, name: str) -> list[str]:
        """The versions of a data set, oldest first."""
        found = []
        for path in (self.folder / check_name(name) / "versions").glob("*/manifest.json"):
            with suppress(FileNotFoundError):  # collected just now
                found.append((path.stat().st_mtime_ns, path.parent.name))
        return [version for _, version in sorted(found)]

    def tombstone(self, name: str, version: str) -> Tombstone | None:
        """What is left of a version that was collected; None when it is there, or never was."""
        path = self.folder / version_path(name, version)
        try:
            data = path.with_name(TOMBSTONE).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if path.is_file() else load_tombstone(data)

    def tombstones(self, name: str) -> list[Tombstone]:
        """What is left of the versions of a data set that were collected, oldest first."""
        folders = (self.folder / check_name(name) / "versions").glob(f"*/{TOMBSTONE}")
        found = (self.tombstone(name, path.parent.name) for path in folders)
        return sorted(filter(None, found), key=lambda stone: (stone.published, stone.version))

    def tombstone_of_blob(self, file: str) -> Tombstone | None:
        """What is left of a version that was collected and its blob of that name with it."""
        for path in self.folder.glob(f"*/versions/*/{TOMBSTONE}"):
            with suppress(FileNotFoundError):
                if file.encode() in path.read_bytes():  # before it is parsed: most do not name it
                    stone = self.tombstone(path.parents[2].name, path.parent.name)
                    if stone is not None and file in stone.blobs:
                        return stone
        return None

    def _tombstone_of(self, path: str) -> Tombstone | None:
        match path.split("/"):
            case [name, "versions", version, _]:
                return self.tombstone(name, version)
            case ["blobs", file]:
                return self.tombstone_of_blob(file)
        return None

    def manifest(self, name: str, version: str) -> Manifest:
        """A version's manifest, verified."""
        path = version_path(name, version)
        return load_manifest(self.read(path), version, path)
