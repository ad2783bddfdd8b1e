"""Build settings → a published data set version: the stages in order, and the commit at the end.

sources → clean, filter → partition → dedup, split → tokenizer → tag, encode → shards → manifest
"""

from dataclasses import dataclass

from dataservice.prepare.counts import merge_stages
from dataservice.prepare.engine import open_engine
from dataservice.prepare.journal import Journal
from dataservice.prepare.publish import Finished, make_manifest
from dataservice.prepare.reading import (
    check_sources,
    encode_key,
    is_local,
    text_estimate,
    text_key,
)
from dataservice.prepare.report.page import report_page
from dataservice.prepare.sources import count_pairs
from dataservice.prepare.stages.cleaning import check_room, clean_sources
from dataservice.prepare.stages.context import BuildContext
from dataservice.prepare.stages.encoding import encode_partitions, find_vocabulary
from dataservice.prepare.stages.splitting import split_rows
from dataservice.prepare.work.cache import trim_cache
from dataservice.prepare.work.folder import work_folder
from dataservice.settings import BuildSettings
from shards.cli.console import Report, silent
from shards.manifest import Manifest
from shards.store import REPORT, LocalStore, disk_error


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A published version, and how many of its pairs were encoded for it, not found encoded."""

    name: str
    version: str
    manifest: Manifest
    num_encoded: int


def build(settings: BuildSettings, report: Report = silent) -> BuildResult:
    """Build and publish one version; the same input and settings give the same version id.

    A build that was killed goes on where it was when it is asked for again, and one of the same
    text as the last begins with the text cleaned.

    Raises:
        SourceError, BuildError, StoreFullError: and then nothing is published.
    """
    # workers of a cluster stand in other folders
    settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    work = settings.data_dir / "work"
    key = text_key(settings)
    try:
        for folder in (work, settings.store_dir):
            folder.mkdir(parents=True, exist_ok=True)
        with (
            work_folder(
                work,
                key,
                keep_s=settings.keep_unfinished_s,
                keep_bytes=settings.keep_text_bytes,
                keep_this=is_local(settings),
                report=report,
            ) as folder,
            open_engine(settings, (work, settings.store_dir)) as engine,
            Journal(folder, LocalStore(settings.store_dir)) as journal,
        ):
            result = _run_stages(BuildContext(settings, folder, engine, journal, report), key)
        trim_cache(settings.cache_dir, settings.keep_cache_bytes, work)
        return result
    except OSError as error:
        raise disk_error(error, work / "build") from error


def _run_stages(context: BuildContext, text: str) -> BuildResult:
    """One build from reading to publishing; `text` is the key of what is to be read."""
    settings, journal = context.settings, context.journal
    encode_stage = f"encode {encode_key(settings)}"
    if known := journal.num_known:
        context.report("units done before", known, known)
    check_sources(settings)
    check_room(context, text_estimate(settings))
    context.engine.warm(_load_stages)
    cleaned = clean_sources(context, text)
    partitions = split_rows(context, cleaned)
    vocabulary = find_vocabulary(context, partitions)
    encoded = encode_partitions(
        context, encode_stage, partitions, vocabulary, sources=cleaned.funnel.read
    )
    ingested = cleaned.ingested
    finished = Finished(
        inputs=count_pairs(ingested.inputs, ingested.chunks, cleaned.num_read),
        folder=context.folder,
        num_partitions=len(partitions),
        funnel=merge_stages([cleaned.funnel, partitions.funnel, encoded.funnel]),
        splits=encoded.splits,
        vocabulary=vocabulary,
    )
    store = LocalStore(settings.store_dir)
    manifest = make_manifest(finished, settings, store)
    page = report_page(settings.name, manifest).encode()
    version = store.commit(settings.name, manifest, {REPORT: page})
    journal.forget(encode_stage)
    return BuildResult(settings.name, version, manifest, encoded.num_encoded)


def _load_stages(_: int) -> None:
    """Import the stages, which finding this function does."""
