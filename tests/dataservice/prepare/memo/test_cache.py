"""The memo of a model → a file that the next process begins with, and that no build depends on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece

from dataservice.prepare.memo.cache import MemoCache, open_memo
from tests.corpus import make_pairs
from tests.dataservice.prepare.models import demo_model

TEXTS = [pair["ru"] for pair in make_pairs(60)]
MORE = [f"{text} {number}еще" for number, text in enumerate(TEXTS * 6)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / f"{'ab' * 32}.model"
    path.write_bytes(demo_model(1000))
    return path


def test_what_one_process_learned_the_next_one_knows(model: Path, tmp_path: Path) -> None:
    one = MemoCache(model, tmp_path, 10_000)
    ids = one.memo.encode(TEXTS)
    one.save()
    other = MemoCache(model, tmp_path, 10_000)
    assert other.memo.num_words == one.memo.num_words > 10
    assert other.memo.encode(TEXTS).ids.tolist() == ids.ids.tolist()


def test_a_memo_is_saved_again_only_when_it_has_grown(model: Path, tmp_path: Path) -> None:
    cache = MemoCache(model, tmp_path, 10_000)
    cache.memo.encode(TEXTS)
    cache.save()
    before = cache.file.read_bytes()
    cache.memo.encode(TEXTS)
    cache.save()
    assert cache.file.read_bytes() == before
    cache.memo.encode(MORE)
    cache.save()
    assert len(cache.file.read_bytes()) > len(before)


def test_a_memo_is_saved_at_last_when_it_has_grown_at_all(model: Path, tmp_path: Path) -> None:
    cache = MemoCache(model, tmp_path, 10_000)
    cache.memo.encode(TEXTS)
    cache.save()
    cache.memo.encode(["wonderword"])
    cache.save()
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == cache.memo.num_words - 1
    cache.save(at_last=True)
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == cache.memo.num_words


def test_a_few_words_at_last_do_not_replace_what_another_process_has_saved(
    model: Path, tmp_path: Path
) -> None:
    first = MemoCache(model, tmp_path, 10_000)
    first.memo.encode(TEXTS)
    first.save()
    one, other = (MemoCache(model, tmp_path, 10_000) for _ in range(2))
    other.memo.encode(MORE)
    other.save()
    one.memo.encode(["wonderword"])
    one.save(at_last=True)
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == other.memo.num_words


def test_whoever_knows_most_at_last_replaces_what_another_process_has_saved(
    model: Path, tmp_path: Path
) -> None:
    one, other = (MemoCache(model, tmp_path, 10_000) for _ in range(2))
    other.memo.encode(TEXTS)
    other.save()
    one.memo.encode(MORE)
    one.save(at_last=True)
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == one.memo.num_words


def test_a_few_words_on_the_way_do_not_replace_what_another_process_has_saved(
    model: Path, tmp_path: Path
) -> None:
    one, other = (MemoCache(model, tmp_path, 10_000) for _ in range(2))
    other.memo.encode(MORE)
    other.save()
    one.memo.encode(TEXTS)
    one.save()
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == other.memo.num_words


HEADERS = [
    b"",
    b"[]\n",
    b"[" * 5000,
    b"{}\n",
    b'{"words": null}\n',
    b'{"words": Infinity}\n',
    b'{"words": 1000000}\n',
    b"\xff" * 5000,
]


@pytest.mark.parametrize("line", HEADERS, ids=lambda line: repr(line[:20]))
def test_what_is_no_memo_is_replaced_at_last(model: Path, tmp_path: Path, line: bytes) -> None:
    cache = MemoCache(model, tmp_path, 10_000)
    cache.file.parent.mkdir()
    cache.file.write_bytes(line)
    cache.memo.encode(TEXTS)
    cache.save(at_last=True)
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == cache.memo.num_words


def test_a_memo_of_another_release_is_replaced_at_last(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = MemoCache(model, tmp_path, 10_000)
    cache.memo.encode([*TEXTS, *MORE])
    with monkeypatch.context() as patch:
        patch.setattr(sentencepiece, "__version__", "0.0.1")
        cache.save()
    cache = MemoCache(model, tmp_path, 10_000)
    cache.memo.encode(TEXTS)
    cache.save(at_last=True)
    assert MemoCache(model, tmp_path, 10_000).memo.num_words == cache.memo.num_words > 0


@pytest.mark.parametrize("at_last", [False, True])
@pytest.mark.parametrize("damage", [b"", b"junk", None], ids=["empty", "junk", "cut"])
def test_a_damaged_memo_is_told_and_made_anew(
    model: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: bytes | None,
    at_last: bool,
) -> None:
    cache = MemoCache(model, tmp_path, 10_000)
    cache.memo.encode(TEXTS)
    cache.save()
    whole = cache.file.read_bytes()
    cache.file.write_bytes(whole[:-40] if damage is None else damage)
    again = MemoCache(model, tmp_path, 10_000)
    assert again.memo.num_words == 0
    assert "cannot be used" in caplog.text
    again.memo.encode(TEXTS)
    again.save(at_last=at_last)
    assert again.file.read_bytes() == whole


def test_a_full_disk_costs_the_saved_memo_alone(
    model: Path, small_disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = small_disk(1 << 20)
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free))
    cache = MemoCache(model, disk, 10_000)
    cache.memo.encode(TEXTS)
    cache.save()
    assert "not saved" in caplog.text
    assert not cache.file.exists()


def test_a_process_has_one_memo_of_a_model(model: Path, tmp_path: Path) -> None:
    assert open_memo(model, tmp_path, 100) is open_memo(model, tmp_path, 100)
