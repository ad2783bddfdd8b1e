"""A stored model → the word memo of this process, which begins with what others have saved."""

import functools
import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

from dataservice.prepare.memo.file import MemoError, num_saved
from dataservice.prepare.memo.memo import WordMemo
from dataservice.prepare.work.cache import mark_used
from shards.errors import StoreFullError
from shards.store import write_atomically

_GROWTH: Final = 4  # so that all that is saved on the way is a third of what is at last
_log = logging.getLogger(__name__)


class MemoCache:
    """A memo, and the file that it is saved in when it has grown; whatever is in it, ids are equal.

    Processes save in turn, each when it knows four times as much as it found or saved, and
    whichever encodes the last partition; none when the file knows as much by then.
    """

    def __init__(self, model_file: Path, cache_dir: Path, max_words: int) -> None:
        model = model_file.read_bytes()
        self.file = cache_dir / "memos" / f"{model_file.stem}.memo"
        self.memo = self._load(model, max_words)
        self._saved = self.memo.num_words

    def save(self, *, at_last: bool = False) -> None:
        """Save the memo if it has grown much, or at last if it knows a single word more."""
        if not at_last and self.memo.num_words <= _GROWTH * self._saved:
            return
        if self.memo.num_words <= num_saved(self.file, self.memo.model_sha256):
            return
        self._saved = self.memo.num_words
        try:
            write_atomically(self.file, self.memo.dump())
        except StoreFullError as error:  # it is a convenience, which no build fails for
            _log.warning("the word memo is not saved: %s", error)

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
            with suppress(OSError):  # it would seem to know more than we do
                self.file.unlink()
        return WordMemo.for_model(model, max_words=max_words)


@functools.lru_cache(maxsize=1)
def open_memo(model_file: Path, cache_dir: Path, max_words: int) -> MemoCache:
    """One memo for all partitions that a process encodes: it learns their words."""
    return MemoCache(model_file, cache_dir, max_words)
