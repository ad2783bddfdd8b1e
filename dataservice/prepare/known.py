"""The last version of a data set → the ids of pairs that need no encoding again.

A pair is known by its 64-bit id: of n pairs in one version and m in the next, another pair shares
the id of a known one with chance n·m / 2⁶⁴, which for fifty millions each is 1 to 7,000.
"""

import importlib.metadata
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import zstandard

from dataservice.prepare.model import Vocabulary
from dataservice.prepare.ragged import Ragged
from dataservice.prepare.rows import buckets_of
from dataservice.prepare.tokenizer import text_digest
from dataservice.settings import BuildSettings
from shards.dataset import read_latest
from shards.errors import NotFoundError, PrometheusError
from shards.manifest import Manifest, ShardInfo, Split
from shards.reader import decode_shard
from shards.store import LocalStore

_log = logging.getLogger(__name__)
ENCODING: Final = 1  # another one whenever the same model would give a text other ids
_NAME_BYTES: Final = 100  # of a member, at the beginning of a tar


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard of the last version, and how many tags stand before its sources."""

    info: ShardInfo
    prefix_tokens: int


@dataclass(frozen=True, slots=True)
class KnownPairs:
    """N pairs that are encoded already, without their tags; ids ascending."""

    ids: npt.NDArray[np.uint64]  # [N]
    src: Ragged
    tgt: Ragged

    def find(
        self, ids: npt.NDArray[np.uint64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Where each of M pairs is, and whether it is there at all [M], [M]."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return places, self.ids[places] == ids


class KnownShards:
    """The shards of a version by the partition that they were written for."""

    def __init__(self, store: LocalStore, manifest: Manifest) -> None:
        self._num_partitions = int(manifest.build["num_partitions"])
        self._shards: dict[int, list[ShardFile]] = {}
        for split in manifest.splits.values():
            for shard in split.shards:
                file = ShardFile(shard, manifest.tags.prefix_tokens)
                # one that is damaged or gone is as if it were not there: its pairs are encoded
                with suppress(OSError, ValueError, IndexError, zstandard.ZstdError):
                    partition = _partition_of(store.folder / shard.path)
                    self._shards.setdefault(partition, []).append(file)

    def overlapping(self, partition: int, num_partitions: int) -> tuple[ShardFile, ...]:
        """The shards that may hold pairs of a partition, of as many as there are now."""
        begin, end = buckets_of(partition, num_partitions)
        found: list[ShardFile] = []
        for number, shards in sorted(self._shards.items()):
            first, last = buckets_of(number, self._num_partitions)
            if first < end and begin < last:
                found += shards
        return tuple(found)


def last_shards(
    store: LocalStore, settings: BuildSettings, vocabulary: Vocabulary
) -> KnownShards | None:
    """The shards of the data set's last version, if its pairs were encoded as they would be now."""
    try:
        manifest = store.manifest(settings.name, read_latest(store, settings.name))
        models = [store.read_blob(info) for info in (manifest.tokenizer, vocabulary.info)]
        same = manifest.build.get("encoding") == ENCODING and manifest.generator.get(
            "sentencepiece"
        ) == importlib.metadata.version("sentencepiece")
        if not same or len(set(map(text_digest, models))) > 1:
            return None
        return KnownShards(store, manifest)
    except NotFoundError:
        return None
    except (PrometheusError, OSError) as error:
        _log.warning("the last version of %s is not reused: %s", settings.name, error)
        return None


def known_pairs(files: Sequence[ShardFile], store_dir: Path) -> KnownPairs:
    """The pairs of the given shards; a shard that cannot be read is as if it were not there."""
    store = LocalStore(store_dir)
    ids, src, tgt = [np.zeros(0, np.uint64)], [_NONE], [_NONE]
    for file in files:
        try:
            blocks = list(decode_shard(store.read_blob(file.info), file.info))
        except PrometheusError:  # collected or damaged: its pairs are encoded again
            continue
        for block in blocks:
            ids.append(block.id)
            src.append(_without_tags(Ragged(block.src, block.src_len.astype(np.int64)), file))
            tgt.append(Ragged(block.tgt, block.tgt_len.astype(np.int64)))
    order = np.argsort(np.concatenate(ids))
    return KnownPairs(
        np.concatenate(ids)[order], Ragged.join(src).take(order), Ragged.join(tgt).take(order)
    )


_NONE: Final = Ragged(np.zeros(0, np.uint16), np.zeros(0, np.int64))


def _without_tags(src: Ragged, file: ShardFile) -> Ragged:
    places = np.arange(len(src.values)) - np.repeat(src.starts[:-1], src.lengths)
    return Ragged(src.values[places >= file.prefix_tokens], src.lengths - file.prefix_tokens)


def block_prefix(split: Split, partition: int) -> str:
    """What the keys of a partition's blocks begin with."""
    return f"{split}-{partition:05d}"


def _partition_of(path: Path) -> int:
    """The partition of a shard, from the name of the first member in it."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        return int(reader.read(_NAME_BYTES).split(b"-")[1])
