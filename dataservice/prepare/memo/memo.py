"""Texts → exactly sentencepiece's ids, several times faster: each word is encoded once.

The ids of a text are those of its words end to end, since no piece goes across a space. That
holds for models of a certain make only, which is looked up and tried before it is relied on.
"""

import hashlib
import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import sentencepiece

from dataservice.prepare.memo.file import SavedWords, dump_words, load_words
from dataservice.prepare.memo.guard import WORD_MARK, why_unsuitable
from dataservice.prepare.memo.words import Alphabet, Keys, Rows, Words, WordTable
from dataservice.prepare.text.lines import Lines
from dataservice.prepare.tokenizer import load_tokenizer, parse_model
from shards.block import id_dtype

MAX_WORD_CHARS: Final = 64  # longer words are encoded, never kept
_TEXT_WORDS: Final = 32  # of new ones that sentencepiece is given at a time
_CHUNK_CHARS: Final = 1 << 16  # what is worked on at a time stays in the processor's cache
_COUNT_BITS: Final = np.uint64(32)

Ids = npt.NDArray[np.unsignedinteger]


class Encoded(NamedTuple):
    """Ids of N texts end to end."""

    ids: Ids  # [T] uint16, or uint32 for a larger vocabulary
    lengths: Rows  # [N] int64, how many of them are each text's


class WordMemo:
    """A tokenizer that remembers words; not for several threads at once.

    A *place* is where a word's ids stand: `(begin + 1) << 32 | count`, so that 0 is none.
    """

    def __init__(self, model: bytes, *, max_words: int) -> None:
        proto = parse_model(model)
        self.model_sha256 = hashlib.sha256(model).hexdigest()
        self.max_words = max_words
        self.tokenizer: sentencepiece.SentencePieceProcessor = load_tokenizer(model)
        self.dtype = id_dtype(self.tokenizer.vocab_size())
        pieces = self.tokenizer.id_to_piece(list(range(self.tokenizer.vocab_size())))
        self.unsuitable = why_unsuitable(proto, self.tokenizer, pieces)
        """Why sentencepiece itself encodes everything; None when words are remembered."""
        self._alphabet = Alphabet(piece for piece in pieces if len(piece) == 1)
        self._begins_word = np.array([piece.startswith(WORD_MARK) for piece in pieces], np.bool_)
        self._table = WordTable()
        self._loose: dict[str, int] = {}  # words without a key → place
        self._ids: Ids = np.empty(1 << 12, self.dtype)
        self._num_ids = 0

    @classmethod
    def for_model(cls, model: bytes, *, max_words: int) -> Self:
        """An empty memo that keeps up to `max_words` words, about 100 bytes each."""
        return cls(model, max_words=max_words)

    @property
    def num_words(self) -> int:
        """Words that are remembered."""
        return self._table.num_keys + len(self._loose)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """What `SentencePieceProcessor.encode` gives for the same texts, and what it raises."""
        if self.unsuitable is not None:
            return self._plain(texts)
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        return self._encode_chunks(" ".join((*texts, "")), np.cumsum(lengths + 1) - 1)

    def encode_lines(self, lines: Lines) -> Encoded:
        """The same for texts that are lines of one string."""
        if self.unsuitable is not None:
            return self._plain(lines.text.split("\n")[:-1])
        return self._encode_chunks(lines.text.replace("\n", " "), lines.ends)

    def _encode_chunks(self, joined: str, ends: Rows) -> Encoded:
        """Encode texts that stand in a string, with a space after each; `ends` says where."""
        parts = [self._flat([])]
        first = begin = 0
        for last in _cuts(ends):
            end = int(ends[last - 1]) + 1
            chunk = joined[begin:end]
            own = ends[first:last] - begin
            encode = self._encode_marked if WORD_MARK in chunk else self._encode_chunk
            parts.append(encode(chunk, own))
            first, begin = last, end
        return Encoded(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.lengths for part in parts]),
        )

    def dump(self) -> bytes:
        """All that is remembered, for `load`."""
        keys, places = self._table.items()
        num_keys = len(places)
        places = np.concatenate([places, np.fromiter(self._loose.values(), np.uint64)])
        order = np.argsort(places)  # as they were learned, and as their ids stand
        is_loose = order >= num_keys
        loose = list(self._loose)
        saved = SavedWords(
            keys=keys[:, order[~is_loose]],
            loose=[loose[row - num_keys] for row in order[is_loose].tolist()],
            is_loose=is_loose,
            counts=places[order].astype(np.uint32),  # the lower half
            ids=self._ids[: self._num_ids],
        )
        return dump_words(saved, self.model_sha256)

    @classmethod
    def load(cls, model: bytes, data: bytes, *, max_words: int) -> Self:
        """A memo that knows what `dump` wrote, at most the `max_words` learned first.

        Raises:
            MemoError: when the data are damaged, or not of this model and this sentencepiece.
        """
        memo = cls(model, max_words=max_words)
        saved = load_words(data, memo.model_sha256)
        if memo.unsuitable is None:
            memo._restore(saved)
        return memo

    def _restore(self, saved: SavedWords) -> None:
        num_words = min(len(saved.counts), self.max_words)
        counts = saved.counts[:num_words].astype(np.int64)
        is_loose = saved.is_loose[:num_words]
        num_ids = int(counts.sum())
        places, _ = self._append(Encoded(saved.ids[:num_ids], counts), num_words)
        keyed = places[~is_loose]
        self._table.insert(saved.keys[:, : len(keyed)], keyed)
        self._loose = dict(zip(saved.loose, places[is_loose].tolist(), strict=False))

    def _plain(self, texts: Sequence[str]) -> Encoded:
        return self._flat(self.tokenizer.encode(list(texts)))

    def _flat(self, encoded: Sequence[list[int]]) -> Encoded:
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ids = itertools.chain.from_iterable(encoded)
        return Encoded(np.fromiter(ids, self.dtype, int(lengths.sum())), lengths)

    def _encode_chunk(self, joined: str, text_ends: Rows) -> Encoded:
        try:
            words = self._alphabet.words(joined)
        except UnicodeEncodeError:  # a lone surrogate: sentencepiece has an error for it
            return self._plain(_texts(joined, text_ends))
        places = self._table.find(words.keys)
        if len(loose := np.flatnonzero(words.is_loose)):
            places[loose] = [self._loose.get(word, 0) for word in _names(joined, words, loose)]
        num_kept = None
        missing = np.flatnonzero(places == 0)
        if len(missing):
            places[missing], num_kept = self._learn(joined, words, missing)
        ids, ends = self._gather(places)
        if num_kept is not None:
            self._num_ids = num_kept
        return Encoded(ids, np.diff(ends[np.searchsorted(words.ends, text_ends)], prepend=0))

    def _encode_marked(self, joined: str, text_ends: Rows) -> Encoded:
        """Some of the texts hold sentencepiece's own sign for a space, which splits words too."""
        texts = _texts(joined, text_ends)
        marked = np.flatnonzero([WORD_MARK in text for text in texts])
        others = ["" if WORD_MARK in text else text for text in texts]
        ends = np.cumsum([len(text) + 1 for text in others]) - 1
        ids, lengths = self._encode_chunk(" ".join((*others, "")), ends)
        plain = self._plain([texts[row] for row in marked.tolist()])
        where = np.repeat(np.cumsum(lengths)[marked], plain.lengths)
        lengths[marked] = plain.lengths
        return Encoded(np.insert(ids, where, plain.ids), lengths)

    def _gather(self, places: Keys) -> tuple[Ids, Rows]:
        """Ids of all words end to end, and where each word ends among them."""
        counts = (places & np.uint64(0xFFFFFFFF)).view(np.int64)
        begins = (places >> _COUNT_BITS).view(np.int64) - 1
        ends = np.cumsum(counts)
        begins -= ends - counts
        position = np.repeat(begins, counts)
        position += np.arange(len(position))
        return self._ids.take(position), ends

    def _learn(self, joined: str, words: Words, missing: Rows) -> tuple[Keys, int]:
        """Places of the missing words, and how many ids are to stay when they are used.

        What is not kept, because it is long or because the memo is full, lies behind these.
        """
        names = _names(joined, words, missing)
        numbers: dict[str, int] = {}
        number = np.array([numbers.setdefault(name, len(numbers)) for name in names])
        new, rows = list(numbers), np.empty(len(numbers), np.int64)
        rows[number] = missing  # any of the places where the word stands
        is_kept = words.ends[rows] - words.starts[rows] <= MAX_WORD_CHARS
        is_kept &= np.cumsum(is_kept) <= self.max_words - self.num_words
        order = np.argsort(~is_kept, kind="stable")
        kept = order[: int(is_kept.sum())]
        behind, stay = self._append(self._encode_words([new[i] for i in order.tolist()]), len(kept))
        places = np.empty_like(behind)
        places[order] = behind
        self._keep([new[i] for i in kept.tolist()], rows[kept], words, places[kept])
        return places[number], stay

    def _encode_words(self, words: list[str]) -> Encoded:
        """The ids of words without the sign for a space; several in a text cost a third less."""
        texts = (
            " ".join(words[cut : cut + _TEXT_WORDS]) for cut in range(0, len(words), _TEXT_WORDS)
        )
        # one by one: a list goes to other threads, and waiting for these takes longer than the work
        ids = self._flat(list(map(self.tokenizer.encode, texts))).ids
        begins = np.flatnonzero(self._begins_word[ids])
        # a word begins with the sign once at most: not if it is empty, or the sign has no piece
        if len(begins) < len(words):
            return self._plain(words)
        return Encoded(ids, np.diff(begins, append=len(ids)))

    def _append(self, encoded: Encoded, num_kept: int) -> tuple[Keys, int]:
        """Put ids behind those that are here; places, and where those of the kept words end."""
        end = self._num_ids + len(encoded.ids)
        if end > len(self._ids):
            grown = np.empty(max(end, 2 * len(self._ids)), self.dtype)
            grown[: self._num_ids] = self._ids[: self._num_ids]
            self._ids = grown
        self._ids[self._num_ids : end] = encoded.ids
        begins = self._num_ids + np.cumsum(encoded.lengths) - encoded.lengths
        stay = self._num_ids + int(encoded.lengths[:num_kept].sum())
        self._num_ids = end
        return ((begins + 1) << 32 | encoded.lengths).astype(np.uint64), stay

    def _keep(self, kept: list[str], rows: Rows, words: Words, places: Keys) -> None:
        loose = words.is_loose[rows]
        self._table.insert(words.keys[:, rows[~loose]], places[~loose])
        for index in np.flatnonzero(loose).tolist():
            self._loose[kept[index]] = int(places[index])


def _names(joined: str, words: Words, rows: Rows) -> list[str]:
    bounds = zip(words.starts[rows].tolist(), words.ends[rows].tolist(), strict=True)
    return [joined[start:end] for start, end in bounds]


def _texts(joined: str, text_ends: Rows) -> list[str]:
    starts = [0, *(text_ends[:-1] + 1).tolist()]
    return [joined[begin:end] for begin, end in zip(starts, text_ends.tolist(), strict=True)]


def _cuts(ends: Rows) -> list[int]:
    """How many texts lie before each cut, about `_CHUNK_CHARS` characters after the last one."""
    cuts = np.flatnonzero(np.diff((ends + 1) // _CHUNK_CHARS)) + 1
    return [*cuts.tolist(), len(ends)] if len(ends) else []
