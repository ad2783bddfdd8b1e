"""Figures → the sections of docs/prepare.md that are about ours alone."""

from typing import Final

from benchmarks.cells import NOTHING, number, seconds, spread_cell, table
from benchmarks.prepare.figures import CHANGES, Results, size_name

_MEMOS: Final = {
    "reused": "shards of the last version",
    "warm": "a saved memo alone",
    "cold": "nothing",
}


def encoding_section(results: Results) -> str:
    """sentencepiece beside the word memo."""
    rows = []
    for size in results.sizes:
        key = f"encode/{size}"
        cells = [size_name(size)]
        for figure in ("raw_s", "cold_s", "warm_s"):
            cells.append(spread_cell(results.speed(key, results.text_bytes / 1e6, figure)))
        ratios = [results.ratio((key, "raw_s"), (key, one)) for one in ("cold_s", "warm_s")]
        words, saved = results.spread(key, "memo_words"), results.spread(key, "memo_bytes")
        cells += [number(ratio) for ratio in ratios]
        cells.append(f"{words.median:,.0f}" if words else NOTHING)
        cells.append(f"{saved.median / 1e6:.1f} MB" if saved else NOTHING)
        cells.append(seconds(results.spread(key, "load_s")))
        rows.append(cells)
    head = (
        *("Pieces", "sentencepiece, MB/s", "Empty memo, MB/s", "Full memo, MB/s"),
        *("Empty, times", "Full, times", "Words", "Saved", "Loaded in"),
    )
    return table(head, rows) + (
        "\nThe ids of all sentences are compared with sentencepiece's, every time. A full memo is one "
        "that has seen the text, was saved, and was loaded again.\n"
    )


def reshards_section(results: Results) -> str:
    """What a change of an existing data set takes."""
    rows = []
    for size in results.sizes:
        kept = results.measurements.get(f"base/{size}", {}).get("text_bytes", 0)
        for change, what in CHANGES.items():
            for memo, saved in _MEMOS.items():
                key = f"reshard/{size}/{change}/{memo}"
                rows.append(
                    (
                        *(size_name(size), what, saved),
                        seconds(results.spread(key, "elapsed_s")),
                        spread_cell(results.speed(key, kept / 1e6)),
                        number(results.reshard(size, change, memo)),
                    )
                )
    head = ("Pieces", "What is other", "Encoded by", "Took", "MB/s", "Times raw encoding")
    return table(head, rows) + (
        "\nOf a data set whose cleaned text is kept, with the same tokenizer. MB are those of the text that it keeps, and raw "
        "encoding is that of as much text.\n"
    )


def commands_section(results: Results) -> str:
    """The programs as a user runs them, by one process and by two."""
    rows = [
        (
            f"{results.pairs:,} pairs, {size_name(size)} pieces, one process",
            *(
                seconds(results.spread(f"commands/{size}", figure))
                for figure in ("build_s", "verify_s")
            ),
        )
        for size in results.sizes
    ]
    rows += [
        (
            f"{results.told['scaling_pairs']:,} pairs, {processes}",
            *(
                seconds(results.spread(f"scaling/{number_of}", figure))
                for figure in ("build_s", "verify_s")
            ),
        )
        for number_of, processes in ((1, "one process, one core"), (2, "two processes, two cores"))
        if results.asked(f"scaling/{number_of}")
    ]
    return table(("", "`dataservice build`", "`dataservice verify`"), rows) + (
        "\nAs a user runs them: the start of Python is part of it. The larger corpus is the real one, expanded as below.\n"
    )


def scale_section(results: Results) -> str:
    """Whole builds of millions of pairs."""
    runs = results.scale()
    if not runs:
        return "Not measured in this run: `python -m benchmarks.prepare.scale`.\n"
    rows = [
        (
            f"{one['pairs']:,}",
            f"{one['elapsed_s']:,.0f} s",
            f"{one['pairs'] / one['elapsed_s']:,.0f}",
            f"{one['verify_s']:,.0f} s",
            f"{one['peak_pss_bytes'] / 1e6:,.0f} MB",
            f"{one['peak_anonymous_bytes'] / 1e6:,.0f} MB",
            f"{one['high_water_bytes'] / 1e6:,.0f} MB",
            f"{one['peak_disk_bytes']['work'] / 1e9:.2f} GB",
            f"{one['dataset_bytes'] / 1e9:.2f} GB",
            f"{one['kept']:,}",
        )
        for one in runs
    ]
    head = (
        *("Pairs", "Build", "Pairs/s", "Verify", "Peak memory (PSS)", "of it anonymous"),
        *("High-water marks", "Peak of work folder", "Data set", "Kept"),
    )
    told = dict.fromkeys(stage for one in runs for stage, _ in one["stages_s"])
    stages = [stage for stage in told if not stage.startswith("disk")]
    times = [
        (
            f"{one['pairs']:,}",
            *(f"{dict(one['stages_s']).get(stage, 0):,.1f} s" for stage in stages),
        )
        for one in runs
    ]
    stopped = [one for one in runs if one["starts"] > 1]
    note = "".join(
        f"The build of {one['pairs']:,} pairs was stopped on the way and went on: {one['starts']} starts. "
        for one in stopped
    )
    build = runs[-1]
    return (
        "![Peak memory of all processes, and the time of a build, over the number of pairs.]"
        "(images/prepare-scale.svg)\n\n"
        + table(head, rows)
        + f"\nBuilt by {build['build_processes']} processes with {build['vocab_size']:,} pieces, from compressed "
        "parts of a million pairs. The corpus is the real one over and over, with an invented name in every pair, so "
        "that all are unique; lengths and the other words are real. Memory is the proportional set size of all "
        "processes of the build, four times a second: a page that several share counts once. What may have gone "
        f"unseen between two looks is bounded by the sum of the kernel's high-water marks. {note}Time by stage; "
        "while sources are read, by the stage that told last:\n\n"
        + table(("Pairs", *stages), times)
    )
