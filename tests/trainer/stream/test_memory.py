"""Memory does not grow with what was read: neither over epochs nor over windows."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource, sys
from shards.dataset import open_dataset
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.order import BatchBudget

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

url, epochs, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = StreamConfig(budget=BatchBudget(sequences=32), window_samples=300, epochs=epochs)
marks, epoch = [], 0
for batch in BatchStream(open_dataset(url), config):
    if batch.cursor.epoch != epoch:
        epoch = batch.cursor.epoch
        if epoch % every == 0:
            marks.append(resident_bytes())
print(json.dumps(marks))
"""


@pytest.mark.slow
def test_memory_is_flat_over_two_hundred_epochs(pairs_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, pairs_url, "200", "20"],
        capture_output=True,
        text=True,
        check=True,
    )
    marks = json.loads(done.stdout)
    assert len(marks) == 10
    # by the second mark every pool of the allocator has its size
    assert max(marks[1:]) - marks[1] < 6 << 20, [mark >> 20 for mark in marks]
