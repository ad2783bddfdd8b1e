"""The command line → what is measured, and by which code."""

import argparse
import os
from pathlib import Path
from typing import Final

from benchmarks.environments import SystemInfo
from benchmarks.options import add_run_options

HERE: Final = Path(__file__).parent
OURS: Final = "ours"
SYSTEMS: Final = (
    SystemInfo(OURS, None, ("numpy", "sentencepiece", "zstandard")),
    SystemInfo("hf_datasets", "peers", ("datasets", "pyarrow", "tokenizers")),
    SystemInfo("litdata_optimize", "peers", ("litdata", "sentencepiece", "zstd")),
    SystemInfo("mosaic_mds", "mosaic", ("mosaicml-streaming", "sentencepiece", "numpy")),
    SystemInfo("datatrove_tokens", "datatrove", ("datatrove", "tokenizers")),
    SystemInfo("datatrove_dedup", "datatrove", ("datatrove", "tokenizers", "xxhash")),
)
NO_CORPUS: Final = (
    "error: no corpus is named, so nothing was measured; name a file of real pairs with --corpus "
    "or in PROMETHEUS_CORPUS (.jsonl with `ru` and `en`, plain, .gz or .zst)"
)
MEASURED: Final = (
    *(f"benchmarks/prepare/{name}.py" for name in ("measure", "ours_alone", "corpus", "expand")),
    *("benchmarks/prepare/systems", "shards", "dataservice"),
)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(
        description="Measure preparation beside its peers, in turns; writes results.json.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = [info.name for info in SYSTEMS]
    parser.add_argument("--pairs", type=int, help="of the corpus, from its beginning")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", type=int, default=[3000, 32000], help="vocabularies")
    parser.add_argument("--systems", nargs="*", default=names, choices=names)
    parser.add_argument(
        "--scaling-pairs",
        type=int,
        default=4_000_000,
        help="of the expanded corpus that one and two processes build; 0: none",
    )
    parser.add_argument("--without-checks", action="store_true", help="read nothing back")
    parser.add_argument("--corpus", type=Path, default=os.environ.get("PROMETHEUS_CORPUS"))
    add_run_options(parser, HERE)
    return parser.parse_args(arguments)
