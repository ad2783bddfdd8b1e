"""Test sets → the folded keys of their sentences, which no pair of the data set may hold."""

import shutil
from pathlib import Path
from typing import Final

import numpy as np

from dataservice.prepare.filters import Side
from dataservice.prepare.mask import mask_texts
from dataservice.prepare.rows import dump_array
from dataservice.prepare.sources import parse_chunk, read_chunks
from dataservice.prepare.text.gate import clean_all
from dataservice.prepare.text.keys import fold_keys
from dataservice.prepare.text.points import CodePoints
from dataservice.prepare.work.spill import SpillFile, spill
from dataservice.settings import BuildSettings

TEST_KEYS: Final = "tests.npy"


def write_test_keys(settings: BuildSettings, folder: Path) -> SpillFile:
    """Write the keys of every sentence of the test sources, of either side, sorted, each once.

    Raises:
        SourceError: when a test source is not there or damaged.
    """
    keys = [np.zeros(0, np.uint64)]
    scratch = folder / "tests"
    for source in settings.test_sources:
        for chunk in read_chunks(source, scratch, [], settings.reading):
            pairs = parse_chunk(chunk)
            for side in (pairs.src, pairs.tgt or []):
                texts, points, _ = clean_all(side)
                keys.append(fold_keys(points))
                if settings.mask_personal:  # as the texts are that they are compared with
                    masked, _ = mask_texts(Side(texts, "", points))
                    keys.append(fold_keys(CodePoints.of(masked)))
            for column in chunk.columns:
                column.unlink()
    shutil.rmtree(scratch, ignore_errors=True)
    return spill(folder, TEST_KEYS, dump_array(np.unique(np.concatenate(keys))))
