"""A data set version → text files with tags: what was encoded, read back from the shards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from dataservice.errors import BuildError
from dataservice.prepare.tokenizer import load_tokenizer
from shards.cli.console import Report, silent
from shards.dataset import Dataset
from shards.manifest import Split
from shards.store import disk_error

TagSides = Literal["both", "src", "none"]


def export_text(
    dataset: Dataset, folder: Path, *, tags: TagSides = "both", report: Report = silent
) -> dict[str, int]:
    """Write `{split}_{language}.txt` for every split, line N of one translating line N of another.

    Texts without a translation are one file a split.

    The folder appears whole or not at all. Returns the number of lines by file.

    Raises:
        BuildError: when the folder is there already and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise BuildError(
            f"folder {folder} is not empty; nothing was exported, so that nothing is overwritten; "
            "name another folder or empty this one"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".export-", dir=folder.parent))
    try:
        lines = {
            name: number
            for split in dataset.manifest.splits
            for name, number in _export_split(dataset, split, temporary, tags, report).items()
        }
        temporary.chmod(0o755)
        temporary.replace(folder)
    except OSError as error:
        raise disk_error(error, folder / "export") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return lines


def _export_split(
    dataset: Dataset, split: Split, folder: Path, tags: TagSides, report: Report
) -> dict[str, int]:
    languages = dataset.manifest.languages
    names = {side: f"{split}_{language}.txt" for side, language in languages.items()}
    total = dataset.manifest.splits[split].samples
    written = 0
    with ExitStack() as stack:
        files = {
            side: stack.enter_context(
                (folder / name).open("w", encoding="utf-8", newline="\n"),
            )
            for side, name in names.items()
        }
        for prefix, src, tgt in _texts(dataset, split):
            files["src"].write((prefix if tags != "none" else "") + src + "\n")
            if "tgt" in files:
                files["tgt"].write((prefix if tags == "both" else "") + tgt + "\n")
            written += 1
            if written % 1000 == 0 or written == total:
                report(f"export {split}", written, total)
    return dict.fromkeys(names.values(), written)


def _texts(dataset: Dataset, split: Split) -> Iterator[tuple[str, str, str]]:
    """Tags as text with a space behind, and both sides, sample by sample."""
    tokenizer = load_tokenizer(dataset.read_blob(dataset.manifest.tokenizer))
    names = {number: symbol for symbol, number in dataset.manifest.tags.symbols.items()}
    prefix = dataset.manifest.tags.prefix_tokens
    for shard in dataset.manifest.splits[split].shards:
        for block in dataset.read_shard(shard):
            samples = list(block.samples())
            src = tokenizer.decode([sample.src[prefix:].tolist() for sample in samples])
            tgt = tokenizer.decode([sample.tgt.tolist() for sample in samples])
            for sample, src_text, tgt_text in zip(samples, src, tgt, strict=True):
                tags = " ".join(names[number] for number in sample.src[:prefix].tolist())
                yield f"{tags} ", src_text, tgt_text
