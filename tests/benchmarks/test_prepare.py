"""Preparation's benchmark: its page is what was measured, and its measurements can be made."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.prepare import monitor, run, scale
from benchmarks.prepare.corpus import copy_plain, read_pairs
from benchmarks.prepare.expand import expand, read_base
from benchmarks.prepare.figures import Results
from benchmarks.prepare.monitor import Watch, look_at_disk, look_at_memory, run_watched, thinned
from benchmarks.prepare.ours_alone import reshard
from benchmarks.prepare.report import page, readme_table
from benchmarks.prepare.scale import merge
from benchmarks.prepare.systems.base import clean, cleaned, compare, keep
from dataservice.demo.corpus import demo_pairs

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "benchmarks" / "prepare" / "results.json"
SIZES = (32_000, 3_000)


def described(name: str) -> dict[str, Any]:
    told = {"name": name, "settings": "as it comes", "does": "encode, write"}
    return {**told, "versions": {"numpy": "2"}}


def prepared(elapsed_s: float) -> dict[str, Any]:
    told = {"elapsed_s": elapsed_s, "cpu_s": elapsed_s, "peak_rss_bytes": 300_000_000}
    return {**told, "written_bytes": 9_000_000}


def encoded(warm_s: float, *, equal: bool = True) -> dict[str, Any]:
    told = {"raw_s": 4.0, "cold_s": 2.0, "warm_s": warm_s, "load_s": 0.1, "equal": equal}
    return {**told, "memo_words": 60_000, "memo_bytes": 18_000_000}


def scaled(pairs: int, peak_pss_bytes: int) -> dict[str, Any]:
    return {
        "pairs": pairs,
        "kept": pairs - 1,
        "elapsed_s": pairs / 50_000,
        "verify_s": 10.0,
        "peak_pss_bytes": peak_pss_bytes,
        "peak_anonymous_bytes": peak_pss_bytes // 2,
        "high_water_bytes": peak_pss_bytes * 2,
        "peak_disk_bytes": {"work": 10**9, "store": 10**8, "all": 11 * 10**8},
        "dataset_bytes": 10**8,
        "stages_s": [["read", 3.0], ["encode", 17.0]],
        "starts": 1,
        "build_processes": 2,
        "vocab_size": 3000,
    }


def make_results(**changes: Any) -> Results:
    """Three rounds of ours and of two peers that were slower or faster together."""
    measurements: dict[str, Any] = {
        "describe/ours": described("our name"),
        "describe/slow": described("Slow"),
        "describe/quick": described("Quick"),
        "describe/absent": {"error": "ModuleNotFoundError: No module named 'absent'"},
        "scale/1": scaled(1_000_000, 500_000_000),
        "scale/50": scaled(50_000_000, 510_000_000),
    }
    for size in SIZES:
        measurements[f"check/{size}/ours"] = {"pairs": 900, "tokens": 9000, "equal": True}
        measurements[f"check/{size}/slow"] = {"pairs": 950, "tokens": 9000, "equal": False}
        measurements[f"base/{size}"] = {"pairs": 900, "text_bytes": 30_000_000}
    for number, noise in enumerate((1.0, 1.5, 4.0)):  # of the machine, for all alike
        for size in SIZES:
            measurements[f"raw/{size}/{number}"] = {"elapsed_s": 4 * noise, "cpu_s": 4.0}
            measurements[f"encode/{size}/{number}"] = encoded(0.5)
            measurements[f"prepare/{size}/ours/{number}"] = prepared(3 * noise)
            measurements[f"prepare/{size}/quick/{number}"] = prepared(10 * noise)
            measurements[f"prepare/{size}/slow/{number}"] = prepared(20 * noise)
            for change in ("shards", "tags"):
                for memo, elapsed in (("warm", 0.6), ("cold", 1.5)):
                    key = f"reshard/{size}/{change}/{memo}/{number}"
                    measurements[key] = {"elapsed_s": elapsed * noise}
            measurements[f"commands/{size}/{number}"] = {"build_s": 4.0, "verify_s": 1.0}
        measurements[f"scaling/1/{number}"] = {"build_s": 19 * noise, "verify_s": 1.0}
        measurements[f"scaling/2/{number}"] = {"build_s": 10 * noise, "verify_s": 1.0}
    machine = {"cpu": "A CPU", "cores": 2, "memory_gb": 24, "kernel": "6", "python": "3.11"}
    return Results(
        {
            "machine": {**machine, "date": "2026-11-24", "load_before": 0.1},
            "pairs": 1000,
            "text_bytes": 40_000_000,
            "rounds": 3,
            "sizes": list(SIZES),
            "scaling_pairs": 5000,
            "measurements": {**measurements, **changes},
        }
    )


def test_ratios_are_those_of_one_round() -> None:
    results = make_results()
    spread = results.ratio(("prepare/3000/quick", "elapsed_s"), ("prepare/3000/ours", "elapsed_s"))
    assert spread is not None
    assert spread.least == spread.median == spread.most == pytest.approx(10 / 3)
    assert all(bar.met for bar in results.bars()), [bar for bar in results.bars() if not bar.met]
    assert len(results.bars()) == 2 + 4 + 2 + 2 + 1 + 1


def test_a_reshard_is_measured_by_the_text_that_is_kept() -> None:
    ratio = make_results().reshard(32_000, "tags", "warm")
    assert ratio is not None
    assert ratio.median == pytest.approx(4 / 0.6 * 30 / 40)


def test_only_the_fastest_peer_counts() -> None:
    assert make_results().best_peer(3000) == "quick"
    assert make_results().systems == ["ours", "quick", "slow"]


@pytest.mark.parametrize(
    ("changes", "promise", "measured"),
    [
        (
            {f"encode/32000/{n}": encoded(0.6) for n in range(3)},
            "Encoding with a full word memo, 32k",
            "6.67 times (6.67–6.67)",
        ),
        (
            {"encode/3000/1": encoded(0.5, equal=False)},
            "Encoding with a full word memo, 3k",
            "8.00 times (8.00–8.00), with other ids",
        ),
        (
            {"encode/3000/1": {"error": "a.b.BrokenError: x"}},
            "Encoding with a full word memo, 3k",
            "failed: BrokenError: x",
        ),
        (
            {f"reshard/32000/tags/warm/{n}": {"elapsed_s": 25.0} for n in range(3)},
            "Reshard that encodes all, with a saved memo, 32k",
            "other shard size: 5.00 times (5.00–5.00); other tags: 0.18 times (0.12–0.48)",
        ),
        (
            {f"reshard/3000/shards/cold/{n}": {"elapsed_s": 25.0} for n in range(3)},
            "Reshard that encodes all, without a memo, 3k",
            "other shard size: 0.18 times (0.12–0.48); other tags: 2.00 times (2.00–2.00)",
        ),
        (
            {f"prepare/3000/ours/{n}": prepared(100) for n in range(3)},
            "The whole build and its verification, 3k",
            "0.06 times (0.04–0.16)",
        ),
        (
            {f"prepare/32000/quick/{n}": prepared(1) for n in range(3)},
            "End to end, 32k",
            "0.22 times (0.08–0.33): Quick",
        ),
        (
            {f"scaling/2/{n}": {"build_s": 19.0, "verify_s": 1.0} for n in range(3)},
            "From one to two",
            "1.50 times (1.00–4.00), 5,000 pairs",
        ),
        (
            {"scale/50": scaled(50_000_000, 600_000_000)},
            "Memory of all processes",
            "500 MB at 1 M pairs, 600 MB at 50 M pairs",
        ),
        ({"scale/50": {"error": "killed"}}, "Memory of all processes", "failed: killed"),
    ],
)
def test_a_bar_that_is_missed_is_told_as_missed(
    changes: dict[str, Any], promise: str, measured: str
) -> None:
    results = make_results(**changes)
    (bar,) = [bar for bar in results.bars() if bar.promise.startswith(promise)]
    assert (bar.measured, bar.met) == (measured, False)
    assert f"| {measured} | **no** |" in page(results)


def test_a_bar_that_was_not_measured_is_not_shown() -> None:
    results = make_results()
    for key in [key for key in results.measurements if key.startswith(("scale/", "scaling/"))]:
        del results.measurements[key]
    promises = " ".join(bar.promise for bar in results.bars())
    assert "Memory" not in promises
    assert "two processes" not in promises


def test_what_a_system_wrote_wrongly_and_what_is_left_out_is_told() -> None:
    text = page(make_results())
    assert "950, **not as they should be** |" in text
    assert "absent is left out: ModuleNotFoundError" in text


def test_a_system_that_fails_is_shown_with_its_error() -> None:
    text = page(make_results(**{"prepare/3000/slow/1": {"error": "no end within 9 s"}}))
    assert "| Slow | no end within 9 s |" in text


def test_the_committed_page_and_table_are_those_of_the_committed_results() -> None:
    results = Results(json.loads(COMMITTED.read_text(encoding="utf-8")))
    assert page(results) in (ROOT / "docs" / "prepare.md").read_text(encoding="utf-8")
    assert readme_table(results) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def corpus(tmp_path: Path) -> Iterator[Path]:
    """A few pairs, one of them twice but for its digits."""
    pairs = [
        {"ru": "Сервер работает 5 часов", "en": "The server runs for 5 hours", "author": "А"},
        {"ru": "Сервер работает 6 часов", "en": "The server runs for 6 hours", "author": None},
        {"ru": 'Кавычки "внутри"', "en": "Quotes \\ inside"},
        {"ru": " ", "en": "no source"},
    ]
    path = tmp_path / "real.jsonl"
    path.write_text("\n".join(json.dumps(pair, ensure_ascii=False) for pair in pairs) + "\n")
    yield path


def test_an_expanded_corpus_is_unique_and_the_same_every_time(corpus: Path, tmp_path: Path) -> None:
    (part,) = expand(corpus, 300, tmp_path / "a")
    (again,) = expand(corpus, 300, tmp_path / "b")
    assert part.read_bytes() == again.read_bytes()
    size = copy_plain(part, tmp_path / "plain.jsonl")
    pairs = list(read_pairs(tmp_path / "plain.jsonl"))
    assert (size.pairs, len(set(pairs))) == (300, 300)
    letters = {
        "".join(char for char in f"{src}|{tgt}" if char.isalpha() or char == "|")
        for src, tgt in pairs
    }
    assert len(letters) == 299, "the real pair that differs in digits alone, and nothing else"
    assert pairs[0] == ("Сервер работает 5 часов", "The server runs for 5 hours")
    assert {len(src.split()) for src, _ in pairs[3:]} == {3, 5}, "one name more in each"


def test_a_copy_is_written_again_only_if_it_would_be_another(corpus: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    size = copy_plain(corpus, plain)
    os.utime(plain, ns=(1, 1))
    assert copy_plain(corpus, plain) == size
    assert plain.stat().st_mtime_ns == 1
    assert copy_plain(corpus, plain, 2).pairs == 2
    assert plain.read_bytes().splitlines() == corpus.read_bytes().splitlines()[:2]
    assert sorted(tmp_path.iterdir()) == [plain, corpus]


def test_parts_that_are_there_are_not_written_again(corpus: Path, tmp_path: Path) -> None:
    (part,) = expand(corpus, 10, tmp_path / "parts")
    part.write_bytes(b"kept")
    assert expand(corpus, 10, tmp_path / "parts") == [part]
    assert part.read_bytes() == b"kept"


def test_pairs_without_text_on_one_side_are_not_expanded(corpus: Path) -> None:
    assert len(read_base(corpus).heads) == 3


@pytest.mark.parametrize(
    ("src", "tgt", "kept"),
    [
        ("Пуск", "Start", True),
        ("Start", "Start", False),
        ("Пуск", "Пуск", False),
        ("", "Start", False),
        ("Кнопка OK", "The naïve button", True),
    ],
)
def test_the_clean_of_the_peers_looks_at_scripts(src: str, tgt: str, kept: bool) -> None:
    assert keep(src, tgt) is kept


def test_the_clean_of_the_peers_makes_spaces_one_and_letters_whole() -> None:
    assert clean("\u0438\u0306\t \n x ") == "й x"
    assert cleaned([("Пуск ", "Start\n"), ("", "")]) == [("Пуск", "Start")]


def test_a_pair_in_another_order_is_no_equal_data_set() -> None:
    pairs = [([1, 2], [3]), ([4], [5, 6])]
    assert compare(pairs, pairs)["equal"]
    assert not compare(pairs[::-1], pairs)["equal"]
    assert not compare([([1], [2, 3])], [([1, 2], [3])])["equal"]


PROGRAM = """
import json, subprocess, sys, time
def say(stage): print(json.dumps({"stage": stage, "done": 1, "total": 1}), file=sys.stderr)
say("first")
child = subprocess.Popen([sys.executable, "-c", "x = bytearray(100 << 20); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
input_file = sys.argv[1]
open(input_file, "wb").write(bytes(1 << 20))
while not __import__("os").path.exists(input_file + ".seen"):
    time.sleep(0.01)
child.communicate(b"\\n")
say("second")
print("the result")
if len(sys.argv) > 2:
    print("a word of farewell", file=sys.stderr)
    sys.exit(3)
"""


def watched(folder: Path, watch: Watch, *more: str) -> str:
    """Run the program until its child's memory and its file were seen."""

    def keep_watch(seen: Watch) -> None:
        if seen.peak_pss_bytes > 100 << 20 and seen.peak_disk_bytes["work"] >= 1 << 20:
            (folder / "file.seen").touch()

    return run_watched(
        [sys.executable, "-c", PROGRAM, str(folder / "file"), *more],
        watch,
        {"work": folder},
        environment={},
        keep=keep_watch,
    )


@pytest.mark.slow
def test_memory_of_children_files_and_stages_are_seen(tmp_path: Path) -> None:
    watch = Watch()
    assert watched(tmp_path, watch) == "the result\n"
    assert watch.processes == 2
    assert 100 << 20 < watch.peak_pss_bytes <= watch.peak_rss_bytes <= watch.high_water_bytes
    assert list(watch.stages_s) == ["first", "second"]
    assert sum(watch.stages_s.values()) <= watch.elapsed_s
    before = watch.elapsed_s
    with pytest.raises(RuntimeError, match="a word of farewell"):
        watched(tmp_path, watch, "fail")
    assert watch.starts == 2
    assert watch.elapsed_s > before, "what was used before a stop counts"


LATE = """
import subprocess, sys
told = chr(10).join(['{"stage": "first"}', '{"stage": "second"}'])
late = "import os, sys\\nwhile not os.path.exists(sys.argv[1]): pass\\nprint(sys.argv[2])"
subprocess.Popen([sys.executable, "-c", late, sys.argv[1], told], stdout=sys.stderr)
"""


def test_a_stage_that_is_told_when_the_command_has_ended_is_within_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(monitor, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    end = tmp_path / "end"
    monkeypatch.setattr(subprocess.Popen, "terminate", lambda _: end.touch())
    watch = Watch()
    command = [sys.executable, "-c", LATE, str(end)]
    run_watched(command, watch, {}, environment={}, keep=lambda _: None)
    assert list(watch.stages_s) == ["first", "second"]
    assert sum(watch.stages_s.values()) <= watch.elapsed_s


@pytest.mark.slow
def test_a_command_ends_with_the_one_that_watches_it(tmp_path: Path) -> None:
    command = "file = open('alive', 'w'); print('begun', file=file, flush=True); input()"
    script = (
        "import sys; from benchmarks.prepare.monitor import Watch, run_watched;"
        f'run_watched([sys.executable, "-c", {command!r}], Watch(), {{}}, environment={{}},'
        "keep=lambda seen: None)"
    )
    os.mkfifo(tmp_path / "alive")
    watcher = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
    )
    with (tmp_path / "alive").open() as alive:
        assert alive.readline() == "begun\n"
        watcher.kill()
        assert alive.read() == "", "closed by the end of the command"
    watcher.communicate()


def test_processes_that_have_ended_are_no_error(tmp_path: Path) -> None:
    watch = Watch()
    assert look_at_memory(watch, 2**22 + 1) == 0
    assert look_at_disk(watch, {"gone": tmp_path / "gone"}) == 0


def test_a_thinned_series_keeps_its_peaks() -> None:
    samples = [(float(second), 100.0 + second % 7, 0.0) for second in range(1000)]
    few = thinned(Watch(samples=samples), most=100)
    assert len(few) <= 100
    assert {one[1] for one in few} == {106.0}


def test_new_measurements_of_scale_leave_the_others(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"pairs": 1, "measurements": {"raw/1": {}, "scale/1": {"a": 1}}}))
    merge(results, {"scale/1": {"a": 2}})
    told = json.loads(results.read_text())
    assert told == {"pairs": 1, "measurements": {"raw/1": {}, "scale/1": {"a": 2}}}


@pytest.mark.slow
def test_the_benchmark_measures_ours_from_end_to_end(tmp_path: Path) -> None:
    corpus = tmp_path / "demo.jsonl"
    pairs = ({"ru": pair.ru, "en": pair.en} for pair in demo_pairs(2000))
    corpus.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs))
    results_file = tmp_path / "results.json"
    places = ["--corpus", str(corpus), "--results", str(results_file)]
    places += ["--work", str(tmp_path / "work")]
    command = [sys.executable, "-m", "benchmarks.prepare.run", "--systems", "ours", *places]
    command += ["--rounds", "1", "--sizes", "1000", "--scaling-pairs", "3000"]
    growing = [sys.executable, "-m", "benchmarks.prepare.scale", "--pairs", "0.003", *places]
    for one in (command, [*growing, "--", "--vocab-size", "1000"]):
        done = subprocess.run(one, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    results = Results(json.loads(results_file.read_text(encoding="utf-8")))
    errors = {key: told for key, told in results.measurements.items() if "error" in told}
    assert not errors
    assert results.pairs == 2000
    assert results.measurements["check/1000/ours"]["equal"]
    assert results.measurements["encode/1000/0"]["equal"]
    ours = results.measurements["prepare/1000/ours/0"]
    assert ours["pairs"] == results.measurements["base/1000"]["pairs"] > 1000
    assert results.scale()[0]["kept"] > 2000
    assert results.scale()[0]["peak_pss_bytes"] > 20e6
    assert "| **prometheusgpt-mini** |" in page(results)
    base = tmp_path / "work" / "base" / "1000"
    shutil.rmtree(base / "work")  # the text that a reshard begins with
    request: dict[str, Any] = {"folder": str(tmp_path / "data"), "corpus": str(corpus)}
    request |= {"base": str(base), "vocab_size": 1000}
    request |= {"model": str(tmp_path / "work" / "models" / "1000.model")}
    with pytest.raises(RuntimeError, match="no reshard"):
        reshard({**request, "memo": "warm", "change": "tags"})
    again = [*command, "--resume", "--sizes", "1001"]
    refused = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "made with other settings" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("program", ["run", "scale"])
def test_a_corpus_that_is_not_named_is_asked_for(
    program: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROMETHEUS_CORPUS", raising=False)
    assert {"run": run, "scale": scale}[program].main([]) == 1
    assert "PROMETHEUS_CORPUS" in capfd.readouterr().err
