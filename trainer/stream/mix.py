"""Several streams with weights → one stream of their batches, at the same proportions everywhere.

Which data set the next batch comes from is decided by how many samples each has given so far: a
function of the progress alone, so that a mixture is resumed as exactly as a single data set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from trainer.errors import TrainingError
from trainer.stream.batching import Batch
from trainer.stream.dataset import BatchStream
from trainer.stream.loader import read_batches
from trainer.stream.proof import Progress, check_tally


@dataclass(frozen=True, slots=True)
class WeightedUrl:
    """One data set of a mixture: its URL, and its share of the samples relative to the others."""

    url: str
    weight: Fraction


def parse_mixture(text: str) -> tuple[WeightedUrl, ...]:
    """`URL`, or several separated by spaces, each with a weight before it: `3*URL 0.5*URL`.

    Raises:
        TrainingError: when it is empty, or a weight is not a positive number.
    """
    parts = []
    for word in text.split():
        head, star, url = word.partition("*")
        try:
            weight = Fraction(head) if star else Fraction(1)
        except (ValueError, ZeroDivisionError) as error:
            raise TrainingError(
                f"data set {word!r}: {head!r} is no weight; write for example 3*{url or 'URL'}"
            ) from error
        if weight <= 0 or not (url if star else word):
            raise TrainingError(
                f"data set {word!r} needs a weight above 0 and a URL; write for example 3*URL"
            )
        parts.append(WeightedUrl(url if star else word, weight))
    if not parts:
        raise TrainingError("no data set is named; give --data ROOT/NAME")
    return tuple(parts)


def next_stream(drawn: Sequence[int], weights: Sequence[Fraction]) -> int:
    """Whose turn it is: the one that is farthest behind its share; the first of equals."""
    return min(range(len(drawn)), key=lambda number: drawn[number] / weights[number])


def read_mixture(
    streams: Sequence[BatchStream],
    weights: Sequence[Fraction],
    progress: Sequence[Progress],
    num_workers: int = 0,
) -> Iterator[tuple[int, Batch]]:
    """Batches and the number of the stream that each is from; ends with the first that ends.

    The streams stand where `progress` says. Each has `num_workers` loader processes of its own.
    """
    batches = [read_batches(stream, num_workers) for stream in streams]
    drawn = [part.drawn for part in progress]
    while True:
        number = next_stream(drawn, weights)
        batch = next(batches[number], None)
        if batch is None:
            return
        drawn[number] += len(batch.global_pair_ids)
        yield number, batch


def advance(progress: Progress, batch: Batch, stream: BatchStream) -> Progress:
    """The progress after a batch was trained on; a window or epoch that ends with it is proven.

    Raises:
        LostSamplesError: when it did not hold each sample exactly once.
    """
    at, now = progress.cursor, progress.after(batch)
    if (at.epoch, at.window) == (now.cursor.epoch, now.cursor.window):
        return now
    check_tally(now.window, stream.promise(at.epoch, at.window))
    if at.epoch == now.cursor.epoch:
        return now.begun_window()
    check_tally(now.epoch, stream.promise(at.epoch))
    return now.begun_epoch()
