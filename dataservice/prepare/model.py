"""Train texts and names of all partitions → the model of a build, and its tags' ids."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import sentencepiece

from dataservice.prepare.reuse import load_reused
from dataservice.prepare.split_file import SplitFile
from dataservice.prepare.tags import TagCounts, choose_tag_symbols
from dataservice.prepare.tokenizer import (
    load_tokenizer,
    name_tags,
    read_sample,
    save_sample,
    tag_ids_of,
    target_symbols,
    tokenizer_key,
    train_nameless,
)
from dataservice.prepare.work.cache import mark_used
from dataservice.prepare.work.memory import release_memory
from dataservice.prepare.work.spill import SpillFile
from dataservice.settings import BuildSettings
from shards.manifest import MODEL_SUFFIX, TokenizerInfo
from shards.store import LocalStore, write_atomically

_PAIRS_AT_ONCE: Final = 8192


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A stored model, and the ids of its tag symbols."""

    info: TokenizerInfo
    symbols: dict[str, int]

    def files(self) -> tuple[SpillFile, ...]:
        return (SpillFile.of_blob(self.info),)


@dataclass(frozen=True, slots=True)
class TrainTexts:
    """The train rows of all partitions, of which a bounded sample is looked at."""

    folder: Path  # of the build
    num_bytes: Sequence[int]  # of each partition

    def sample(self, most_bytes: int) -> Iterator[str]:
        """Both sides of the pairs whose id, a hash, lies below the share that fits."""
        share = min(1.0, most_bytes / max(sum(self.num_bytes), 1))
        limit = np.uint64(min(int(share * 2**64), 2**64 - 1))
        for partition in range(len(self.num_bytes)):
            file = SplitFile(self.folder, partition, "train")
            with file.open() as src, file.open() as tgt:
                wanted = int(np.searchsorted(src.ids(), limit))
                sides = src.first_lines("src", wanted), tgt.first_lines("tgt", wanted)
                lines = zip(*sides, strict=True)
                while few := b"".join(itertools.chain(*itertools.islice(lines, _PAIRS_AT_ONCE))):
                    yield from filter(None, few.decode().split("\n"))


def make_vocabulary(texts: TrainTexts, tags: TagCounts, settings: BuildSettings) -> Vocabulary:
    """The model of a build: one that is given, one known for the same sample, or a new one.

    Raises:
        BuildError: when the given model cannot be used, or the text cannot fill a vocabulary.
    """
    if settings.tokenizer:
        reused = load_reused(settings)
        model, symbols = reused.model, reused.symbols
    else:
        model = _train(texts, choose_tag_symbols(tags.by_kind, settings), settings)
        symbols = tag_ids_of(model)
    blob = LocalStore(settings.store_dir).put_blob(model, MODEL_SUFFIX)
    tokenizer = load_tokenizer(model)
    info = TokenizerInfo(
        sha256=blob.sha256,
        bytes=blob.bytes,
        vocab_size=tokenizer.vocab_size(),
        pad_id=tokenizer.pad_id(),
        unk_id=tokenizer.unk_id(),
        bos_id=tokenizer.bos_id(),
        eos_id=tokenizer.eos_id(),
        target_ids={
            language: tokenizer.piece_to_id(symbol)
            for language, symbol in target_symbols(settings).items()
        },
    )
    return Vocabulary(info, symbols)


def open_tokenizer(vocabulary: Vocabulary, store_dir: Path) -> sentencepiece.SentencePieceProcessor:
    """A processor of the stored model."""
    return load_tokenizer(LocalStore(store_dir).read_blob(vocabulary.info))


def _train(texts: TrainTexts, symbols: Sequence[str], settings: BuildSettings) -> bytes:
    """A model trained on the sample, unless one was trained on the very same sample before."""
    path = texts.folder / "sample"
    digest = save_sample(path, texts.sample(settings.tokenizer_sample_bytes))
    key = tokenizer_key(digest, len(symbols), settings)
    known = settings.cache_dir / "models"
    for file in sorted(known.glob(f"{key}-*.model")):
        try:
            model = file.read_bytes()
        except FileNotFoundError:  # another build has trimmed the cache
            continue
        if hashlib.sha256(model).hexdigest() == file.stem.partition("-")[2]:
            path.unlink()
            mark_used(file)
            return name_tags(model, symbols)
    model = train_nameless(read_sample(path), len(symbols), settings)
    path.unlink()
    release_memory()  # else the build holds for the rest of its time what training took
    write_atomically(known / f"{key}-{hashlib.sha256(model).hexdigest()}.model", model)
    return name_tags(model, symbols)
