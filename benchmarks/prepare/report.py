"""results.json → docs/prepare.md, and the table of the README.

python -m benchmarks.prepare.report      # `make bench-prepare` does it, and the plots
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.cells import NOTHING, bars_table, bold, number, rounded, spread_cell, table
from benchmarks.figures import short
from benchmarks.options import parse_report_options
from benchmarks.prepare.figures import OURS, Results, size_name
from benchmarks.prepare.sections import (
    commands_section,
    encoding_section,
    reshards_section,
    scale_section,
)
from benchmarks.report import replace_marked, settings_section

HERE: Final = Path(__file__).parent
BEGIN: Final = "<!-- from benchmarks/prepare: make bench-prepare -->"
END: Final = "<!-- end of benchmarks/prepare -->"


def page(results: Results) -> str:
    """What stands between the marks of docs/prepare.md."""
    parts = [
        _introduction(results),
        "## What is asked of it\n",
        bars_table(results.bars()),
        "## From text to a data set\n\n![MB of text a second of each system with two vocabularies, "
        "beside sentencepiece alone.](images/prepare-speed.svg)\n",
        *(_speed(results, size) for size in results.sizes),
        _does(results),
        "## Encoding alone\n",
        encoding_section(results),
        "## Reshards\n",
        reshards_section(results),
        "## Commands and processes\n",
        commands_section(results),
        "## Millions of pairs\n",
        scale_section(results),
        "## How each system was set\n",
        settings_section(results.measurements, results.systems, {"settings": "Settings"}),
        _AGAIN,
    ]
    text = "\n".join(part.rstrip("\n") + "\n" for part in parts if part)
    return f"{BEGIN}\n{text}{END}"


def _introduction(results: Results) -> str:
    machine, told = results.told["machine"], results.told
    return f"""
Written by `make bench-prepare`, which installs the peers and has each of them make a data set of the same real
text: {results.pairs:,} pairs, {results.text_bytes / 1e6:.1f} MB of UTF-8 on both sides together. In each of
{told["rounds"]} rounds every system is measured once, forth or back, in a process of its own that is pinned to one core and
told to use one thread, so that a busy machine is as busy for all. Figures are medians over the rounds, with
the least and the most; a ratio is that of two measurements of one round. Compare ratios; the figures
themselves are those of one machine: {machine["cpu"]}, {machine["cores"]} cores, {machine["memory_gb"]} GB, Linux
{machine["kernel"]}, Python {machine["python"]}, {machine["date"]}, load {machine["load_before"]:.1f} before the run.

What is timed is the whole way from a plain JSON-lines file to the written data set, once everything is
imported. A tokenizer of the size that is asked for is there already. Every peer cleans in the same way, which
is the least that its users would do, so that none is charged for filters that only ours has: Unicode NFC, white
space, and a look at the script of each side. Ours does all that a build does, deduplication, the split and
the tags among it, and its time includes `dataservice verify`, which reads every byte again. MB are those of
the text that was read, whatever a system keeps of it.
"""


def _speed(results: Results, size: int) -> str:
    raw = results.raw_speed(size)
    head = (
        *(f"{size_name(size)} pieces, one core", "MB/s", "Pairs/s", "Times raw encoding"),
        *("CPU s", "Peak memory", "On disk", "Pairs kept"),
    )
    rows = [_speed_row(results, system, size) for system in results.systems]
    if raw:
        pairs = results.speed(f"raw/{size}", results.pairs)
        cpu = results.spread(f"raw/{size}", "cpu_s")
        cells = ("sentencepiece alone, in memory", spread_cell(raw), number(pairs), "1")
        rows.append((*cells, number(cpu), NOTHING, NOTHING, NOTHING))
    return table(head, rows)


def _speed_row(results: Results, system: str, size: int) -> tuple[str, ...]:
    key = f"prepare/{size}/{system}"
    name = bold(results.name(system), system == OURS)
    errors = [told["error"] for told in results.asked(key).values() if "error" in told]
    if errors:
        return (name, short(str(errors[0])), *([NOTHING] * 6))
    check = results.measurements.get(f"check/{size}/{system}", {})
    return (
        name,
        spread_cell(results.speed(key, results.text_bytes / 1e6)),
        number(results.speed(key, results.pairs)),
        number(results.times_raw(key, size)),
        number(results.spread(key, "cpu_s")),
        _megabytes(results, key, "peak_rss_bytes"),
        _megabytes(results, key, "written_bytes"),
        _kept(check),
    )


def _megabytes(results: Results, key: str, figure: str) -> str:
    spread = results.spread(key, figure)
    return NOTHING if spread is None else f"{rounded(spread.median / 1e6)} MB"


def _kept(check: dict[str, Any]) -> str:
    if "pairs" not in check:
        return NOTHING
    return f"{check['pairs']:,}{'' if check['equal'] else ', **not as they should be**'}"


def _does(results: Results) -> str:
    lines = [
        f"- {results.name(system)}: {results.measurements[f'describe/{system}']['does']}"
        for system in results.systems
    ]
    return (
        "Each does:\n\n"
        + "\n".join(lines)
        + "\n\nWhere the last column has a number, what was written was read back once, and compared with the ids "
        "that its tokenizer gives one text after the other. Peak memory is that of the largest process.\n"
    )


_AGAIN: Final = """## Measure it yourself

```sh
export PROMETHEUS_CORPUS=pairs.jsonl.zst                              # real text, `ru` and `en`
make bench-prepare                                                    # everything
.venv/bin/python -m benchmarks.prepare.run --pairs 50000 --rounds 2   # less of it
.venv/bin/python -m benchmarks.prepare.run --resume                   # go on where a run was stopped
.venv/bin/python -m benchmarks.prepare.scale --pairs 1 10             # millions; go on by the same command
```

Each system is one small file in [benchmarks/prepare/systems](../benchmarks/prepare/systems): if one is not set as
its users would set it, say so.
"""


def readme_table(results: Results) -> str:
    """The few lines that the README shows."""
    rows = []
    for system in results.systems:
        keys = [f"prepare/{size}/{system}" for size in results.sizes]
        rows.append(
            (
                bold(results.name(system), system == OURS),
                *(number(results.speed(key, results.text_bytes / 1e6)) for key in keys),
                number(results.speed(keys[0], results.pairs)),
                number(results.times_raw(keys[0], results.sizes[0])),
            )
        )
    names = [size_name(size) for size in results.sizes]
    head = ("One core", *(f"MB/s, {name}" for name in names), "Pairs/s", "Times raw encoding")
    machine = results.told["machine"]
    return (
        f"{BEGIN}\n{table(head, rows)}\n{results.pairs:,} real pairs from text to a written data set "
        f"with {' and '.join(names)} pieces; raw encoding is sentencepiece alone, in memory; {machine['cpu']}, "
        f"{machine['date']}. How it was measured, and more: [docs/prepare.md](docs/prepare.md).\n{END}"
    )


def main() -> None:
    """Entry point."""
    options = parse_report_options(__doc__, HERE)
    results = Results(json.loads(options.results.read_text(encoding="utf-8")))
    for path, text in (("docs/prepare.md", page(results)), ("README.md", readme_table(results))):
        replace_marked(options.root / path, text)
    sys.stdout.write(f"{options.root / 'docs' / 'prepare.md'}\n")


if __name__ == "__main__":
    main()
