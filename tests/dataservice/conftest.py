"""Fixtures of this room: one small version that tests read, and copies that they may damage."""

import shutil
from pathlib import Path

import pytest

from dataservice.prepare.build import BuildResult, build
from tests.dataservice.prepare.builds import small, tagged_rows
from tests.shards.conftest import small_disk

__all__ = ["small_disk"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """A version of 700 pairs; see `built_root` for where it lies. To be read only."""
    return build(small(_built_folder(tmp_path_factory), tagged_rows(700)))


@pytest.fixture(scope="session")
def built_root(built: BuildResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the tree that holds `built`."""
    del built
    return _built_folder(tmp_path_factory) / "data" / "datasets"


def _built_folder(factory: pytest.TempPathFactory) -> Path:
    return factory.getbasetemp() / "built"


@pytest.fixture
def copied_root(built_root: Path, tmp_path: Path) -> Path:
    """A copy of the tree that a test may damage."""
    return Path(shutil.copytree(built_root, tmp_path / "datasets"))
