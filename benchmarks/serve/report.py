"""results.json → docs/serving.md: every figure and every verdict in it is computed from there."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.figures import Bar, Spread
from benchmarks.serve.results import Results, What, bars

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parents[1] / "docs" / "serving.md"
NAMES: Final = {
    "dataservice": "**data service**",
    "staticfiles": "Uvicorn `StaticFiles`",
    "route": "bare Starlette route",
    "nginx": "nginx in front",
    "plain nginx": "plain nginx",
}
_BUSY_SHARE: Final = 0.5
_INTRO: Final = """\
# How fast data sets are served

How fast blobs and manifests leave the [data service](service.md), beside its peers on the same
machine and files. `make bench-serve` measures again and writes this page and its plots anew;
nothing on it is typed by hand.
"""
_NOTES: Final = """\
## How it is measured

- All servers run at once over one folder of random bytes, which is in the page cache. Each round
  measures each of them for a moment, in turn, forth and back, so that a busy machine is as busy
  for all. Figures are medians over the rounds, with the least and the most in brackets. A ratio is
  that of two measurements of one round.
- Before the first round every server has sent every kind of file with the right sha256.
- Clients are keep-alive connections of one process on the same machine, which drops the bodies in
  the kernel. So a network is not measured, and clients and server share the cores.
- CPU is user and kernel time of the server's processes, from `/proc`. Memory is what is resident;
  growth is the most at any time above the server before its first request.
- nginx has no service behind it here: an answer that is not its own would be an error.

## Again on your machine

```sh
make bench-serve       # about 7 minutes; needs Linux and nginx
```

It makes a virtual environment of its own. `apt-get install --no-install-recommends nginx` installs
an nginx; without one, and for fewer or longer rounds:

```sh
.venv-bench-serve/bin/python -m benchmarks.serve.run --without-nginx --rounds 3 --seconds 2
.venv-bench-serve/bin/python -m benchmarks.serve.report
.venv-bench-serve/bin/python -m benchmarks.serve.plots
```

The figures of each round are in [results.json](../benchmarks/serve/results.json).
"""


def page(results: Results) -> str:
    """The whole document."""
    parts = [_INTRO, _verdicts(bars(results)) + _caution(results)]
    parts.append("![Blobs: MB/s and CPU by number of clients](images/serving-blobs.svg)\n")
    parts.append("## Blobs\n\n" + _table(_blob_rows(results)))
    parts.append("![Manifests: requests/s](images/serving-manifests.svg)\n")
    parts.append("## Manifests\n\n" + _table(_manifest_rows(results)))
    parts.append("## Servers and machine\n\n" + _table(_server_rows(results)) + _machine(results))
    parts.append(_NOTES)
    return "\n".join(parts)


def _verdicts(found: Sequence[Bar]) -> str:
    rows = [("Promise, worst case", "Measured", "")]
    rows += [(bar.promise, bar.measured, "met" if bar.met else "**missed**") for bar in found]
    missed = sum(not bar.met for bar in found)
    told = "All are met." if not missed else f"{missed} of {len(found)} are missed."
    return f"{_table(rows)}\n{told}\n"


def _caution(results: Results) -> str:
    """What a reader must know of a machine that had other work to do."""
    load, cores = results.environment["load_before"], results.environment["cores"]
    if load <= cores * _BUSY_SHARE:
        return ""
    return (
        f"\nThe machine was busy with other work (load average {load:.1f} on {cores} cores before "
        "the first measurement), so the speeds and their ratios decide little: measure again on a "
        "quiet one. CPU and memory are disturbed less.\n"
    )


def _blob_rows(results: Results) -> Iterator[tuple[str, ...]]:
    yield (
        *("Blob", "Clients", "Server", "MB/s", "× `StaticFiles`", "CPU s/GB"),
        *("Peak MB", "Growth MB"),
    )
    for load in results.loads("blob"):
        for server in results.servers_of("blob"):
            ratio = results.ratio("blob", load, server, "staticfiles")
            yield (
                size_text(load[0]),
                str(load[1]),
                NAMES[server],
                _spread(results.spread("blob", load, server, "mb_per_s"), "{:,.0f}"),
                "1" if server == "staticfiles" else _spread(ratio, "{:.1f}"),
                f"{results.spread('blob', load, server, 'cpu_s_per_gb').median:.2f}",
                f"{max(results.values('blob', load, server, 'peak_rss_mb')):.0f}",
                f"{results.growth_mb(load, server):.1f}",
            )


def _manifest_rows(results: Results) -> Iterator[tuple[str, ...]]:
    yield ("Request", "Clients", "Server", "Requests/s", "× route", "CPU µs a request")
    kinds: tuple[tuple[What, str], ...] = (("manifest", "{}"), ("known manifest", "{}, known: 304"))
    for what, form in kinds:
        for load in results.loads(what):
            for server in results.servers_of(what):
                ratio = results.ratio(what, load, server, "route")
                yield (
                    form.format(size_text(load[0])),
                    str(load[1]),
                    NAMES[server],
                    _spread(results.spread(what, load, server, "requests_per_s"), "{:,.0f}"),
                    "1" if server == "route" else _spread(ratio, "{:.2f}"),
                    f"{results.spread(what, load, server, 'cpu_us_per_request').median:.0f}",
                )


def _server_rows(results: Results) -> Iterator[tuple[str, ...]]:
    yield ("Server", "Settings", "Idle MB")
    for name, server in results.servers.items():
        yield (NAMES[name], server["settings"], f"{server['idle_rss_mb']:.0f}")


def _machine(results: Results) -> str:
    facts = results.environment
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"\n{facts['date']}; {facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, "
        f"Linux {facts['kernel']}, Python {facts['python']}; {versions}. {results.rounds} rounds "
        f"of {results.seconds:g} s for each case; load average {facts['load_before']:.1f} before "
        "the first.\n"
    )


def size_text(num_bytes: int) -> str:
    """A size as a reader says it."""
    if num_bytes % (1 << 20) == 0:
        return f"{num_bytes >> 20} MiB"
    return f"{num_bytes / 1000:g} kB"


def _spread(spread: Spread, form: str) -> str:
    least, most = form.format(spread.least), form.format(spread.most)
    return f"{form.format(spread.median)} ({least}–{most})"


def _table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.json")
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    try:
        told = page(Results.read(options.results))
    except ValueError as error:
        sys.exit(f"{options.results}: {error}")
    options.out.write_text(told, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
