"""The serving benchmark: it runs end to end, and its page says what the figures say."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.machine import find_nginx
from benchmarks.serve.load import request_bytes, run
from benchmarks.serve.report import page
from benchmarks.serve.results import Results, bars

ROOT = Path(__file__).parents[2]
SERVERS = ("dataservice", "staticfiles", "route", "nginx", "plain nginx")
MIB = 1 << 20


def blob_case(clients: int, server: str, mb_per_s: list[float], **more: float) -> dict[str, Any]:
    figures = {"mb_per_s": mb_per_s, "requests_per_s": [1.0, 2.0, 3.0]}
    for name, value in ({"cpu_s_per_gb": 0.25, "peak_rss_mb": 81.0} | more).items():
        figures[name] = [value, value, value + 0.01]
    return {"what": "blob", "size": MIB, "clients": clients, "server": server, "figures": figures}


def content(**changes: Any) -> dict[str, Any]:
    """A results.json of three rounds in which every bar is met, but for the changes."""
    speeds = {"dataservice": 1000.0, "staticfiles": 400.0, "nginx": 2000.0, "plain nginx": 2000.0}
    speeds |= changes.get("speeds", {})
    cases = [
        # twice as fast in the second round, as all are when a busy machine gets quiet
        blob_case(clients, server, [speed, 2 * speed, speed], **changes.get(server, {}))
        for clients in (1, 32)
        for server, speed in speeds.items()
    ]
    rates = {"dataservice": 900.0, "route": 1000.0, "nginx": 5000.0} | changes.get("rates", {})
    for what in ("manifest", "known manifest"):
        for server, rate in rates.items():
            figures = {"requests_per_s": [rate] * 3, "cpu_us_per_request": [90.0] * 3}
            key = {"what": what, "size": 20_000, "clients": 8, "server": server}
            cases.append({**key, "figures": figures})
    return {
        "environment": {
            "date": "2026-11-24",
            "cpu": "A processor",
            "cores": 2,
            "memory_gb": 8,
            "kernel": "6.1",
            "python": "3.11.7",
            "versions": {"uvicorn": "0.54.0"},
            "load_before": 0.25,
        },
        "rounds": 3,
        "seconds": 1.0,
        "servers": {name: {"settings": "one process", "idle_rss_mb": 80.0} for name in SERVERS},
        "cases": cases,
    }


def test_bars_that_are_just_reached_are_met() -> None:
    results = Results(content(dataservice={"cpu_s_per_gb": 0.69, "peak_rss_mb": 95.9}))
    assert [bar.met for bar in bars(results)] == [True] * 6
    told = page(results)
    assert "All are met." in told
    assert "missed" not in told


@pytest.mark.parametrize(
    ("changes", "missed", "figure"),
    [
        ({"speeds": {"dataservice": 996.0}}, "`StaticFiles`, or more", "2.49 times"),
        ({"dataservice": {"cpu_s_per_gb": 0.71}}, "CPU s/GB", "0.71"),
        ({"dataservice": {"peak_rss_mb": 97.0}}, "memory is flat", "17.0 MB"),
        ({"rates": {"dataservice": 890.0}}, "bare Starlette route", "0.89 times"),
        ({"rates": {"dataservice": 890.0}}, "(304)", "0.89 times"),
        ({"speeds": {"nginx": 1780.0}}, "plain nginx", "0.89 times"),
    ],
)
def test_a_missed_bar_is_told_as_missed(changes: dict[str, Any], missed: str, figure: str) -> None:
    told = page(Results(content(**changes)))
    (line,) = [line for line in told.splitlines() if missed in line and "**missed**" in line]
    assert figure in line
    assert "All are met" not in told


def test_one_bad_case_among_good_ones_misses_the_bar() -> None:
    changed = content()
    changed["cases"][4]["figures"]["mb_per_s"] = [900.0, 1800.0, 900.0]
    assert [bar.met for bar in bars(Results(changed))] == [False, True, True, True, True, True]


def test_a_ratio_is_that_of_measurements_in_the_same_round() -> None:
    changed = content()
    changed["cases"][0]["figures"]["mb_per_s"] = [800.0, 1600.0, 1200.0]
    ratio = Results(changed).ratio("blob", (MIB, 1), "dataservice", "staticfiles")
    assert (ratio.least, ratio.median, ratio.most) == (2.0, 2.0, 3.0)


@pytest.mark.parametrize("speed", ["speeds", "rates"])
def test_a_peer_that_did_nothing_is_an_error_and_no_bar_that_is_met(speed: str) -> None:
    peer = {"speeds": "staticfiles", "rates": "route"}[speed]
    with pytest.raises(ValueError, match=f"{peer} has .* = 0 in a round .*measure again"):
        page(Results(content(**{speed: {peer: 0.0}})))


def test_the_page_has_the_figures_the_machine_and_the_settings() -> None:
    told = page(Results(content()))
    assert "| 1 MiB | 32 | **data service** | 1,000 (1,000–2,000) | 2.5 (2.5–2.5) | 0.25 |" in told
    assert "| 20 kB, known: 304 | 8 | nginx in front | 5,000 (5,000–5,000) | 5.00" in told
    assert "A processor, 2 cores, 8 GB" in told
    assert "3 rounds of 1 s" in told
    assert told.count("| one process | 80 |") == len(SERVERS)


@pytest.mark.parametrize(("load", "busy"), [(0.25, False), (1.0, False), (1.1, True)])
def test_the_page_warns_of_a_machine_that_was_busy(load: float, busy: bool) -> None:
    changed = content()
    changed["environment"]["load_before"] = load
    assert ("busy with other work" in page(Results(changed))) == busy


def test_the_page_in_docs_is_that_of_the_results() -> None:
    results = Results.read(ROOT / "benchmarks" / "serve" / "results.json")
    assert (ROOT / "docs" / "serving.md").read_text(encoding="utf-8") == page(results)


class Answering(BaseHTTPRequestHandler):
    """Answers on one connection for as long as it is asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def test_an_answer_that_comes_after_the_time_is_waited_for() -> None:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        requests = [request_bytes("/", None)]
        counts = run(
            ("127.0.0.1", server.server_port), requests, clients=1, seconds=0.0, status=b"200"
        )
        server.shutdown()
        thread.join()
    assert counts["answers"] == 1
    assert counts["seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("with_nginx", [False, True])
def test_the_benchmark_runs_from_end_to_end(tmp_path: Path, with_nginx: bool) -> None:
    if with_nginx and find_nginx() is None:
        pytest.fail("nginx is not installed; CONTRIBUTING.md says that some tests need it")
    small = ["--rounds", "1", "--seconds", "0.2", "--clients", "1", "3"]
    small += ["--blob-bytes", "70000", "--manifest-bytes", "2000", "--out", "results.json"]
    small += [] if with_nginx else ["--without-nginx"]
    for module, arguments in (
        ("run", small),
        ("report", ["--results", "results.json", "--out", "page.md"]),
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.serve.{module}", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    servers = SERVERS if with_nginx else SERVERS[:3]
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert tuple(found["servers"]) == servers
    moved = {case["server"]: case["figures"]["requests_per_s"] for case in found["cases"]}
    assert all(rate > 0 for (rate,) in moved.values())
    assert ("| nginx in front |" in (tmp_path / "page.md").read_text("utf-8")) == with_nginx
