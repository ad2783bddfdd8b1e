"""Manifest ↔ bytes: one spelling, one version, and what is refused."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shards.block import Block, block_from_samples
from shards.errors import ManifestError
from shards.manifest import (
    FORMAT_VERSION,
    Manifest,
    ShardInfo,
    canonical_json,
    dump_manifest,
    load_manifest,
)
from shards.writer import write_shard
from tests.shards.helpers import VOCAB_SIZE, make_block, make_manifest, make_sample, make_shard

BLOCKS = [make_block(5, seed) for seed in range(2)]
SHARDS = [make_shard(5, seed)[1] for seed in range(2)]


def whole() -> Manifest:
    return make_manifest(SHARDS, BLOCKS)


def edited(**changes: Any) -> tuple[bytes, str]:
    """Bytes of a manifest with other values, and the version those bytes are."""
    data = canonical_json(whole().model_dump(mode="json") | changes)
    return data, hashlib.sha256(data).hexdigest()


def test_a_manifest_comes_back_from_its_bytes() -> None:
    data, version = dump_manifest(whole())
    assert load_manifest(data, version, "here") == whole()
    assert dump_manifest(load_manifest(data, version, "here")) == (data, version)


def test_the_version_is_the_sha256_of_the_bytes() -> None:
    data, version = dump_manifest(whole())
    assert version == hashlib.sha256(data).hexdigest()
    assert data.decode().count("\n") == 1
    assert data.endswith(b"}\n")


def test_other_content_is_another_version() -> None:
    versions = {
        dump_manifest(manifest)[1]
        for manifest in (
            whole(),
            make_manifest(SHARDS[::-1], BLOCKS),
            make_manifest(SHARDS[:1], BLOCKS[:1]),
            make_manifest(SHARDS, BLOCKS, build={"имя": "другое"}),
        )
    }
    assert len(versions) == 4


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5), st.randoms())
def test_canonical_json_does_not_depend_on_the_order_of_keys(
    value: dict[str, Any], random: Any
) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    assert canonical_json(dict(shuffled)) == canonical_json(value)
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


def test_canonical_json_is_spelled_one_way() -> None:
    value = {"б": [1, 2.5, None, True], "a": {"z": "«»", "b": ""}}
    assert canonical_json(value) == '{"a":{"b":"","z":"«»"},"б":[1,2.5,null,true]}\n'.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_canonical_json_has_no_word_for_what_is_no_number(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": number})


def test_edited_bytes_are_refused_with_both_digests() -> None:
    data, version = dump_manifest(whole())
    changed = data.replace(b'"samples":10', b'"samples":11')
    found = hashlib.sha256(changed).hexdigest()
    with pytest.raises(ManifestError, match=rf"there has sha256 {found[:12]}.*{version[:12]}"):
        load_manifest(changed, version, "there")


@pytest.mark.parametrize("declared", [0, 1, FORMAT_VERSION + 1, 99, "2", None, 2.5])
def test_an_unknown_format_version_names_found_and_expected(declared: object) -> None:
    data, version = edited(format_version=declared)
    with pytest.raises(
        ManifestError, match=rf"format version {declared}, this program reads {FORMAT_VERSION}"
    ):
        load_manifest(data, version, "here")


def test_a_newer_format_is_named_before_its_unknown_keys() -> None:
    data, version = edited(format_version=FORMAT_VERSION + 1, novelty=1)
    with pytest.raises(ManifestError, match=f"format version {FORMAT_VERSION + 1}"):
        load_manifest(data, version, "here")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"novelty": 1}, "novelty"),
        ({"tokenizer": {}}, "tokenizer"),
        ({"splits": {"test": whole().model_dump(mode="json")["splits"]["train"]}}, "splits"),
        ({"languages": {"source": "ru"}}, "languages"),
    ],
)
def test_an_unknown_or_missing_key_is_named(changes: dict[str, Any], told: str) -> None:
    data, version = edited(**changes)
    with pytest.raises(ManifestError, match=rf"here contradicts itself.*{told}"):
        load_manifest(data, version, "here")


@pytest.mark.parametrize("name", ["samples", "src_tokens", "tgt_tokens"])
def test_sums_that_do_not_agree_are_named(name: str) -> None:
    splits = whole().model_dump(mode="json")["splits"]
    told = splits["train"][name]
    splits["train"][name] += 1
    data, version = edited(splits=splits)
    with pytest.raises(ManifestError, match=rf"{name} is {told + 1}, its shards hold {told}"):
        load_manifest(data, version, "here")


ALONE = block_from_samples([make_sample([5, 6], [], pair_id=n) for n in range(3)], VOCAB_SIZE)
ALONE_SHARD = write_shard([("b-000000", ALONE)])[1]


def test_a_data_set_of_texts_alone_has_one_language_and_no_target() -> None:
    manifest = make_manifest([ALONE_SHARD], [ALONE], languages={"src": "de"})
    data, version = dump_manifest(manifest)
    loaded = load_manifest(data, version, "here")
    assert json.loads(data)["languages"] == {"src": "de"}
    assert (loaded.has_target, loaded.splits["train"].tgt_tokens) == (False, 0)
    assert whole().has_target


@pytest.mark.parametrize(
    ("shards", "blocks", "languages", "told"),
    [
        (SHARDS, BLOCKS, {"src": "ru"}, r"tgt_tokens and no target language"),
        ([ALONE_SHARD], [ALONE], {"src": "ru", "tgt": "en"}, "3 pairs of train have an empty"),
        (SHARDS, BLOCKS, {"tgt": "en"}, "are no src"),
        (SHARDS, BLOCKS, {"src": "en", "tgt": "en"}, "another tgt"),
        (SHARDS, BLOCKS, {"src": "ru", "tgt": "fr"}, "no symbol for fr"),
        (SHARDS, BLOCKS, {"src": "ru", "tgt": "../en"}, "pattern"),
        (SHARDS, BLOCKS, {"src": "ru", "tgt": ""}, "pattern"),
    ],
)
def test_languages_that_do_not_fit_the_samples_are_refused(
    shards: list[ShardInfo], blocks: list[Block], languages: dict[str, str], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        make_manifest(shards, blocks, languages=languages)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"1", b"\xff\xfe", b"NaN", b'"text"'],
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="here"):
        load_manifest(data, hashlib.sha256(data).hexdigest(), "here")


@pytest.mark.parametrize("sha256", ["", "0" * 63, "G" * 64, "A" * 64, "../" + "0" * 61])
def test_a_digest_that_could_be_a_path_is_refused(sha256: str) -> None:
    with pytest.raises(ValidationError):
        make_manifest([SHARDS[0].model_validate(SHARDS[0].model_dump() | {"sha256": sha256})])


def test_blobs_are_listed_once_each_the_tokenizer_first() -> None:
    manifest = make_manifest([SHARDS[0], SHARDS[1], SHARDS[0]], [*BLOCKS, BLOCKS[0]])
    assert [blob.sha256 for blob in manifest.blobs()] == [
        manifest.tokenizer.sha256,
        SHARDS[0].sha256,
        SHARDS[1].sha256,
        manifest.splits["train"].lengths.sha256,
    ]


def test_a_loaded_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        setattr(whole(), "sources", ())  # noqa: B010  # a type checker forbids what is tried
