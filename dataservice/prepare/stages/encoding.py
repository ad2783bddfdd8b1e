"""Partitions → a vocabulary, and with it encoded shards in the store."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from dataservice.prepare.conflicts import target_conflicts
from dataservice.prepare.counts import SplitCounts, StageCounts, merge_splits, merge_stages
from dataservice.prepare.encode import EncodeUnit, encode_partition
from dataservice.prepare.known import last_shards
from dataservice.prepare.model import TrainTexts, Vocabulary, make_vocabulary
from dataservice.prepare.reading import vocabulary_key
from dataservice.prepare.rows import dump_array
from dataservice.prepare.split_file import SPLITS
from dataservice.prepare.stages.context import BuildContext, Made
from dataservice.prepare.stages.splitting import Partitions
from dataservice.prepare.work.memory import release_memory
from dataservice.prepare.work.spill import spill
from shards.manifest import Split
from shards.store import LocalStore

_CONFLICTS: Final = "conflicts.npy"


@dataclass(slots=True)
class Encoded:
    """What the shards hold, and how many of their pairs were encoded for them."""

    funnel: StageCounts = field(default_factory=StageCounts)
    splits: dict[Split, SplitCounts] = field(
        default_factory=lambda: {split: SplitCounts() for split in SPLITS}
    )
    num_encoded: int = 0


def find_vocabulary(context: BuildContext, partitions: Partitions) -> Vocabulary:
    """Train a tokenizer on a sample of train, or take the one that is given."""
    context.report("train the tokenizer", 0, 1)
    context.engine.warm(_release)  # training takes much, and the workers need nothing meanwhile
    texts = TrainTexts(context.folder, partitions.train_bytes)
    found = context.journal.once(
        "vocabulary",
        vocabulary_key(context.settings),
        lambda: make_vocabulary(texts, partitions.tags, context.settings),
    )
    context.report("train the tokenizer", 1, 1)
    return found


def encode_partitions(
    context: BuildContext,
    stage: str,
    partitions: Partitions,
    vocabulary: Vocabulary,
    sources: Iterable[str],
) -> Encoded:
    """Encode, tag and store every partition; `sources` are the names of all that was read.

    The journal knows the results by `stage`, which differs where shards do.
    """
    context.journal.once("conflicts", "", lambda: _conflicts(context, partitions))
    settings, number = context.settings, len(partitions)
    source_ids = {name: place for place, name in enumerate(sorted(sources))}
    known = last_shards(LocalStore(settings.store_dir), settings, vocabulary)
    units = (
        EncodeUnit(
            partition=partition,
            is_last=partition == number - 1,
            folder=context.folder,
            conflicts_file=_CONFLICTS,
            model=vocabulary.info,
            symbols=vocabulary.symbols,
            sources=source_ids,
            known=known.overlapping(partition, number) if known else (),
            settings=settings,
        )
        for partition in range(number)
    )
    total = Encoded()
    results = context.journal.map(context.engine, stage, encode_partition, units)
    for done, result in enumerate(results, 1):
        total.funnel = merge_stages([total.funnel, result.funnel])
        total.num_encoded += result.num_encoded
        for split, counts in result.splits.items():
            total.splits[split] = merge_splits([total.splits[split], counts])
        context.report("encode and write", done, number)
    return total


def _release(_: int) -> None:
    """Let a worker give back what it has freed."""
    release_memory()


def _conflicts(context: BuildContext, partitions: Partitions) -> Made:
    keys = target_conflicts(context.folder, len(partitions), partitions.num_val)
    release_memory()
    return Made(spill(context.folder, _CONFLICTS, dump_array(keys)))
