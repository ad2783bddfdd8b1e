"""Builds of other kinds: other languages, texts alone, test sets, masking, MinHash."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataservice.errors import BuildError
from dataservice.export import export_text
from dataservice.prepare.build import build
from dataservice.prepare.sources import read_chunks
from dataservice.verify import verify
from shards.dataset import Dataset, open_dataset
from tests.corpus import make_pairs
from tests.dataservice.prepare.builds import check_funnel, read_back, small, tagged_rows, write_rows


def built(folder: Path) -> Dataset:
    dataset = open_dataset(f"{folder}/data/datasets/small")
    assert verify(dataset).problems == []
    check_funnel(dataset.manifest)
    return dataset


def test_another_pair_of_languages_is_built_as_any(tmp_path: Path) -> None:
    rows = [
        {"de": f"Der Weg führt über Köln {pair['en']}", "fr": f"La forêt où il était {pair['en']}"}
        for pair in make_pairs(300)
    ]
    values: dict[str, Any] = {"src_lang": "de", "tgt_lang": "fr", "max_copied_share": 1}
    build(small(tmp_path, rows, **values))
    manifest = built(tmp_path).manifest
    assert manifest.languages == {"src": "de", "tgt": "fr"}
    assert set(manifest.tokenizer.target_ids) == {"de", "fr"}
    assert manifest.stats["funnel"]["kept"] == 300
    assert set(manifest.stats["fertility"]) == {"de", "fr"}


def test_sides_that_are_changed_over_are_not_taken_for_the_languages(tmp_path: Path) -> None:
    rows = [{"src": pair["en"], "tgt": pair["ru"]} for pair in make_pairs(20)]
    with pytest.raises(BuildError, match=r"wrong_script 20.*\(ru first\)"):
        build(small(tmp_path, rows))


@pytest.mark.parametrize("form", ["jsonl", "txt"])
def test_texts_without_a_translation_are_a_data_set_of_one_side(tmp_path: Path, form: str) -> None:
    texts = [pair["ru"] for pair in make_pairs(400)] + ["ещё одна строка"] * 3
    path = tmp_path / f"texts.{form}"
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    path.write_text("\n".join(lines if form == "jsonl" else texts), encoding="utf-8")
    result = build(small(tmp_path, sources=[str(path)], tgt_lang="", vocab_size=500))
    manifest = built(tmp_path).manifest
    assert manifest.languages == {"src": "ru"}
    assert manifest.splits["train"].tgt_tokens == manifest.splits["val"].tgt_tokens == 0
    assert manifest.stats["funnel"]["dropped"] == {"duplicate": 2}
    dataset = open_dataset(f"{tmp_path}/data/datasets/small")
    written = export_text(dataset, tmp_path / "out", tags="none")
    assert sum(written.values()) == 401
    found = [
        line for name in written for line in (tmp_path / "out" / name).read_text().splitlines()
    ]
    assert sorted(found) == sorted(set(texts))
    again = build(small(tmp_path, sources=[str(path)], tgt_lang="", vocab_size=500))
    assert (again.version, again.num_encoded) == (result.version, 0)


def test_pairs_of_a_test_set_are_dropped_whichever_side_they_share(tmp_path: Path) -> None:
    rows = make_pairs(300)
    test = [
        rows[3],
        {"ru": rows[5]["ru"].upper(), "en": "quite another text"},
        {"ru": "совсем другой текст", "en": f"«{rows[8]['en']}»"},
    ]
    shared = [
        index for index, row in enumerate(rows) if key(row) & {k for t in test for k in key(t)}
    ]
    held = write_rows(tmp_path / "test.jsonl", test)
    build(small(tmp_path, rows, test_sources=[str(held)]))
    funnel = built(tmp_path).manifest.stats["funnel"]
    assert funnel["dropped"] == {"contamination": len(shared)}
    assert {3, 5, 8} <= set(shared)


def key(row: dict[str, str]) -> set[str]:
    """What is left of both sides when case, signs and numbers are left out."""
    return {"".join(filter(str.isalpha, row[side].casefold())) for side in ("ru", "en")}


def test_a_test_set_that_is_not_there_ends_the_build(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"nowhere\.jsonl"):
        build(small(tmp_path, tagged_rows(20), test_sources=["nowhere.jsonl"]))


def test_personal_data_are_masked_if_asked_and_counted(tmp_path: Path) -> None:
    rows = make_pairs(300)
    rows[4] = {"ru": "пишите на ivan@example.org скорее", "en": "write to ivan@example.org soon"}
    build(small(tmp_path, rows, mask_personal=True))
    dataset = built(tmp_path)
    export_text(dataset, tmp_path / "out", tags="none")
    text = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert text.count("<email>") == 2
    assert "example.org" not in text
    assert dataset.manifest.stats["changes"]["masked"] == 1


def test_longer_pairs_that_resemble_others_are_dropped_by_minhash(tmp_path: Path) -> None:
    rows = make_pairs(300)
    long = {
        "ru": "слово за словом " * 3 + " ".join(map(word, range(60))),
        "en": "word by word " * 3 + " ".join(map(latin, range(60))),
    }
    rows += [long, {"ru": long["ru"] + " конец", "en": long["en"] + " end"}]
    build(small(tmp_path, rows, near_duplicates="minhash", max_repeated_share=1))
    funnel = built(tmp_path).manifest.stats["funnel"]
    assert funnel["dropped"]["near_duplicate"] >= 1


def word(number: int) -> str:
    return "абвгдежзик"[number % 10] + "лмнопрст"[number // 10] + "ово"


def latin(number: int) -> str:
    return "abcdefghij"[number % 10] + "klmnopqr"[number // 10] + "ord"


def test_damage_that_is_skipped_is_in_the_funnel(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "c.jsonl", tagged_rows(300))
    path.write_text(path.read_text() + "{broken\n" + '{"ru": "только одна сторона"}\n')
    build(small(tmp_path, sources=[str(path)], damaged="skip"))
    funnel = built(tmp_path).manifest.stats["funnel"]
    assert funnel["read"] == 302
    assert sum(funnel["dropped"].values()) == 2
    assert all(reason.startswith("damaged_") for reason in funnel["dropped"])
    chunks = list(read_chunks(small(tmp_path, sources=[str(path)]).sources[0], tmp_path / "x", []))
    assert len(chunks) == 1


def test_a_source_of_which_nothing_is_kept_does_not_shift_the_others(tmp_path: Path) -> None:
    rows = [{**row, "source": "books"} for row in make_pairs(300)]
    build(small(tmp_path, [{"ru": "", "en": "", "source": "aaa"}, *rows]))
    dataset = built(tmp_path)
    assert {source.name: source.samples for source in dataset.manifest.sources} == {
        "aaa": 0,
        "books": 300,
    }
    assert {sample.source for sample in read_back(dataset)} == {"books"}


def test_a_masked_sentence_of_a_test_set_is_found_all_the_same(tmp_path: Path) -> None:
    rows = make_pairs(300)
    rows[4] = {"ru": "пишите на ivan@example.org скорее", "en": "write to ivan@example.org soon"}
    held = write_rows(tmp_path / "test.jsonl", [rows[4]])
    build(small(tmp_path, rows, test_sources=[str(held)], mask_personal=True))
    assert built(tmp_path).manifest.stats["funnel"]["dropped"] == {"contamination": 1}
