"""A checkpoint is whole or not there, any damage to it is named, and none of it is pickled."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from shards.errors import StoreFullError
from trainer.errors import CheckpointError
from trainer.training.checkpoint import (
    INDEX,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    prune_checkpoints,
    save_checkpoint,
    set_damaged_aside,
)

FILES = {
    "model.safetensors": safetensors.torch.save({"weight": torch.arange(6.0)}),
    "tokenizer.model": b"pieces",
}
STATE = {"step": 7, "cursor": [0, 1, 2], "name": "имя"}


def save(root: Path, *steps: int) -> list[Path]:
    return [save_checkpoint(root, step, FILES, STATE) for step in steps]


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    (folder,) = save(tmp_path, 7)
    checkpoint = load_checkpoint(folder)
    assert checkpoint.state == STATE
    assert checkpoint.read("tokenizer.model") == b"pieces"
    assert checkpoint.tensors("model.safetensors")["weight"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", [*FILES, INDEX])
def test_every_flipped_bit_is_noticed(tmp_path: Path, name: str) -> None:
    (folder,) = save(tmp_path, 7)
    data = (folder / name).read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        (folder / name).write_bytes(changed)
        with pytest.raises(CheckpointError, match="step-00000007"):
            load_checkpoint(folder)
    (folder / name).write_bytes(data)
    load_checkpoint(folder)


@pytest.mark.parametrize("name", [*FILES, INDEX])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "folder"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    tmp_path: Path, name: str, damage: str
) -> None:
    _, newest = save(tmp_path, 3, 7)
    if damage in ("missing", "folder"):
        (newest / name).unlink()
        if damage == "folder":
            (newest / name).mkdir()
    else:
        data = (newest / name).read_bytes()
        (newest / name).write_bytes(data[: len(data) // 2] if damage == "cut" else b"")
    checkpoint, problems = newest_checkpoint(tmp_path)
    assert checkpoint.step == 3
    assert len(problems) == 1
    assert "step-00000007" in problems[0]
    set_damaged_aside(tmp_path, checkpoint.step)
    assert [folder.name for folder in list_checkpoints(tmp_path)] == ["step-00000003"]
    assert (tmp_path / "damaged-step-00000007").is_dir(), "set aside, not deleted"


def test_no_checkpoint_at_all_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint to go on from"):
        newest_checkpoint(tmp_path / "nowhere")


def test_another_format_version_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.training.checkpoint.FORMAT_VERSION", 2)
    (folder,) = save(tmp_path, 7)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format version 2, this program reads 1"):
        load_checkpoint(folder)


def test_the_last_ones_and_the_best_one_are_kept(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4, 5)
    prune_checkpoints(tmp_path, keep_last=2, best_step=2)
    names = [folder.name for folder in list_checkpoints(tmp_path)]
    assert names == ["step-00000005", "step-00000004", "step-00000002"]
    assert not list(tmp_path.glob(".tmp-*"))


def test_the_same_step_may_be_written_again(tmp_path: Path) -> None:
    save(tmp_path, 5, 5)
    assert load_checkpoint(tmp_path / "step-00000005").step == 5


@pytest.mark.parametrize("call", range(12))
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failure_at_any_write_leaves_the_older_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int
) -> None:
    """ENOSPC at the n-th fsync or rename: then either the old or the new one is the newest."""
    save(tmp_path, 3)
    calls = iter(range(10**6))
    owner = os if function == "fsync" else Path
    original = getattr(owner, function)

    def failing(*arguments: object) -> object:
        if next(calls) == call:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(owner, function, failing)
    failed = False
    try:
        save(tmp_path, 7)
    except StoreFullError as error:
        failed = True
        assert "no space left" in str(error)
    monkeypatch.undo()
    checkpoint, problems = newest_checkpoint(tmp_path)
    assert not problems
    assert checkpoint.step in ((3, 7) if failed else (7,))
    assert not list(tmp_path.glob(".tmp-*"))
