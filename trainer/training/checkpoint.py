"""Tensors and state ↔ a checkpoint folder: atomic when written, verified when read, no pickle.

checkpoints/step-00000200/  model.safetensors  training.safetensors  tokenizer.model
                            checkpoint.json    state, and the sha256 of every file and of itself
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors.torch
from torch import Tensor

from shards.manifest import canonical_json
from shards.store import disk_error, sync
from trainer.errors import CheckpointError

FORMAT_VERSION: Final = 1
INDEX: Final = "checkpoint.json"
_PREFIX: Final = "step-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint whose files have been verified."""

    folder: Path
    step: int
    state: dict[str, Any]

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Tensors on the CPU, by name."""
        return safetensors.torch.load(self.read(name))


def save_checkpoint(
    root: Path, step: int, files: Mapping[str, bytes], state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint that is there whole or not at all, also after a power cut.

    Raises:
        StoreFullError: when the disk has no room; older checkpoints are untouched.
    """
    final = root / f"{_PREFIX}{step:08d}"
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=root))
    hashes = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    }
    index = {"format_version": FORMAT_VERSION, "step": step, "files": hashes, "state": state}
    index["sha256"] = hashlib.sha256(canonical_json(index)).hexdigest()
    try:
        for name, data in {**files, INDEX: canonical_json(index)}.items():
            _write_synced(temporary / name, data)
        sync(temporary)
        temporary.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)  # the same step of the same run, written before a restart
        temporary.replace(final)
        sync(root)
    except OSError as error:
        raise disk_error(error, final) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sweep(root: Path) -> None:
    """Remove what a killed writer left; a run folder has one writer."""
    for left in root.glob(".tmp-*"):
        shutil.rmtree(left, ignore_errors=True)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Verify every file of a checkpoint.

    Raises:
        CheckpointError: naming the file that is missing or differs, and what to do.
    """
    try:
        index = json.loads((folder / INDEX).read_bytes())
        told = index.pop("sha256")
        version, step, state = index["format_version"], index["step"], index["state"]
        damaged = told != hashlib.sha256(canonical_json(index)).hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is no checkpoint: it has no {INDEX}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {folder}: {INDEX} cannot be read ({error})") from error
    if damaged:
        raise CheckpointError(f"checkpoint {folder}: {INDEX} does not match its own sha256")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {folder} has format version {version}, this program reads {FORMAT_VERSION}"
        )
    for name, info in index["files"].items():
        _check_file(folder, name, info)
    return Checkpoint(folder, step, state)


def _check_file(folder: Path, name: str, info: Mapping[str, Any]) -> None:
    try:
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {folder}: {name} is missing") from error
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"checkpoint {folder}: {name} cannot be read ({reason})") from error
    if found != info["sha256"]:
        raise CheckpointError(
            f"checkpoint {folder}: {name} has sha256 {found[:12]}, not {info['sha256'][:12]}"
        )


def list_checkpoints(root: Path) -> list[Path]:
    """The checkpoint folders of a run, newest first, verified or not."""
    return sorted((path for path in root.glob(f"{_PREFIX}*") if path.is_dir()), reverse=True)


def newest_checkpoint(root: Path) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint that is whole, and what is wrong with each newer one.

    Raises:
        CheckpointError: when there is none.
    """
    problems: list[str] = []
    for folder in list_checkpoints(root):
        try:
            return load_checkpoint(folder), problems
        except CheckpointError as error:
            problems.append(str(error))
    raise CheckpointError(
        f"{root} has no checkpoint to go on from"
        + "".join(f"; {problem}" for problem in problems)
        + "; check --run-dir, or start without --resume"
    )


def prune_checkpoints(root: Path, keep_last: int, best_step: int | None) -> None:
    """Remove all but the newest `keep_last` checkpoints and the best one."""
    for folder in list_checkpoints(root)[keep_last:]:
        if folder.name != f"{_PREFIX}{best_step or 0:08d}":
            # renamed first: a kill half-way must not leave half a checkpoint under its name
            doomed = folder.with_name(f".tmp-{folder.name}")
            with contextlib.suppress(FileNotFoundError):
                folder.replace(doomed)
                shutil.rmtree(doomed)


def set_damaged_aside(root: Path, newest_valid_step: int) -> None:
    """Rename checkpoints newer than the one resumed from: they are not its successors."""
    for folder in list_checkpoints(root):
        if folder.name > f"{_PREFIX}{newest_valid_step:08d}":
            aside = folder.with_name(f"damaged-{folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            folder.replace(aside)
