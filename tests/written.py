"""Texts, alone or with translations → a data set written by the contract alone, with a tokenizer.

No build is run: what the readers take from a manifest comes from here, whatever the languages.
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from shards.block import block_from_samples, id_dtype
from shards.dataset import Dataset, open_dataset
from shards.lengths import ShardLengths, dump_lengths, lengths_of, make_split_info
from shards.manifest import (
    LENGTHS_SUFFIX,
    LengthsInfo,
    Manifest,
    ShardInfo,
    Side,
    SourceInfo,
    Split,
    SplitInfo,
    TagInfo,
    TokenizerInfo,
)
from shards.sample import (
    BOS,
    EOS,
    PAD,
    TAG_KINDS,
    Sample,
    pair_id,
    pair_key,
    tag_symbol,
    target_symbol,
)
from shards.store import LocalStore
from shards.writer import write_shard

_VOCAB_SIZE = 400
_SHARD_SAMPLES = 60
_NAMES = {"author": "Anna", "city": "Bonn", "year": "2025"}

Text = tuple[str, str]  # the second is "" where it stands alone


def german_texts(count: int = 300, *, alone: bool = False) -> list[Text]:
    """German sentences of varied length, with French ones beside them or alone."""
    de = ("Das Haus", "Der alte Wagen", "Die Straße am Fluss", "Ein Kind")
    fr = ("La maison", "La vieille voiture", "La rue près du fleuve", "Un enfant")
    much = ("ist groß", "steht heute hier", "war schön und bleibt es noch lange")
    tant = ("est grande", "se trouve ici aujourd'hui", "était belle et le reste longtemps")
    return [
        (
            f"{de[n % 4]} Nummer {n} {much[n % 3]}.",
            "" if alone else f"{fr[n % 4]} numéro {n} {tant[n % 3]}.",
        )
        for n in range(count)
    ]


def write_dataset(
    folder: Path, texts: Sequence[Text], languages: dict[Side, str], *, name: str = "written"
) -> Dataset:
    """Write, publish and open a data set; every fifth sample validates."""
    store = LocalStore(folder)
    symbols = [tag_symbol(kind, one) for kind in TAG_KINDS for one in (None, _NAMES[kind])]
    tokenizer = _train((text for pair in texts for text in pair if text), symbols, languages)
    parts: dict[Split, list[Sample]] = {"train": [], "val": []}
    prefix = [tokenizer.piece_to_id(tag_symbol(kind, _NAMES[kind])) for kind in TAG_KINDS]
    dtype = id_dtype(_VOCAB_SIZE)
    for number, (src, tgt) in enumerate(texts):
        parts["train" if number % 5 else "val"].append(
            Sample(
                pair_id=pair_id(pair_key(src, tgt)),
                src=np.array([*prefix, *tokenizer.encode(src)], dtype),
                tgt=np.array(tokenizer.encode(tgt), dtype),
                source=0,
            )
        )
    model = store.put_blob(tokenizer.serialized_model_proto(), ".model")
    manifest = Manifest(
        generator={"tests": "1"},
        languages=languages,
        tokenizer=TokenizerInfo(
            sha256=model.sha256,
            bytes=model.bytes,
            vocab_size=tokenizer.vocab_size(),
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            target_ids={
                one: tokenizer.piece_to_id(target_symbol(one)) for one in _asked(languages)
            },
        ),
        tags=TagInfo(
            prefix_tokens=len(TAG_KINDS),
            symbols={symbol: tokenizer.piece_to_id(symbol) for symbol in symbols},
            defaults=_NAMES,
        ),
        splits={split: _write_split(store, split, samples) for split, samples in parts.items()},
        sources=(SourceInfo(name="tests", samples=len(texts)),),
        inputs=(),
        build={},
        stats={},
    )
    store.commit(name, manifest)
    return open_dataset(str(folder / name))


def _asked(languages: dict[Side, str]) -> list[str]:
    """The languages that a translation into can be asked for: none for texts alone."""
    return list(languages.values()) if "tgt" in languages else []


def _write_split(store: LocalStore, split: Split, samples: Sequence[Sample]) -> SplitInfo:
    shards: list[ShardInfo] = []
    lengths: list[ShardLengths] = []
    for start in range(0, len(samples), _SHARD_SAMPLES):
        block = block_from_samples(samples[start : start + _SHARD_SAMPLES], _VOCAB_SIZE)
        data, info = write_shard([(f"{split}-{start:05d}-000000", block)])
        store.put_blob(data, info.suffix)
        shards.append(info)
        lengths.append(lengths_of([block]))
    blob = store.put_blob(dump_lengths(lengths), LENGTHS_SUFFIX)
    return make_split_info(shards, lengths, LengthsInfo(sha256=blob.sha256, bytes=blob.bytes))


def _train(
    sentences: Iterable[str], tags: list[str], languages: dict[Side, str]
) -> sentencepiece.SentencePieceProcessor:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(sentences)),
        model_writer=model,
        model_type="bpe",
        vocab_size=_VOCAB_SIZE,
        byte_fallback=True,
        normalization_rule_name="identity",
        control_symbols=[target_symbol(language) for language in _asked(languages)],
        user_defined_symbols=tags,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece=PAD,
        bos_piece=BOS,
        eos_piece=EOS,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
