"""results.json → docs/stream.md, and the table of the README.

python -m benchmarks.stream.report      # `make bench-stream` does it, and the plots
"""

import json
import sys
from pathlib import Path
from typing import Final

from benchmarks.cells import NOTHING, bars_table, bold, number, seconds, spread_cell, table
from benchmarks.figures import Spread, short
from benchmarks.options import parse_report_options
from benchmarks.report import replace_marked, settings_section
from benchmarks.stream.figures import BLOCKS, OURS, SHARES, Results

HERE: Final = Path(__file__).parent
README_BEGIN: Final = "<!-- from benchmarks/stream: make bench-stream -->"
README_END: Final = "<!-- end -->"


def page(results: Results) -> str:
    """The whole of docs/stream.md."""
    parts = [
        _introduction(results),
        "## What is asked of it\n",
        bars_table(results.bars()),
        "## Speed\n\n![Samples a second of each system, from a folder, over HTTP and with two loader "
        "workers, on a logarithmic axis.](images/stream-speed.svg)\n",
        _speed(results),
        "## Going on in the middle of an epoch\n\n![Seconds from a restart to the first batch, of "
        "each system, on a logarithmic axis.](images/stream-resume.svg)\n",
        _restarts(results),
        "## A file that was cut\n",
        _cuts(results),
        "## Size\n",
        _sizes(results),
        "## Memory\n\n![Peak memory while one, ten and fifty million pairs are read, beside "
        "the size of the data.](images/stream-memory.svg)\n",
        _scale(results),
        "## How each system was set\n",
        settings_section(
            results.measurements,
            results.systems,
            {"settings": "Settings", "resume": "Resume by"},
        ),
        _AGAIN,
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _introduction(results: Results) -> str:
    machine, told = results.told["machine"], results.told
    return f"""# The stream beside its peers

Written by `make bench-stream`, which installs the peers, writes the same {told["pairs"]:,} synthetic pairs of
token ids in the form that each of them recommends, and reads them in turns: in each of {told["rounds"]} rounds
every system is measured once, in a process of its own, so that a busy machine is as busy for all. Figures
are medians over the rounds, with the least and the most. Compare ratios; the figures themselves are those of
one machine: {machine["cpu"]}, {machine["cores"]} cores, {machine["memory_gb"]} GB, Linux {machine["kernel"]},
Python {machine["python"]}, {machine["date"]}, load {machine["load_before"]:.1f} before the run.

What is timed is the way from stored shards to shuffled batches of 32, padded, as int64 torch tensors, on one
core; the file server of all, nginx, has the other. A reading lasts {told["limit_s"]:.0f} seconds, epoch after epoch, and
all of it counts: starting, and the first batch. Every system hands over NumPy arrays, of which whoever reads
makes the tensors, since tensors that cross from a loader worker would cost each of them a file. Ours verifies
every byte and cuts batches by length; the peers, as they come, do neither.
"""


def _speed(results: Results) -> str:
    head = (
        *("", "Folder, samples/s", "HTTP, samples/s", "Two workers, samples/s", "HTTP, tokens/s"),
        *("First batch, HTTP", "First batch, workers", "Peak memory"),
    )
    rows = [
        (
            bold(results.name(system), system == OURS),
            *(_speed_of(results, place, system) for place in ("local", "http", "workers")),
            number(results.spread(f"read/http/{system}", "tokens_per_s")),
            *(
                seconds(results.spread(f"read/{place}/{system}", "first_batch_s"))
                for place in ("http", "workers")
            ),
            _megabytes(results.spread(f"read/local/{system}", "peak_rss_bytes")),
        )
        for system in results.systems
    ]
    return table(head, rows) + _speed_notes(results)


def _megabytes(spread: Spread | None) -> str:
    return NOTHING if spread is None else f"{spread.median / 1e6:,.0f} MB"


def _speed_of(results: Results, place: str, system: str) -> str:
    if error := results.error(f"read/{place}/{system}"):
        return short(error)
    if place == "http" and not results.measurements[f"describe/{system}"]["reads_http"]:
        return "reads no HTTP"
    return spread_cell(results.spread(f"read/{place}/{system}", "samples_per_s"))


def _speed_notes(results: Results) -> str:
    """What the table cannot say."""
    notes = ""
    if service := results.spread(f"read/service/{OURS}", "samples_per_s"):
        notes += f"\nFrom `dataservice serve` in place of nginx ours reads {spread_cell(service)} samples/s.\n"
    ours = results.spread(f"read/http/{OURS}", "samples_per_s")
    blocks = results.spread(f"read/http/{BLOCKS}", "samples_per_s")
    if ours and blocks:
        notes += (
            f"\n{results.name(BLOCKS)}, is our own form of a shard read by the stock library: it is "
            "shown to tell the form from the reader, and is no recommendation of its authors. Over HTTP "
            f"ours is {ours.median / blocks.median:.1f} times as fast.\n"
        )
    best = [
        spread
        for system in results.systems
        for place in ("local", "workers")
        if system not in (OURS, BLOCKS)
        and (spread := results.spread(f"read/{place}/{system}", "samples_per_s"))
    ]
    workers = results.spread(f"read/workers/{OURS}", "samples_per_s")
    if best and workers:
        peer = max(best, key=lambda one: one.median)
        notes += (
            "\nLoader workers slow down every fast loader, since all that crosses between processes is "
            "copied: ours needs none, threads do its work. With two of them it is "
            f"{workers.median / peer.median:.1f} times as fast as the best peer is in whichever of the "
            "two ways suits that better.\n"
        )
    return notes


def _sizes(results: Results) -> str:
    rows = [
        (
            bold(results.name(system), system == OURS),
            number(results.spread(f"write/full/{system}", "bytes_per_pair")),
            number(results.spread(f"wire/{system}", "wire_bytes_per_pair")),
            number(results.spread(f"write/full/{system}", "written_per_s")),
        )
        for system in results.systems
    ]
    return table(("", "Bytes a pair on disk", "On the wire", "Written a second of CPU"), rows)


def _restarts(results: Results) -> str:
    rows: list[tuple[str, ...]] = []
    for system in results.systems:
        if (error := results.error(f"reference/small/{system}")) is not None:
            rows.append((results.name(system), NOTHING, NOTHING, f"not measured: {short(error)}"))
            continue
        rows.append(
            (
                bold(results.name(system), system == OURS),
                *(
                    seconds(results.spread(f"resume/small/{share}/{system}", "resume_s"))
                    for share in SHARES
                ),
                _continuation(results, system),
            )
        )
    return table(("", "After 50 %", "After 90 %", "What follows"), rows) + (
        "\nOver HTTP (a system that reads none: from a folder), on a fifth of the pairs, with an empty cache. In "
        "the first round the whole rest of the epoch is compared with the epoch that was not disturbed, later "
        "the next 200 batches. The bar above is measured on all pairs.\n"
    )


def _continuation(results: Results, system: str) -> str:
    found = [one for share in SHARES for one in results.rounds(f"resume/small/{share}/{system}")]
    if not found:
        return f"error: {short(results.error(f'resume/small/0.5/{system}') or '')}"
    lost = max((one.get("lost", 0) for one in found), default=0)
    repeated = max((one.get("repeated", 0) for one in found), default=0)
    text = "exact" if all(one["exact"] for one in found) else "other batches"
    if lost or repeated:
        text += f"; {lost:,} samples lost, {repeated:,} repeated"
    if error := results.error(f"resume/small/0.9/{system}"):
        text += f"; after 90 %: {short(error)}"
    return text


def _cuts(results: Results) -> str:
    """Each system's largest file, without its last third."""
    rows = []
    whole = {
        system: max(
            (one["distinct"] for one in results.rounds(f"reference/small/{system}")), default=0
        )
        for system in results.systems
    }
    for system in results.systems:
        found = results.rounds(f"cut/{system}")
        if error := results.error(f"cut/{system}"):
            outcome = f"{'' if error.startswith('no end') else 'an error: '}{short(error)}"
        elif not found:
            outcome = NOTHING
        else:
            missing = max(whole.values()) - found[0]["samples"]
            outcome = (
                f"**{missing:,} samples are missing, and nothing is said**"
                if missing
                else "as many samples as there are"
            )
        rows.append((results.name(system), outcome))
    return table(("", "The largest file lacks its last third"), rows)


def _scale(results: Results) -> str:
    rows = []
    runs = [
        one
        for key, one in results.measurements.items()
        if key.startswith("scale/") and "error" not in one
    ]
    for one in sorted(runs, key=lambda one: one["samples"]):
        size = one["samples"] * one["bytes_per_pair"]
        rows.append(
            (
                f"{one['samples']:,}",
                f"{size / 1e9:.2f} GB",
                f"{one['peak_rss_bytes'] / 1e6:,.0f} MB",
                f"{one['samples_per_s']:,.0f}",
                f"{one['first_batch_s']:.3f} s",
            )
        )
    return table(("Pairs", "On disk", "Peak memory", "Samples/s", "First batch"), rows) + (
        "\nOne epoch each, from a folder, on one core; "
        "[test_memory.py](../tests/trainer/stream/test_memory.py) reads a small set for 200 epochs.\n"
    )


_AGAIN: Final = """## Measure it yourself

```sh
make bench-stream                                                     # everything: half an hour
.venv/bin/python -m benchmarks.stream.run --pairs 100000 --rounds 2   # less of it
.venv/bin/python -m benchmarks.stream.run --resume                    # go on where a run was stopped
.venv/bin/python benchmarks/stream/throughput.py URL …                # ours alone, on your own data sets
```

It needs nginx, and about 15 GB of disk for a while. `--corpus FILE.jsonl` adds the padding of real text of your
own. Each system is one small file in
[benchmarks/stream/systems](../benchmarks/stream/systems): if one is not set as its users would set it, say so.
"""


def readme_table(results: Results) -> str:
    """The few lines that the README shows."""
    rows = []
    for system in results.systems:
        resume = results.spread(f"resume/small/0.5/{system}", "resume_s")
        told = _continuation(results, system) if resume else NOTHING
        rows.append(
            (
                bold(results.name(system), system == OURS),
                number(results.spread(f"read/http/{system}", "samples_per_s")),
                number(results.spread(f"read/local/{system}", "samples_per_s")),
                seconds(results.spread(f"read/http/{system}", "first_batch_s")),
                f"{seconds(resume)}, {told.split(';')[0]}" if resume else NOTHING,
            )
        )
    head = ("One core", "Samples/s, HTTP", "Samples/s, folder", "First batch", "Resume at 50 %")
    machine = results.told["machine"]
    return (
        f"{README_BEGIN}\n{table(head, rows)}\n{results.told['pairs']:,} pairs to shuffled, padded "
        f"batches of 32 as tensors; {machine['cpu']}, {machine['date']}. How it was measured, and "
        f"more: [docs/stream.md](docs/stream.md).\n{README_END}"
    )


def main() -> None:
    """Entry point."""
    options = parse_report_options(__doc__, HERE)
    results = Results(json.loads(options.results.read_text(encoding="utf-8")))
    (options.root / "docs" / "stream.md").write_text(page(results), encoding="utf-8")
    replace_marked(options.root / "README.md", readme_table(results))
    sys.stdout.write(f"{options.root / 'docs' / 'stream.md'}\n")


if __name__ == "__main__":
    main()
