"""Sources → rows by bucket: chunks are cleaned and filtered while the rest is still read."""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from dataservice.errors import BuildError, SourceError
from dataservice.prepare.ahead import read_sources
from dataservice.prepare.chunks import CleanUnit, clean_chunk
from dataservice.prepare.contamination import write_test_keys
from dataservice.prepare.counts import StageCounts, merge_stages
from dataservice.prepare.reading import Ingested, text_key
from dataservice.prepare.rows import BucketFile, join_starts
from dataservice.prepare.stages.context import BuildContext, Known, Made
from dataservice.prepare.work.folder import check_space
from dataservice.settings import BuildSettings

_MAX_SOURCES: Final = 2**16
_SPILL_RATIO: Final = 3  # disk that the stages take at most, over the bytes of text
_STARTS: Final = "starts"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was read of the sources, and what became of every pair."""

    ingested: Ingested
    num_read: list[int]  # pairs of each chunk
    funnel: StageCounts
    starts_file: str


@dataclass(slots=True)
class _Found:
    """What was read of the sources: its parts, and all of it at last."""

    parts: list[Ingested] = field(default_factory=list)
    total: Ingested | None = None


def check_room(context: BuildContext, num_bytes: int) -> None:
    """Look whether the disk has room for all that is made of so many bytes of text.

    Raises:
        StoreFullError: when it has not.
    """
    check_space(context.folder, _SPILL_RATIO * num_bytes, "the build", context.report)


def clean_sources(context: BuildContext, text: str) -> Cleaned:
    """Clean and filter every chunk as it is read; `text` is the key of what is to be read.

    Raises:
        SourceError: when a source is damaged, or changed while it is read.
        BuildError: when no pair is left, or pairs name too many sources.
    """
    journal, folder = context.journal, context.folder
    (folder / "clean").mkdir(exist_ok=True)
    found = _Found()
    funnel, num_rows, num_read = StageCounts(), 0, list[int]()
    digest = hashlib.blake2b(digest_size=16)
    with closing(read_sources(context.settings, folder, journal, context.report)) as parts:
        units = _units(context, text, parts, found)
        for result in journal.map(context.engine, "clean", clean_chunk, units):
            funnel = merge_stages([funnel, result.funnel])
            if len(funnel.read) > _MAX_SOURCES:
                raise _too_many_sources()
            num_rows += result.num_rows
            digest.update("".join(file.digest for file in result.spilled).encode())
            num_read.append(result.funnel.read.total())
            num_units = len(found.total.chunks) if found.total else None
            context.report("clean and filter", len(num_read), num_units)
    if not num_rows:
        raise _nothing_left(funnel, context.settings)
    assert found.total is not None, "there are no results beyond the last unit"
    _forget_other_rows(context, digest.hexdigest())
    files = [BucketFile.of_chunk(folder, number) for number in range(len(num_read))]
    journal.once("starts", "", lambda: Made(join_starts(files, folder, _STARTS)))
    journal.drop("read")
    return Cleaned(found.total, num_read, funnel, _STARTS)


def _units(
    context: BuildContext, text: str, parts: Iterable[Ingested], found: _Found
) -> Iterator[CleanUnit]:
    """A unit for each chunk; `found` grows by what is read."""
    settings, folder = context.settings, context.folder
    tests = None
    if settings.test_sources:
        write = functools.partial(write_test_keys, settings, folder)
        made = context.journal.once("tests", "", lambda: Made(write()))
        tests = made.spilled.under(folder)
    first = 0
    for part in parts:
        found.parts.append(part)
        for number, chunk in enumerate(part.chunks, first):
            yield CleanUnit(
                number=number,
                chunk=chunk,
                rows=BucketFile.of_chunk(folder, number),
                label=f"{chunk.names[0]}, from record {chunk.first}",
                test_file=tests,
                settings=settings,
            )
        first += len(part.chunks)
    if text_key(settings) != text:
        raise SourceError(
            "a source was changed while it was read; nothing was published, since nobody knows "
            "what was read of it; run the same command again when it is whole"
        )
    found.total = Ingested.of_parts(found.parts)
    check_room(context, found.total.num_bytes)


def _forget_other_rows(context: BuildContext, digest: str) -> None:
    """Forget what was made of rows that are no longer there.

    They are others when a source was another one when it was read again.
    """
    if not context.journal.knows("rows", digest):
        context.journal.forget_all_but("read", "tests", "clean")
    context.journal.once("rows", digest, Known)


def _too_many_sources() -> BuildError:
    return BuildError(
        f"the pairs name more than {_MAX_SOURCES} sources, which is what a data set holds; "
        "nothing was published; give `source` for a collection, not for every pair"
    )


def _nothing_left(funnel: StageCounts, settings: BuildSettings) -> BuildError:
    reasons = Counter[str]()
    for (_, reason), dropped in funnel.dropped.items():
        reasons[reason] += dropped
    told = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
    return BuildError(
        f"no pair is left to build from: {funnel.read.total()} read, dropped: {told or 'none'}; "
        f"nothing was published; check the sources, the sides ({settings.src_lang} first) and the "
        "filter settings"
    )
