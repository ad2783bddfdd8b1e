"""Data sets that the trainer's tests read, built once."""

from pathlib import Path

import pytest

from shards.dataset import Dataset, open_dataset
from tests.corpus import build_pairs


@pytest.fixture(scope="session")
def pairs_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A local data set of 1,000 pairs in several train and val shards."""
    folder = tmp_path_factory.mktemp("pairs")
    build_pairs(folder, 1000)
    return str(folder / "datasets" / "pairs")


@pytest.fixture(scope="session")
def pairs(pairs_url: str) -> Dataset:
    return open_dataset(pairs_url)


@pytest.fixture(scope="session")
def other_tokenizer_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same pairs under another tokenizer."""
    folder: Path = tmp_path_factory.mktemp("other")
    build_pairs(folder, 1000, vocab_size=450)
    return str(folder / "datasets" / "pairs")


@pytest.fixture(scope="session")
def authored_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pairs of three authors and two sources, in fewer shards."""
    folder: Path = tmp_path_factory.mktemp("authored")
    build_pairs(folder, 600, authors=("Anna", "Boris", "Vera"))
    return str(folder / "datasets" / "pairs")


@pytest.fixture(scope="session")
def authored(authored_url: str) -> Dataset:
    return open_dataset(authored_url)
