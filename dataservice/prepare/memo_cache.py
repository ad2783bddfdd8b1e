"""A stored model → the word memo of this process, which begins with what others have saved."""

import functools
import logging
from pathlib import Path
from typing import Final

from dataservice.prepare.cache import mark_used
from dataservice.prepare.memo import WordMemo
from dataservice.prepare.memo_file import MemoError
from shards.errors import StoreFullError
from shards.store import write_atomically

_GROWTH: Final = 1.5  # saving costs as much as encoding a tenth of a partition
_log = logging.getLogger(__name__)


class MemoCache:
    """A memo, and the file that it is saved in when it has grown; whatever is in it, ids are equal.

    Processes save in turn, and the last one wins: they do so when they have grown by half over what
    they found, and whichever encodes the last partition when it has grown at all, unless another
    one has saved meanwhile.
    """

    def __init__(self, model_file: Path, cache_dir: Path, max_words: int) -> None:
        model = model_file.read_bytes()
        self.file = cache_dir / "memos" / f"{model_file.stem}.memo"
        self._found = self._identity()
        self.memo = self._load(model, max_words)
        self._saved = self.memo.num_words

    def save(self, *, at_last: bool = False) -> None:
        """Save the memo if it has grown by half, or at last by a single word."""
        least = 1 if at_last and self._identity() == self._found else _GROWTH
        if self.memo.num_words <= least * self._saved:
            return
        self._saved = self.memo.num_words
        try:
            write_atomically(self.file, self.memo.dump())
            self._found = self._identity()
        except StoreFullError as error:  # it is a convenience, which no build fails for
            _log.warning("the word memo is not saved: %s", error)

    def _identity(self) -> int | None:
        """What tells the file from the one that another process puts in its place."""
        try:
            return self.file.stat().st_ino
        except FileNotFoundError:
            return None

    def _load(self, model: bytes, max_words: int) -> WordMemo:
        try:
            data = self.file.read_bytes()
            memo = WordMemo.load(model, data, max_words=max_words)
            mark_used(self.file)
            return memo
        except FileNotFoundError:
            pass
        except MemoError as error:
            _log.warning("%s: %s", self.file, error)
        return WordMemo.for_model(model, max_words=max_words)


@functools.lru_cache(maxsize=1)
def open_memo(model_file: Path, cache_dir: Path, max_words: int) -> MemoCache:
    """One memo for all partitions that a process encodes: it learns their words."""
    return MemoCache(model_file, cache_dir, max_words)
