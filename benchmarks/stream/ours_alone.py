"""What is asked of no peer: fetching for a resume, memory by size, waiting while training."""

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.stream.corpus import make_corpus
from benchmarks.stream.server import serve_dataservice
from benchmarks.stream.systems import ours
from benchmarks.stream.systems.base import BATCH_SIZE, System
from shards.dataset import open_dataset
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget, Cursor

_PART_PAIRS: Final = 500_000
_SMALL_MODEL: Final = (
    *("--d-model", "128", "--encoder-layers", "1", "--decoder-layers", "1", "--d-ff", "512"),
)
_CONFIG: Final = StreamConfig(budget=BatchBudget(sequences=BATCH_SIZE), epochs=1)

Request = dict[str, Any]


def fetch(system: System, request: Request) -> Request:
    """How long it takes to fetch and verify the shards of the window of a resume."""
    del system
    with Path(request["file"]).open("rb") as file:
        _, states = pickle.load(file)  # written by `reference`
    cursor = Cursor(*states[request["share"]][1])
    started = time.perf_counter()
    dataset = open_dataset(f"{request['root']}/pairs")
    stream = BatchStream(dataset, _CONFIG, cursor=cursor)
    for part in stream.window_parts(cursor.epoch, cursor.window):
        dataset.read_blob(part.info)
    return {"fetch_s": time.perf_counter() - started}


def scale(system: System, request: Request) -> Request:
    """Memory and speed of one epoch over many millions of pairs."""
    del system
    root = Path(request["root"])
    _write_in_child(root, request["pairs"])
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    before = _resident_bytes()
    started = time.perf_counter()
    samples = first_s = 0.0
    for batch in BatchStream(open_dataset(f"{root}/pairs"), _CONFIG):
        first_s = first_s or time.perf_counter() - started
        samples += len(batch.pair_ids)
    elapsed = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "samples": int(samples),
        "samples_per_s": samples / elapsed,
        "first_batch_s": first_s,
        "peak_rss_bytes": peak,
        "before_rss_bytes": before,
        "bytes_per_pair": size / samples,
    }


def _write_in_child(root: Path, pairs: int) -> None:
    """Write apart: what writing takes must not count as what reading takes."""
    program = (
        "import sys, pathlib; from benchmarks.stream.ours_alone import write_parts; "
        "write_parts(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", program, str(root), str(pairs)], check=True)


def write_parts(root: Path, pairs: int) -> None:
    """Many pairs, made and written part by part; each part has lengths and ids of its own."""
    count = -(-pairs // _PART_PAIRS)
    sizes = [min(_PART_PAIRS, pairs - number * _PART_PAIRS) for number in range(count)]
    ours.write_parts((make_corpus(size, number) for number, size in enumerate(sizes)), root)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def training(system: System, request: Request) -> Request:
    """How much of a step is waiting for data, over HTTP, all cores shared by everything."""
    del system
    steps = request["steps"]
    with tempfile.TemporaryDirectory() as name, _demo(Path(name)) as url:
        return {
            "small": _wait_shares(url, Path(name) / "small", 4 * steps, _SMALL_MODEL),
            "default": _wait_shares(url, Path(name) / "default", max(20, steps // 2), ()),
        }


@contextmanager
def _demo(folder: Path) -> Iterator[str]:
    """The demo data set, built and served."""
    build = [sys.executable, "-m", "dataservice", "build", "--data-dir", str(folder / "data")]
    subprocess.run(build, check=True, capture_output=True)
    with serve_dataservice(folder / "data", None) as server:
        yield f"{server.url}/datasets/demo"


def _wait_shares(url: str, run_dir: Path, steps: int, model: tuple[str, ...]) -> Request:
    command = [sys.executable, "-m", "trainer", "train", "--data", url, "--run-dir", str(run_dir)]
    command += ["--max-steps", str(steps), "--batch-size", str(BATCH_SIZE), "--device", "cpu"]
    command += ["--eval-every", str(10 * steps), "--save-every", str(10 * steps)]
    command += ["--cache-bytes", "0", "--num-samples", "0", "--no-tensorboard", *model]
    environment = {
        key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")
    }
    subprocess.run(command, check=True, capture_output=True, env=environment)
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [one for one in map(json.loads, lines) if one["event"] == "train"]
    # the first line has the time to the first batch in it, which is measured on its own
    shares = [record["data_wait_share"] for record in records[1:]]
    return {
        "steps": steps,
        "wait_share": sum(shares) / len(shares),
        "largest_wait_share": max(shares),
        "tokens_per_s": records[-1]["tokens_per_s"],
    }


def real(system: System, request: Request) -> Request:
    """Padding and speed on real text, built with the defaults."""
    del system
    root = Path(request["root"])
    if not (root / "datasets" / "real").exists():
        build = [sys.executable, "-m", "dataservice", "build", "--source", request["corpus"]]
        build += ["--name", "real", "--data-dir", str(root)]
        subprocess.run(build, check=True, capture_output=True)
    cells = tokens = samples = 0
    started = time.perf_counter()
    for batch in BatchStream(open_dataset(str(root / "datasets" / "real")), _CONFIG):
        samples += len(batch.pair_ids)
        cells += batch.input_ids.size + batch.target_ids.size
        tokens += int((batch.input_ids != 0).sum() + (batch.target_ids != 0).sum())
    return {
        "samples": samples,
        "padding_share": 1 - tokens / cells,
        "mean_tokens": tokens / samples,
        "elapsed_s": time.perf_counter() - started,
    }


KINDS: Final[dict[str, Callable[[System, Request], Request]]] = {
    kind.__name__: kind for kind in (fetch, scale, training, real)
}
