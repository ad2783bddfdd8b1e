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
    SystemInfo(OURS, None, ("torch", "numpy", "zstandard", "urllib3")),
    SystemInfo("litdata_zstd", "peers", ("litdata", "zstd")),
    SystemInfo("hf_parquet", "peers", ("datasets", "pyarrow")),
    SystemInfo("mosaic_mds", "mosaic", ("mosaicml-streaming",)),
    SystemInfo("webdataset_pairs", "peers", ("webdataset",)),
    SystemInfo("webdataset_blocks", "peers", ("webdataset",)),
    SystemInfo("energon_crude", "energon", ("megatron-energon",)),
)
MEASURED: Final = (
    *("benchmarks/stream/measure.py", "benchmarks/stream/ours_alone.py"),
    *("benchmarks/stream/corpus.py", "benchmarks/stream/systems"),
    *("shards", "trainer", "dataservice"),
)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(
        description="Measure the stream beside its peers, in turns; writes results.json.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    names = [info.name for info in SYSTEMS]
    parser.add_argument("--pairs", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=8, help="of one reading")
    parser.add_argument("--systems", nargs="*", default=names, choices=names)
    parser.add_argument(
        "--scale", nargs="*", type=int, default=[1, 10, 50], help="millions of pairs, ours alone"
    )
    parser.add_argument("--train-steps", type=int, default=100, help="0: no training")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=os.environ.get("PROMETHEUS_CORPUS"),
        help="JSON lines of real pairs, for padding; left out if not given",
    )
    add_run_options(parser, HERE)
    return parser.parse_args(arguments)
