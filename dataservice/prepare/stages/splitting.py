"""Rows by bucket → partitions in which each pair stands once, split into train and val."""

from dataclasses import dataclass, field

from dataservice.prepare.counts import StageCounts, merge_stages
from dataservice.prepare.near import NearUnit, find_near, join_near
from dataservice.prepare.partition import SplitUnit, split_partitions, split_units
from dataservice.prepare.rows import NUM_BUCKETS
from dataservice.prepare.stages.cleaning import Cleaned
from dataservice.prepare.stages.context import BuildContext, Made
from dataservice.prepare.tags import TagCounts


@dataclass(slots=True)
class Partitions:
    """What the split left, summed over the partitions."""

    tags: TagCounts = field(default_factory=TagCounts)
    funnel: StageCounts = field(default_factory=StageCounts)
    train_bytes: list[int] = field(default_factory=list)  # of each partition
    num_val: int = 0

    def __len__(self) -> int:
        return len(self.train_bytes)


def split_rows(context: BuildContext, cleaned: Cleaned) -> Partitions:
    """Deduplicate and split every partition."""
    settings, folder, journal = context.settings, context.folder, context.journal
    # decided by the text alone, so that any number of processes gives the same shards
    number = -(-cleaned.ingested.num_bytes // settings.partition_bytes)
    number = min(max(1, number), NUM_BUCKETS)
    num_chunks = len(cleaned.ingested.chunks)
    (folder / "split").mkdir(exist_ok=True)
    near_file = _near_ids(context, num_chunks, number)
    units = [
        SplitUnit(
            partitions=partitions,
            num_partitions=number,
            num_chunks=num_chunks,
            folder=folder,
            starts_file=cleaned.starts_file,
            near_file=near_file,
            settings=settings,
        )
        for partitions in split_units(number)
    ]
    total = Partitions()
    for result in journal.map(context.engine, "split", split_partitions, units):
        for partition in result.partitions:
            total.funnel = merge_stages([total.funnel, partition.funnel])
            total.tags.add(partition.tags)
            total.train_bytes.append(partition.train_bytes)
            total.num_val += partition.num_val
        context.report("deduplicate and split", len(total), number)
    for stage in ("clean", "starts", "near", "near ids"):
        journal.drop(stage)
    return total


def _near_ids(context: BuildContext, num_chunks: int, num_units: int) -> str | None:
    """The file of longer pairs that resemble earlier ones, by MinHash if that is set."""
    if context.settings.near_duplicates != "minhash":
        return None
    folder, journal = context.folder, context.journal
    (folder / "near").mkdir(exist_ok=True)
    units = [NearUnit(unit, num_units, num_chunks, folder) for unit in range(num_units)]
    results = []
    for result in journal.map(context.engine, "near", find_near, units):
        results.append(result)
        context.report("compare bands", len(results), num_units)
    made = journal.once("near ids", "", lambda: Made(join_near(folder, results)))
    return made.spilled.path
