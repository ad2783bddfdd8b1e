"""Tokenizers and memos of many builds → those that were used last, as many as fit."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from dataservice.prepare.build import build
from dataservice.prepare.memo.cache import MemoCache, open_memo
from dataservice.prepare.work.cache import mark_used, trim_cache
from dataservice.prepare.work.folder import work_folder
from tests.dataservice.prepare.builds import small, tagged_rows
from tests.dataservice.prepare.models import demo_model

NAMES = ("models/a", "memos/b", "models/c", "memos/d")
ROWS = tagged_rows(200)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Files of 10 bytes each, the first of `NAMES` used first."""
    for age, name in enumerate(reversed(NAMES)):
        file = tmp_path / "cache" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(10))
        os.utime(file, (1_000_000 - age, 1_000_000 - age))
    return tmp_path / "cache"


def names(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.glob("*/*"))


@pytest.mark.parametrize(
    ("keep_bytes", "kept"),
    [(40, NAMES), (39, NAMES[1:]), (20, NAMES[2:]), (9, ()), (0, ())],
)
def test_the_latest_used_stay(
    cache: Path, work: Path, keep_bytes: int, kept: Sequence[str]
) -> None:
    trim_cache(cache, keep_bytes, work)
    assert names(cache) == sorted(kept)


def test_what_was_read_counts_as_used(cache: Path, work: Path) -> None:
    mark_used(cache / NAMES[0])
    trim_cache(cache, 20, work)
    assert names(cache) == sorted((NAMES[0], NAMES[3]))


def test_what_a_build_at_work_has_used_stays_beyond_the_bound(cache: Path, work: Path) -> None:
    with work_folder(work, "running"):
        mark_used(cache / NAMES[0])
        mark_used(cache / NAMES[1])
        trim_cache(cache, 0, work)
        assert names(cache) == sorted(NAMES[:2])
    trim_cache(cache, 0, work)
    assert names(cache) == []


def test_without_a_cache_nothing_happens(tmp_path: Path, work: Path) -> None:
    trim_cache(tmp_path / "cache", 0, work)
    mark_used(tmp_path / "cache" / "models" / "gone")
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_removed_costs_no_build(cache: Path, work: Path) -> None:
    (cache / "models" / "folder").mkdir()
    loop = cache / "memos" / "loop"
    loop.symlink_to(loop)
    trim_cache(cache, 0, work)
    assert names(cache) == ["memos/loop", "models/folder"]


def test_a_memo_that_is_read_counts_as_used(tmp_path: Path) -> None:
    model = tmp_path / f"{'ab' * 32}.model"
    model.write_bytes(demo_model(1000))
    learned = MemoCache(model, tmp_path, 10_000)
    learned.memo.encode([pair["ru"] for pair in ROWS])
    learned.save()
    os.utime(learned.file, (1, 1))
    MemoCache(model, tmp_path, 10_000)
    assert learned.file.stat().st_mtime > 1


def test_builds_keep_what_fits_and_read_it_again(tmp_path: Path) -> None:
    cache = tmp_path / "data" / "cache"
    first = build(small(tmp_path, ROWS, keep_cache_bytes=1 << 30))
    kept = list(cache.glob("*/*"))
    assert {path.parent.name for path in kept} == {"models", "memos"}
    for path in kept:
        os.utime(path, (1, 1))
    open_memo.cache_clear()  # as in the next process
    build(small(tmp_path, ROWS, name="other", keep_cache_bytes=1 << 30))
    assert all(path.stat().st_mtime > 1 for path in kept)
    again = build(small(tmp_path, ROWS, keep_cache_bytes=0))
    assert names(cache) == []
    assert again.version == first.version


def test_a_model_that_another_build_trims_meanwhile_is_trained_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(small(tmp_path, ROWS))
    (model,) = (tmp_path / "data" / "cache" / "models").iterdir()
    whole, read_bytes = model.read_bytes(), Path.read_bytes

    def trimmed(path: Path) -> bytes:
        if path == model:
            path.unlink(missing_ok=True)
        return read_bytes(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", trimmed)
        assert build(small(tmp_path, ROWS)).version == first.version
    assert model.read_bytes() == whole
