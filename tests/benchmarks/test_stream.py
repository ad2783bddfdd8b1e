"""The stream's benchmark: its page is what was measured, and its measurements can be made."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.stream.figures import Results
from benchmarks.stream.report import page, readme_table

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "benchmarks" / "stream" / "results.json"


def described(name: str) -> dict[str, Any]:
    told = {"name": name, "settings": "as it comes", "resume": "a state", "reads_http": True}
    return {**told, "versions": {"numpy": "2"}}


def read(samples_per_s: float) -> dict[str, Any]:
    return {
        "first_batch_s": 0.05,
        "samples_per_s": samples_per_s,
        "tokens_per_s": samples_per_s * 50,
        "padding_share": 0.1,
        "samples": 1000,
        "peak_rss_bytes": 300_000_000,
    }


def scaled(samples: int) -> dict[str, Any]:
    told = {"samples": samples, "peak_rss_bytes": 400_000_000, "bytes_per_pair": 98.0}
    return {**told, "samples_per_s": 1e6, "first_batch_s": 0.05}


def make_results(**changes: Any) -> Results:
    """Three rounds of ours and of two peers, of which one loses samples and one fails."""
    measurements: dict[str, Any] = {
        "describe/ours": described("our name"),
        "describe/slow": described("Slow"),
        "describe/failing": described("Failing"),
        "describe/absent": {"error": "ModuleNotFoundError: No module named 'absent'"},
        "write/full/ours": {"written_per_s": 5e5, "bytes_per_pair": 98.0},
        "write/full/slow": {"written_per_s": 5e3, "bytes_per_pair": 2000.0},
        "wire/ours": {**read(1000), "wire_bytes_per_pair": 99.5},
        "reference/full/ours": {"batches": 160, "distinct": 5000},
        "reference/small/ours": {"batches": 32, "distinct": 1000},
        "reference/small/slow": {"batches": 32, "distinct": 1000},
        "reference/small/failing": {
            "error": "a.module.StrangeError: in /some/where/there it broke"
        },
        "cut/ours": {"error": f"CorruptBlobError: blob {'ab' * 32} has 5 bytes"},
        "cut/slow": {**read(1000), "samples": 700},
        "cut/failing": {"error": "no end within 60 s"},
    }
    for number, noise in enumerate((0.9, 1.0, 1.2)):
        for place in ("local", "http", "workers"):
            measurements[f"read/{place}/ours/{number}"] = read(1_000_000 * noise)
            measurements[f"read/{place}/slow/{number}"] = read(50_000 * noise)
        whole = {"lost": 0, "repeated": 0} if not number else {}
        lost = {"lost": 31, "repeated": 4} if not number else {}
        for share in ("0.5", "0.9"):
            for size in ("small", "full"):
                key = f"{size}/{share}/ours/{number}"
                measurements[f"resume/{key}"] = {"resume_s": 0.08, "exact": True, **whole}
                measurements[f"fetch/{key}"] = {"fetch_s": 0.05}
            key = f"resume/small/{share}/slow/{number}"
            measurements[key] = {"resume_s": 2.0, "exact": False, **lost}
    machine = {"cpu": "A CPU", "cores": 2, "memory_gb": 24, "kernel": "6", "python": "3.11"}
    return Results(
        {
            "machine": {**machine, "date": "2026-11-24", "load_before": 0.1},
            "pairs": 1000,
            "rounds": 3,
            "limit_s": 10.0,
            "measurements": {**measurements, **changes},
        }
    )


def test_ratios_are_those_of_medians() -> None:
    bars = {bar.promise: bar for bar in make_results().bars()}
    (http,) = [bar for promise, bar in bars.items() if promise.startswith("Over HTTP")]
    assert http.met
    assert http.measured == "20.0 times (1,000,000/s; Slow 50,000/s)"


@pytest.mark.parametrize(
    ("changes", "promise", "measured"),
    [
        (
            {f"read/http/ours/{n}": read(400_000) for n in range(3)},
            "Over HTTP, verified",
            "8.0 times (400,000/s; Slow 50,000/s)",
        ),
        (
            {"resume/full/0.9/ours/1": {"resume_s": 0.08, "exact": False}},
            "Resume at",
            "0.030 s beyond it, 0.080 s in all, not exact",
        ),
        (
            {f"fetch/full/0.5/ours/{n}": {"fetch_s": -0.1} for n in range(3)},
            "Resume at",
            "0.180 s beyond it, 0.080 s in all, exact",
        ),
        (
            {"resume/full/0.5/ours/2": {"error": "no end within 300 s"}},
            "Resume at",
            "failed: no end within 300 s",
        ),
        (
            {"scale/1": scaled(1_000_000), "scale/50": {"error": "killed"}},
            "Peak memory",
            "failed: killed",
        ),
        (
            {"read/workers/ours/1": {"error": "a.b.BrokenError: x"}},
            "With two",
            "failed: BrokenError: x",
        ),
        (
            {"wire/ours": {**read(1), "wire_bytes_per_pair": 115.2}},
            "At most 115",
            "98.0 on disk, 115.2 on the wire",
        ),
        (
            {"real": {"padding_share": 0.031, "samples": 10}},
            "Padding below",
            "3.10% of 10 pairs",
        ),
        (
            {"training": {"default": {"wait_share": 0.001}, "small": {"wait_share": 0.02}}},
            "Waiting for data",
            "0.10% with the default model, 2.00% with a small one",
        ),
    ],
)
def test_a_bar_that_is_missed_is_told_as_missed(
    changes: dict[str, Any], promise: str, measured: str
) -> None:
    (bar,) = [bar for bar in make_results(**changes).bars() if bar.promise.startswith(promise)]
    assert (bar.measured, bar.met) == (measured, False)
    assert f"| {measured} | **no** |" in page(make_results(**changes))


def test_a_bar_that_was_not_measured_is_not_shown() -> None:
    assert "Padding below" not in page(make_results())


def test_losses_hangs_and_errors_are_told_apart() -> None:
    text = page(make_results())
    assert "| Slow | **300 samples are missing, and nothing is said** |" in text
    assert "| Failing | no end within 60 s |" in text
    assert "| our name | an error: CorruptBlobError: blob abababababab… has 5 bytes |" in text
    assert "other batches; 31 samples lost, 4 repeated" in text
    assert "absent is left out: ModuleNotFoundError" in text


def test_the_committed_page_and_table_are_those_of_the_committed_results() -> None:
    results = Results(json.loads(COMMITTED.read_text(encoding="utf-8")))
    assert (ROOT / "docs" / "stream.md").read_text(encoding="utf-8") == page(results)
    assert readme_table(results) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_benchmark_measures_ours_from_end_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.stream.run", "--systems", "ours"]
    command += [
        "--pairs",
        "2000",
        "--rounds",
        "1",
        "--limit-s",
        "2",
        "--scale",
        "1",
        "--train-steps",
        "5",
    ]
    command += ["--work", str(tmp_path / "work"), "--results", str(tmp_path / "results.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = Results(json.loads((tmp_path / "results.json").read_text(encoding="utf-8")))
    errors = {key: told for key, told in results.measurements.items() if "error" in told}
    assert set(errors) == {"cut/ours"}, errors
    assert errors["cut/ours"]["error"].startswith("shards.errors.CorruptBlobError")
    assert len(results.rounds("read/workers/ours")) == 1
    for place in ("local", "http", "service"):
        (told,) = results.rounds(f"read/{place}/ours")
        assert told["samples"] > 2000, "epoch after epoch"
    assert results.measurements["wire/ours"]["samples"] == 20_000
    assert results.measurements["scale/1"]["samples"] == 1_000_000
    again = subprocess.run(
        [*command, "--resume", "--rounds", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 1
    assert "made with other settings" in " ".join(again.stderr.split())
    assert {"exact": True, "lost": 0, "repeated": 0}.items() <= results.measurements[
        "resume/full/0.5/ours/0"
    ].items()
    assert "| **prometheusgpt-mini** |" in page(results)
