"""Batches that were trained on → proof that a window and an epoch held each sample exactly once.

A digest does not depend on the order (sum and XOR of the pair ids), and the manifest has one for
each shard, made when it was written. So what was trained on is compared with what was published,
past everything that lies between.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from shards.sample import combine_digests, ids_digest
from trainer.errors import TrainingError
from trainer.stream.batching import Batch
from trainer.stream.order import Cursor

NOTHING = "0" * 32


class LostSamplesError(TrainingError):
    """What was trained on is not, sample for sample, what the data set holds."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many pair ids were counted, and their digest."""

    samples: int = 0
    digest: str = NOTHING

    def plus(self, samples: int, digest: str) -> "Tally":
        return Tally(self.samples + samples, combine_digests([self.digest, digest]))


@dataclass(frozen=True, slots=True)
class Promise:
    """What has to be counted by the end of a window or an epoch, and what to call it."""

    subject: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a data set was trained on: where to go on, and what was counted so far."""

    cursor: Cursor = field(default_factory=Cursor)
    drawn: int = 0  # samples, of all epochs
    window: Tally = field(default_factory=Tally)
    epoch: Tally = field(default_factory=Tally)

    def after(self, batch: Batch) -> "Progress":
        """The progress once a batch was trained on."""
        count, digest = len(batch.global_pair_ids), ids_digest(batch.global_pair_ids)
        return replace(
            self,
            cursor=batch.cursor,
            drawn=self.drawn + count,
            window=self.window.plus(count, digest),
            epoch=self.epoch.plus(count, digest),
        )

    def begun_window(self) -> "Progress":
        return replace(self, window=Tally())

    def begun_epoch(self) -> "Progress":
        return replace(self, window=Tally(), epoch=Tally())

    def dump(self) -> dict[str, Any]:
        """As JSON, for a checkpoint."""
        return {
            "cursor": list(self.cursor),
            "drawn": self.drawn,
            "window": [self.window.samples, self.window.digest],
            "epoch": [self.epoch.samples, self.epoch.digest],
        }

    @classmethod
    def load(cls, told: dict[str, Any]) -> "Progress":
        """What `dump` made."""
        return cls(
            Cursor(*told["cursor"]), told["drawn"], Tally(*told["window"]), Tally(*told["epoch"])
        )


def check_tally(found: Tally, promise: Promise) -> None:
    """Compare what was trained on with what the data set holds.

    Raises:
        LostSamplesError: when they differ; it names a single pair that is missing or came twice.
    """
    expected = promise.tally
    if found == expected:
        return
    raise LostSamplesError(
        f"{promise.subject}: {found.samples} samples were trained on, the data set holds "
        f"{expected.samples}; {difference(found, expected)}; nothing after the last checkpoint is "
        "kept; this is a fault of the program or of its memory: check the data with `dataservice "
        "verify`, go on with `--resume`, and report it with this line"
    )


def difference(found: Tally, expected: Tally) -> str:
    """What is missing or came twice; a single pair by its id, which sum and XOR then agree on."""
    for one, other, verb in ((expected, found, "is missing"), (found, expected, "came twice")):
        added = (int(one.digest[:16], 16) - int(other.digest[:16], 16)) % 2**64
        if one.samples == other.samples + 1:
            mixed = int(one.digest[16:], 16) ^ int(other.digest[16:], 16)
            if added == mixed:
                return f"pair {added:016x} {verb}"
    missing = expected.samples - found.samples
    if missing > 0:
        return f"{missing} are missing"
    if missing < 0:
        return f"{-missing} came more than once"
    return f"as many as expected, but others (digest {found.digest}, not {expected.digest})"
