"""What no peer is asked: encoding by the word memo, resharding, more processes, the commands."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import sentencepiece

from benchmarks.prepare.corpus import read_pairs
from dataservice.export import export_text
from dataservice.prepare.build import build
from dataservice.prepare.memo.memo import WordMemo
from dataservice.settings import BuildSettings
from dataservice.verify import verify
from shards.cli.console import Report, silent
from shards.dataset import open_dataset

Request = dict[str, Any]

_NAME: Final = "corpus"
CHANGES: Final[dict[str, dict[str, Any]]] = {
    "shards": {"shard_bytes": 3 << 20},
    "tags": {"default_year": 2020},
}
"""What a reshard changes, and nothing else."""


def build_version(
    data_dir: Path,
    corpus: Path,
    vocab_size: int,
    model: Path | None,
    report: Report = silent,
    **changes: Any,
) -> Path:
    """Build a version of the corpus in this process, and say where it is."""
    settings = {"sources": [str(corpus)], "name": _NAME, "data_dir": data_dir, "processes": 1}
    settings["vocab_size"] = vocab_size
    if model is not None:
        settings["tokenizer"] = str(model)
    result = build(BuildSettings(**(settings | changes)), report)
    return data_dir / "datasets" / _NAME / "versions" / result.version


def verify_version(version: Path) -> int:
    """The pairs of a version in which nothing is wrong.

    Raises:
        RuntimeError: when something is.
    """
    findings = verify(open_dataset(str(version)))
    if findings.problems:
        raise RuntimeError(f"the version is damaged: {findings.problems[0]}")
    return findings.samples


def model_file(version: Path) -> Path:
    """Where the tokenizer of a version lies."""
    return version.parents[2] / open_dataset(str(version)).manifest.tokenizer.path


def train(request: Request) -> Request:
    """The sentencepiece model that a build trains; peers and later builds are given it."""
    folder = Path(request["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    version = build_version(folder, Path(request["corpus"]), request["vocab_size"], None)
    shutil.copyfile(model_file(version), request["model"])
    shutil.rmtree(folder)
    return {"vocab_size": request["vocab_size"]}


def raw(request: Request) -> Request:
    """Encoding by sentencepiece alone, of both sides of every pair as they stand there."""
    texts = _texts(request)
    processor = sentencepiece.SentencePieceProcessor(model_file=request["model"])
    cpu, started = time.process_time(), time.perf_counter()
    encoded = processor.encode(texts)
    elapsed = time.perf_counter() - started
    cpu_s = time.process_time() - cpu
    return {"elapsed_s": elapsed, "cpu_s": cpu_s, "tokens": sum(map(len, encoded))}


def _texts(request: Request) -> list[str]:
    return [side for pair in read_pairs(Path(request["corpus"])) for side in pair]


def encode(request: Request) -> Request:
    """The same text by sentencepiece, by an empty word memo and by one that was saved."""
    texts = _texts(request)
    model = Path(request["model"]).read_bytes()
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    max_words = BuildSettings().max_memo_words
    memo = WordMemo.for_model(model, max_words=max_words)
    raw_s, expected = _timed(lambda: processor.encode(texts))
    cold_s, _ = _timed(lambda: memo.encode(texts))
    saved = memo.dump()
    load_s, memo = _timed(lambda: WordMemo.load(model, saved, max_words=max_words))
    warm_s, (ids, lengths) = _timed(lambda: memo.encode(texts))
    wanted = np.fromiter((one for row in expected for one in row), ids.dtype, len(ids))
    equal = np.array_equal(wanted, ids) and lengths.tolist() == list(map(len, expected))
    told = {"raw_s": raw_s, "cold_s": cold_s, "load_s": load_s, "warm_s": warm_s, "equal": equal}
    return {**told, "memo_words": memo.num_words, "memo_bytes": len(saved)}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def base(request: Request) -> Request:
    """A data set that is there before a reshard, and how much text it keeps.

    It is built where it will be resharded, since text is kept for a place, and then put aside.
    """
    folder, out, kept = (Path(request[name]) for name in ("folder", "cache", "base"))
    for old in (folder, out, kept):
        shutil.rmtree(old, ignore_errors=True)
    version = build_version(
        folder, Path(request["corpus"]), request["vocab_size"], Path(request["model"])
    )
    lines = export_text(open_dataset(str(version)), out, tags="none")
    text_bytes = sum(path.stat().st_size for path in out.iterdir()) - sum(lines.values())
    shutil.rmtree(out)
    kept.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(kept)
    return {"pairs": sum(lines.values()) // 2, "text_bytes": text_bytes}


def reshard(request: Request) -> Request:
    """Another version of a data set, whose cleaned text is kept, as it is by default.

    reused: with the shards of the version before; warm: with its word memo alone, so that every
    pair is encoded again; cold: with neither.
    """
    folder = Path(request["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(request["base"], folder)
    memos = list(folder.glob("cache/memos/*.memo"))
    if request["memo"] != "reused":
        shutil.rmtree(folder / "datasets" / _NAME)
    if request["memo"] == "cold":
        for path in memos:
            path.unlink()
    changes = CHANGES[request["change"]]
    elapsed, _ = _timed(
        lambda: build_version(
            folder,
            Path(request["corpus"]),
            request["vocab_size"],
            Path(request["model"]),
            _refuse_reading,
            **changes,
        )
    )
    shutil.rmtree(folder)
    return {"elapsed_s": elapsed, "memos": len(memos)}


def _refuse_reading(stage: str, done: int, total: int | None) -> None:  # noqa: ARG001
    if stage == "read":
        raise RuntimeError("the text was not kept, so this is no reshard but a whole build")


def commands(request: Request) -> Request:
    """`dataservice build` and `dataservice verify` as a user runs them, by so many processes."""
    folder = Path(request["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    program = [sys.executable, "-m", "dataservice"]
    sources = request.get("sources", [request["corpus"]])
    build_it = [*program, "build", "--name", _NAME]
    build_it += [word for source in sources for word in ("--source", source)]
    build_it += ["--data-dir", str(folder), "--vocab-size", str(request["vocab_size"])]
    build_it += ["--processes", str(request["processes"])]
    build_it += ["--tokenizer", request["model"]]
    build_s, _ = _timed(lambda: _run(build_it))
    verify_s, _ = _timed(lambda: _run([*program, "verify", str(folder / "datasets" / _NAME)]))
    shutil.rmtree(folder)
    return {"build_s": build_s, "verify_s": verify_s}


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if "DATASERVICE_" not in name}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


KINDS: Final[dict[str, Callable[[Request], Request]]] = {
    kind.__name__: kind for kind in (train, raw, encode, base, reshard, commands)
}
