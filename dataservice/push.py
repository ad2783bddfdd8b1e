"""A data set version, wherever it lies → the same version in a bucket, readable at any moment."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from dataservice.errors import BuildError
from dataservice.prepare.report.page import report_page
from shards.cli.console import Report, silent
from shards.dataset import Dataset, check_userinfo
from shards.errors import NotFoundError
from shards.manifest import BlobInfo, canonical_json, dump_manifest, load_manifest
from shards.objects import IMMUTABLE, SCHEMES, ObjectStore
from shards.store import REPORT, STATISTICS, dump_statistics, version_path

_THREADS: Final = 4


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did: blobs that it sent, blobs that were there already."""

    url: str
    version: str
    sent: int
    sent_bytes: int
    kept: int


def push(dataset: Dataset, root: str, report: Report = silent) -> PushResult:
    """Put a version below the root of a tree in a bucket, in the order that readers rely on.

    Blobs come first, then the manifest, which is read back, and `latest.json` last. A blob that is
    there with the right size is kept, so a push that broke off goes on when it is run again.

    Raises:
        BuildError: when the root is no bucket, or gives back another manifest.
        ShardError: when a blob cannot be read, or the bucket cannot be written.
    """
    check_userinfo(root)
    if not root.startswith(SCHEMES):
        raise BuildError(
            f"{root!r} is no bucket; nothing was pushed; give s3://, gs:// or az:// with a bucket, "
            "and copy to a folder or a file server with rsync"
        )
    target = ObjectStore(root)
    blobs = dataset.manifest.blobs()
    sent = []
    with ThreadPoolExecutor(_THREADS) as threads:
        for number, blob in enumerate(threads.map(lambda one: _send(dataset, target, one), blobs)):
            sent += [blob] if blob else []
            report("push", number + 1, len(blobs))
    _publish(dataset, target)
    return PushResult(
        url=f"{target.root}/{dataset.ref.name}",
        version=dataset.version,
        sent=len(sent),
        sent_bytes=sum(blob.bytes for blob in sent),
        kept=len(blobs) - len(sent),
    )


def _send(dataset: Dataset, target: ObjectStore, blob: BlobInfo) -> BlobInfo | None:
    """Store one blob, verified on its way; None when it was there."""
    found = target.size(blob.path)
    if found == blob.bytes:
        return None
    data = dataset.read_blob(blob)
    made = target.put(blob.path, data, cache_control=IMMUTABLE, create=found is None)
    return blob if made else None


def _for_people(dataset: Dataset) -> dict[str, bytes]:
    """The statistics, and their page where they are of this release."""
    files = {STATISTICS: dump_statistics(dataset.manifest)}
    with suppress(BuildError):
        files[REPORT] = report_page(dataset.ref.name, dataset.manifest).encode()
    return files


def _publish(dataset: Dataset, target: ObjectStore) -> None:
    """The manifest and its statistics, then the pointer, once the manifest reads back the same."""
    data, version = dump_manifest(dataset.manifest)
    if version != dataset.version:
        raise BuildError(
            f"the manifest of version {dataset.version[:12]} would be written as {version[:12]}; "
            "the version was not published; push with the release that built it"
        )
    name = dataset.ref.name
    path = version_path(name, version)
    for file, content in _for_people(dataset).items():
        target.put(version_path(name, version, file), content, cache_control=IMMUTABLE)
    try:
        same = target.read(path) == data
    except NotFoundError:
        same = False
    if not same:
        target.put(path, data, cache_control=IMMUTABLE)
    load_manifest(target.read(path), version, f"{target.root}/{path}")
    pointer = canonical_json({"version": version})
    target.put(f"{name}/latest.json", pointer, cache_control="no-cache")
