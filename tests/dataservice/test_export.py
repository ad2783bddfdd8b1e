"""A version → text files: exactly the cleaned text, with its tags, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dataservice.errors import BuildError
from dataservice.export import TagSides, export_text
from dataservice.prepare.build import BuildResult, build
from dataservice.prepare.text.clean import clean
from shards.dataset import Dataset, open_dataset
from shards.errors import CorruptBlobError, StoreFullError
from shards.sample import split_tags
from tests.dataservice.prepare.builds import read_back, small, tagged_rows

FILES = ["train_en.txt", "train_ru.txt", "val_en.txt", "val_ru.txt"]


@pytest.fixture
def dataset(built: BuildResult, built_root: Path) -> Dataset:
    return open_dataset(f"{built_root}/{built.name}")


def lines(folder: Path, name: str) -> list[str]:
    text = (folder / name).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


def test_the_export_is_the_cleaned_text_line_for_line(dataset: Dataset, tmp_path: Path) -> None:
    counts = export_text(dataset, tmp_path / "out", tags="none")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    found = []
    for split in ("train", "val"):
        ru, en = (lines(tmp_path / "out", f"{split}_{side}.txt") for side in ("ru", "en"))
        assert len(ru) == len(en) == counts[f"{split}_ru.txt"] == counts[f"{split}_en.txt"]
        found += list(zip(ru, en, strict=True))
    assert sorted(found) == sorted((clean(r["ru"]), clean(r["en"])) for r in tagged_rows(700))


@pytest.mark.parametrize(
    ("tags", "sides"), [("both", ("ru", "en")), ("src", ("ru",)), ("none", ())]
)
def test_tags_stand_on_the_sides_asked_for(
    dataset: Dataset, tmp_path: Path, tags: TagSides, sides: tuple[str, ...]
) -> None:
    export_text(dataset, tmp_path / "out", tags=tags)
    samples = [sample for sample in read_back(dataset) if sample.split == "val"]
    for side in ("ru", "en"):
        expected = [
            f"{' '.join(sample.tags)} {getattr(sample, side)}"
            if side in sides
            else getattr(sample, side)
            for sample in samples
        ]
        assert lines(tmp_path / "out", f"val_{side}.txt") == expected


def test_both_sides_are_tagged_unless_asked_otherwise(dataset: Dataset, tmp_path: Path) -> None:
    export_text(dataset, tmp_path / "out")
    for name in FILES:
        for line in lines(tmp_path / "out", name):
            assert set(split_tags(line)[0]) == {"author", "city", "year"}


def test_an_export_without_tags_builds_the_same_pairs_again(
    dataset: Dataset, tmp_path: Path
) -> None:
    export_text(dataset, tmp_path / "out", tags="none")
    sources = [
        {"src": tmp_path / "out" / f"{split}_ru.txt", "tgt": tmp_path / "out" / f"{split}_en.txt"}
        for split in ("train", "val")
    ]
    result = build(small(tmp_path, sources=sources))
    assert result.manifest.stats["funnel"]["changed_by_cleaning"] == 0
    for split, info in result.manifest.splits.items():
        assert info.ids_digest == dataset.manifest.splits[split].ids_digest


def test_a_folder_that_holds_something_is_refused_and_untouched(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    with pytest.raises(BuildError, match="is not empty; nothing was exported"):
        export_text(dataset, tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["precious.txt"]


@pytest.mark.parametrize("place", ["new", "deep/er/new", "there"])
def test_a_new_or_empty_folder_is_filled(dataset: Dataset, tmp_path: Path, place: str) -> None:
    (tmp_path / "there").mkdir()
    export_text(dataset, tmp_path / place)
    assert sorted(path.name for path in (tmp_path / place).iterdir()) == FILES
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o755


def test_damage_found_on_the_way_leaves_no_folder(
    built: BuildResult, copied_root: Path, tmp_path: Path
) -> None:
    shard = copied_root / built.manifest.splits["val"].shards[-1].path
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CorruptBlobError, match=shard.name):
        export_text(open_dataset(f"{copied_root}/small"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets"]


def test_a_full_disk_leaves_no_folder(dataset: Dataset, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(32 << 10)
    with pytest.raises(StoreFullError, match="no space left"):
        export_text(dataset, disk / "out")
    assert list(disk.iterdir()) == []


def test_the_export_reports_its_progress(dataset: Dataset, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    export_text(dataset, tmp_path / "out", report=lambda *args: told.append(args))
    ends = {stage: (done, total) for stage, done, total in told}
    splits = dataset.manifest.splits
    assert ends == {f"export {split}": (n.samples, n.samples) for split, n in splits.items()}
