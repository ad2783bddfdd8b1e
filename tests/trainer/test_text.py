"""Texts are framed for the model as the data set frames them."""

import pytest

from shards.dataset import Dataset
from trainer.errors import TrainingError
from trainer.text import TextCodec


@pytest.fixture(scope="module")
def codec(pairs: Dataset) -> TextCodec:
    model = pairs.read_blob(pairs.manifest.tokenizer)
    return TextCodec.of(model, TextCodec.describe(pairs.manifest))


def test_a_text_gets_the_same_ids_as_in_the_data_set(codec: TextCodec, pairs: Dataset) -> None:
    shard = pairs.manifest.splits["train"].shards[0]
    sample = next(iter(pairs.read_shard(shard)[0].samples()))
    text = codec.decode(sample.src[3:].tolist())
    assert codec.encode(text, "en") == [codec.target_ids["en"], *sample.src.tolist(), 3]


@pytest.mark.parametrize(
    ("text", "tags", "author"),
    [
        ("код", None, "<author_MagistrTheOne>"),
        ("<author_MagistrTheOne> код", {"author": "Nobody"}, "<author_MagistrTheOne>"),
        ("<author_Nobody> код", None, "<author>"),
        ("код", {"author": "Nobody Else"}, "<author>"),
    ],
)
def test_tags_come_from_the_text_then_the_options_then_the_data(
    codec: TextCodec, text: str, tags: dict[str, str] | None, author: str
) -> None:
    ids = codec.encode(text, "en", tags)
    assert ids[1] == codec.symbols[author]
    assert ids[4:] == codec.encode("код", "en")[4:], "tags are no part of the text"


@pytest.mark.parametrize(
    ("direction", "text", "to"),
    [
        ("ru-en", "код", "en"),
        ("en-ru", "code", "ru"),
        ("both", "код", "en"),
        ("both", "code", "ru"),
    ],
)
def test_the_target_language_follows_the_direction(
    codec: TextCodec, direction: str, text: str, to: str
) -> None:
    assert codec.target_language(text, direction) == to


@pytest.mark.parametrize(("text", "to", "told"), [(" ", "en", "empty"), ("код", "fr", "'fr'")])
def test_what_cannot_be_translated_is_refused(
    codec: TextCodec, text: str, to: str, told: str
) -> None:
    with pytest.raises(TrainingError, match=told):
        codec.encode(text, to)


def test_markers_and_tags_are_no_part_of_a_decoded_text(codec: TextCodec) -> None:
    ids = codec.encode("<author_MagistrTheOne> новый код 7.", "en")
    assert codec.decode([2, *ids, 0, 0]) == "новый код 7."
