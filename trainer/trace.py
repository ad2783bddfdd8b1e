"""A run's folder and a step → the pairs of its batch, from the ledger and the data set alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from shards.dataset import Dataset
from shards.sample import TAG_KINDS, ids_digest
from trainer.config import TrainSettings
from trainer.errors import TrainingError
from trainer.stream.batching import PairIds
from trainer.stream.dataset import BatchStream, PlannedWindow
from trainer.stream.order import Cursor, Rows
from trainer.text import TextCodec
from trainer.training.data import Pinned, open_sources
from trainer.training.loop import make_stream_config
from trainer.training.metrics import LEDGER, METRICS, read_records


@dataclass(frozen=True, slots=True)
class TracedPair:
    """One pair of a batch, as it was trained on."""

    id: str  # 16 hex digits
    source: str
    tags: dict[str, str]
    src: str
    tgt: str
    reversed: bool  # trained on from tgt to src


@dataclass(frozen=True, slots=True)
class TracedStep:
    """What one step was trained on."""

    step: int
    data: str
    version: str
    cursor: Cursor  # where the batch was read
    pairs: list[TracedPair]


def trace_step(run_dir: Path, step: int, data: str | None = None) -> TracedStep:
    """The pairs of the global batch of a step, in the order of its rows.

    `data` is where the data sets lie now, if not where the run had them.

    Raises:
        TrainingError: when the run has no such step, or the data gives other pairs than it saw.
        ShardError: when the data cannot be read.
    """
    settings, pinned = _read_run(run_dir)
    record = _find(run_dir / LEDGER, step)
    # the folder may have been moved since; what a filter selects is found in it
    moved = {"run_dir": run_dir, "data": settings.data if data is None else data}
    settings = settings.model_copy(update=moved)
    source = open_sources(settings, pinned)[record["data"]]
    behind = Cursor(*record["next"])
    stream = source.stream(make_stream_config(settings))
    stream = stream.at(stream.window_before(behind))
    planned = next(stream.planned_windows())
    cursor = stream.cursor._replace(batch=(behind.batch or len(planned.plan)) - 1)
    rows = planned.plan.batch(cursor.batch)
    _check(planned.framed.window.id[rows], record, source.dataset)
    return TracedStep(
        step=step,
        data=source.dataset.ref.url,
        version=source.dataset.version,
        cursor=cursor,
        pairs=list(_pairs(stream, planned, rows)),
    )


def _read_run(run_dir: Path) -> tuple[TrainSettings, Pinned]:
    """The settings a run had last, and the versions of its data sets."""
    try:
        settings = TrainSettings.model_validate(
            yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))
        )
        starts = [
            record for record in read_records(run_dir / METRICS) if record["event"] == "start"
        ]
        return settings, Pinned(f"run {run_dir}", starts[-1]["data"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, LookupError) as error:
        raise TrainingError(
            f"{run_dir} is not the folder of a run ({' '.join(str(error).split())[:200]}); give "
            "--run-dir a folder that `trainer train` wrote"
        ) from error


def _find(ledger: Path, step: int) -> dict[str, Any]:
    """The ledger's line of a step."""
    try:
        records = list(read_records(ledger))
    except OSError as error:
        raise TrainingError(f"{ledger} cannot be read ({error}); check --run-dir") from error
    found = next((record for record in records if record["step"] == step), None)
    if found is None:
        steps = f"{records[0]['step']} to {records[-1]['step']}" if records else "none"
        raise TrainingError(f"{ledger} has no step {step}; it has steps {steps}; give one of them")
    return found


def _check(ids: PairIds, record: dict[str, Any], dataset: Dataset) -> None:
    if ids_digest(ids) != record["ids"]:
        raise TrainingError(
            f"{dataset.ref.url} gives other pairs at step {record['step']} than the run saw "
            f"(digest {ids_digest(ids)[:12]}, the ledger says {record['ids'][:12]}); the settings "
            "or --skip-ids of the run have changed since; trace with those it was trained with"
        )


def _pairs(stream: BatchStream, planned: PlannedWindow, rows: Rows) -> Iterator[TracedPair]:
    dataset, window = stream.dataset, planned.framed.window
    manifest = dataset.manifest
    codec = TextCodec.of(stream.read_blob(manifest.tokenizer), TextCodec.describe(manifest))
    names = {number: symbol for symbol, number in manifest.tags.symbols.items()}
    prefix = manifest.tags.prefix_tokens
    for row in rows.tolist():
        src, tgt = (
            window.ids[side.start[row] : side.start[row] + side.length[row]].tolist()
            for side in (window.src, window.tgt)
        )
        yield TracedPair(
            id=f"{int(window.id[row]):016x}",
            source=manifest.sources[int(window.source[row])].name,
            tags={
                kind: names[number].removeprefix(f"<{kind}").strip("_<>")
                for kind, number in zip(TAG_KINDS, src[:prefix], strict=True)
            },
            src=codec.decode(src),
            tgt=codec.decode(tgt),
            reversed=bool(planned.framed.reverse[row]),
        )
