"""Other pairs of languages, and texts alone → verified, exported, shown as the manifest says."""

import json
from pathlib import Path

import pytest

from dataservice.export import export_text
from dataservice.prepare.build import build
from dataservice.prepare.report.page import report_page
from dataservice.settings import BuildSettings
from dataservice.verify import verify
from dataservice.web.catalog import Catalog
from shards.dataset import Dataset, open_dataset
from shards.manifest import Side
from tests.written import german_texts, write_dataset

TEXTS = {False: german_texts(), True: german_texts(alone=True)}


def write(folder: Path, *, alone: bool) -> Dataset:
    languages: dict[Side, str] = {"src": "de"} if alone else {"src": "de", "tgt": "fr"}
    return write_dataset(folder, TEXTS[alone], languages)


@pytest.mark.parametrize("alone", [False, True])
def test_verification_finds_nothing_wrong(tmp_path: Path, alone: bool) -> None:
    findings = verify(write(tmp_path, alone=alone))
    assert (findings.problems, findings.samples) == ([], 300)


@pytest.mark.parametrize("alone", [False, True])
def test_the_export_has_a_file_for_each_language(tmp_path: Path, alone: bool) -> None:
    counts = export_text(write(tmp_path, alone=alone), tmp_path / "out", tags="none")
    sides = ["de"] if alone else ["de", "fr"]
    assert counts == {f"{split}_{side}.txt": n for split, n in _SIZES for side in sides}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(counts)
    for number, side in enumerate(sides):
        texts = [
            line
            for split, _ in _SIZES
            for line in (tmp_path / "out" / f"{split}_{side}.txt").read_text().splitlines()
        ]
        assert sorted(texts) == sorted(pair[number] for pair in TEXTS[alone])


_SIZES = (("train", 240), ("val", 60))


@pytest.mark.parametrize("alone", [False, True])
def test_the_page_of_a_version_names_its_languages(tmp_path: Path, alone: bool) -> None:
    dataset = write(tmp_path, alone=alone)
    page = Catalog(tmp_path).version_page("written", dataset.version, "http://here/datasets")
    assert page.languages == dict(dataset.manifest.languages)
    assert page.tokenizer.target_ids.keys() == (set() if alone else {"de", "fr"})
    assert page.splits["train"].tgt_tokens == dataset.manifest.splits["train"].tgt_tokens


@pytest.mark.parametrize("alone", [False, True])
def test_a_build_of_other_languages_is_whole_and_reported(tmp_path: Path, alone: bool) -> None:
    source = tmp_path / "texts.jsonl"
    names = ("text",) if alone else ("de", "fr")
    lines = [json.dumps(dict(zip(names, pair, strict=False))) for pair in TEXTS[alone]]
    source.write_text("\n".join(lines) + "\n")
    settings = BuildSettings.model_validate(
        {
            "sources": [str(source)],
            "src_lang": "de",
            "tgt_lang": "" if alone else "fr",
            "name": "built",
            "data_dir": tmp_path,
            "processes": 1,
            "vocab_size": 450,
        }
    )
    result = build(settings)
    dataset = open_dataset(str(tmp_path / "datasets" / "built"))
    assert verify(dataset).problems == []
    assert dataset.manifest.languages == ({"src": "de"} if alone else {"src": "de", "tgt": "fr"})
    assert result.manifest.stats["fertility"].keys() == set(dataset.manifest.languages.values())
    folder = tmp_path / "datasets" / "built" / "versions" / result.version
    assert (folder / "report.html").read_text() == report_page("built", dataset.manifest)
