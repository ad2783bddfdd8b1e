"""A path or a sha256 → an existing model with all that a build needs, or one clear error."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from dataservice.errors import BuildError
from dataservice.prepare.reuse import load_reused
from dataservice.prepare.rows import Labels
from dataservice.prepare.tags import tag_ids
from dataservice.prepare.tokenizer import load_tokenizer, name_tags, tag_ids_of
from dataservice.settings import BuildSettings
from shards.manifest import MODEL_SUFFIX
from shards.store import LocalStore
from tests.dataservice.prepare.models import TAGS, demo_model, other_model


def settings(folder: Path, tokenizer: str, **values: Any) -> BuildSettings:
    return BuildSettings.model_validate({"data_dir": folder, "tokenizer": tokenizer, **values})


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "own.model"
    path.write_bytes(demo_model(1000))
    return path


def test_a_model_is_found_by_its_path(tmp_path: Path, model_file: Path) -> None:
    reused = load_reused(settings(tmp_path, f"{model_file}"))
    assert reused.model == demo_model(1000)
    assert reused.vocab_size == 1000
    assert reused.symbols == {symbol: number for number, symbol in enumerate(TAGS, 6)}


def test_a_model_is_found_in_the_store_by_its_sha256(tmp_path: Path) -> None:
    store = LocalStore(settings(tmp_path, "").store_dir)
    blob = store.put_blob(demo_model(1000), MODEL_SUFFIX)
    assert load_reused(settings(tmp_path, blob.sha256)).model == demo_model(1000)


def test_a_damaged_model_in_the_store_is_refused(tmp_path: Path) -> None:
    store = LocalStore(settings(tmp_path, "").store_dir)
    blob = store.put_blob(demo_model(1000), MODEL_SUFFIX)
    (store.folder / blob.path).write_bytes(demo_model(1000)[:-1])
    with pytest.raises(BuildError, match="is damaged, its sha256 is another one; nothing was pub"):
        load_reused(settings(tmp_path, blob.sha256))


def test_a_tag_that_the_model_lacks_falls_back_to_its_kind(
    tmp_path: Path, model_file: Path
) -> None:
    symbols = load_reused(settings(tmp_path, f"{model_file}")).symbols
    tags = Labels(author="Nobody", city="Омск", year="1999", source="")
    assert tag_ids(tags, symbols, {}) == (
        symbols["<author>"],
        symbols["<city_Омск>"],
        symbols["<year>"],
    )


def without(symbol: str) -> bytes:
    return name_tags(
        demo_model(1000), [f"<year_{n}>" if tag == symbol else tag for n, tag in enumerate(TAGS)]
    )


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        (lambda: without("<author>"), "it lacks <author>;"),
        (lambda: without("<city>"), "it lacks <city>;"),
        (lambda: without("<year>"), "it lacks <year>;"),
        (lambda: other_model(), "it lacks <bos>, <eos>, <to_ru>, <to_en>, <author>, <c"),
        (lambda: other_model(pad_id=-1, bos_id=-1), "it lacks <pad>, <bos>, <eos>, <to_ru>"),
        (lambda: b"not a model", "it is no SentencePiece model"),
        (lambda: b"", "is empty or above 256 MiB"),
        (lambda: demo_model(1000)[:3000], "it is no SentencePiece model"),
    ],
)
def test_a_model_that_lacks_something_is_refused_with_all_that_it_lacks(
    tmp_path: Path, model: Any, lacks: str
) -> None:
    path = tmp_path / "other.model"
    path.write_bytes(model())
    with pytest.raises(BuildError, match=lacks) as caught:
        load_reused(settings(tmp_path, f"{path}"))
    assert "nothing was published; give the model" in str(caught.value)


def test_a_model_of_other_languages_is_refused(tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(BuildError, match=r"lacks <to_de>; .* of a data set in de and en"):
        load_reused(settings(tmp_path, f"{model_file}", src_lang="de"))
    assert load_reused(settings(tmp_path, f"{model_file}", tgt_lang="")).vocab_size == 1000


@pytest.mark.parametrize("name", ["missing.model", "folder", "pipe", "a\0b", "x" * 5000, "e" * 64])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    named = name if len(name) == 64 else f"{tmp_path}/{name}"
    with pytest.raises(BuildError, match="cannot be used"):
        load_reused(settings(tmp_path, named))


def test_a_version_depends_on_the_model_and_not_on_where_it_lay(
    tmp_path: Path, model_file: Path
) -> None:
    by_path = settings(tmp_path, f"{model_file}", vocab_size=900).version_settings()
    sha256 = hashlib.sha256(demo_model(1000)).hexdigest()
    by_sha256 = settings(tmp_path, sha256, tokenizer_sample_bytes=20_000).version_settings()
    assert by_path == by_sha256
    assert "vocab_size" in settings(tmp_path, "").version_settings()


def test_the_tags_of_a_reused_model_are_its_own() -> None:
    tokenizer = load_tokenizer(demo_model(1000))
    for symbol, number in tag_ids_of(demo_model(1000)).items():
        assert tokenizer.piece_to_id(symbol) == number
