"""What happens in a run → metrics.jsonl (the truth), ledger.jsonl (its batches), TensorBoard.

Both files are only ever appended to. After a restart the steps since its checkpoint occur a second
time; `read_records` gives each step as it counts.
"""

import json
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch

from shards.sample import ids_digest
from trainer.stream.batching import Batch

METRICS, LEDGER = "metrics.jsonl", "ledger.jsonl"


class RunLog:
    """The files of one run, open for appending."""

    def __init__(self, run_dir: Path, *, step: int, tensorboard: bool) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._metrics = _open(run_dir / METRICS)
        self._ledger = _open(run_dir / LEDGER)
        self._board = _board(run_dir, step) if tensorboard else None

    def event(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: kind is start, train, eval, sample, checkpoint or end."""
        _append(self._metrics, {"event": kind, "step": step, **values})
        if self._board is None:
            return
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def text(self, step: int, rows: list[dict[str, str]]) -> None:
        """Translations of a few fixed sentences."""
        self.event("sample", step, {"texts": rows})
        if self._board is not None:
            lines = [f"{row['source']}  \n→ {row['output']}" for row in rows]
            self._board.add_text("sample", "\n\n".join(lines), step)

    def batch(self, step: int, batch: Batch, source: int = 0) -> None:
        """One line of the ledger: the pairs of a step, and where reading of their data goes on."""
        digest = ids_digest(batch.global_pair_ids)
        record = {"step": step, "pairs": len(batch.global_pair_ids), "ids": digest}
        _append(self._ledger, {**record, "data": source, "next": list(batch.cursor)})

    def close(self) -> None:
        """Flush and close every file."""
        self._metrics.close()
        self._ledger.close()
        if self._board is not None:
            self._board.close()


def _board(run_dir: Path, step: int) -> Any:
    # imported here: it takes a second, which a run without TensorBoard need not spend
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(run_dir / "tensorboard"), purge_step=step)


def _open(path: Path) -> IO[str]:
    file = path.open("a+", encoding="utf-8")
    if file.tell():
        file.seek(file.tell() - 1)
        if file.read(1) != "\n":  # a kill cut the last line: it stays, as a line of its own
            file.write("\n")
    return file


def _append(file: IO[str], record: Mapping[str, Any]) -> None:
    file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    file.flush()


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a run's file in order of steps; what a resumed run did again counts once."""
    kept: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # cut by a kill; the steps it belongs to were done again
        while (kept and kept[-1]["step"] > record["step"]) or _repeats(kept, record):
            kept.pop()
        kept.append(record)
    yield from kept


def _repeats(kept: list[dict[str, Any]], record: dict[str, Any]) -> bool:
    return bool(
        kept and kept[-1]["step"] == record["step"] and kept[-1].get("event") == record.get("event")
    )


def peak_memory_bytes(device: torch.device) -> int:
    """Peak of the CUDA allocator, or of this process's resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
