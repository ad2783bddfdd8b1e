"""docs/configuration.md is what the code says, and names every variable of the Compose files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"


def test_the_tables_of_settings_are_those_of_the_code() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker/gpu.yml"])
def test_every_variable_of_the_compose_files_is_on_the_page(file: str) -> None:
    used = set(re.findall(r"PROMETHEUS_\w+|PIP_\w+", (ROOT / file).read_text(encoding="utf-8")))
    page = PAGE.read_text(encoding="utf-8")
    assert {name for name in used if f"`{name}`" not in page} == set()
