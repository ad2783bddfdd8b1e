"""`make demo`, with fewer steps: the main job, end to end, by the commands a user would type."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_demo_builds_serves_trains_is_killed_resumes_and_generates(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "docs" / "examples" / "demo.py")),
            *("--folder", str(folder), "--steps", "100", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    summary = json.loads(done.stdout)
    first, last = map(float, summary["training loss"].split(" → "))
    assert last < first - 2
    assert summary["steps"] == 100
    assert summary["resumed from step"] <= summary["killed after step"] < 100
    assert all(" → " in row for row in summary["translations"])
    assert Path(summary["checkpoint"], "model.safetensors").exists()
    assert "sample: " in done.stderr
