"""Data sets that the trainer's tests read, built once; and the program, run in this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.dataset import Dataset, open_dataset
from tests.corpus import build_pairs
from tests.written import german_texts, write_dataset
from trainer.cli import main

Trainer = Callable[..., tuple[int, str, str]]


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


@pytest.fixture(scope="session")
def german_french(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Pairs of two languages that are written in the same letters."""
    folder: Path = tmp_path_factory.mktemp("german-french")
    return write_dataset(folder, german_texts(), {"src": "de", "tgt": "fr"})


@pytest.fixture(scope="session")
def german(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Texts without translations."""
    folder: Path = tmp_path_factory.mktemp("german")
    return write_dataset(folder, german_texts(alone=True), {"src": "de"})


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Trainer:
    """Runs the program in this process: its status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        output, errors = capsys.readouterr()
        return int(left.value.code or 0), output, errors

    return run
