"""Counts → statistics: everything that was read is in them, small, and the same everywhere."""

import json
from collections import Counter

import pytest

from dataservice.errors import BuildError
from dataservice.prepare.counts import StageCounts
from dataservice.prepare.report.schema import parse_stats
from dataservice.prepare.report.statistics import MAX_ROWS, statistics
from dataservice.prepare.report.usage import Pieces
from dataservice.prepare.tokenizer import load_tokenizer, tag_ids_of
from shards.manifest import canonical_json
from shards.sample import BOS, EOS, PAD, UNK
from tests.dataservice.prepare.models import demo_model
from tests.dataservice.prepare.reports import (
    ALONE,
    PIECES,
    TRAIN,
    VAL,
    make_stats,
    split_counts,
    stage_counts,
    vocabulary,
)

TEXTS = [*TRAIN, *VAL]


def test_the_funnel_is_told_with_an_example_of_every_reason() -> None:
    stages = stage_counts([("too_long", "раз", "one"), ("duplicate", "два", "two")] * 3)
    stats = make_stats(stages)
    assert stats["funnel"]["dropped"] == {"duplicate": 3, "too_long": 3}
    assert (stats["funnel"]["read"], stats["funnel"]["kept"]) == (10, 4)
    assert set(stats["examples"]) == {"duplicate", "too_long"}
    assert stats["examples"]["too_long"][0] == {"src": "раз", "tgt": "one", "source": "news"}
    assert stats["sources"]["news"]["dropped"] == {"duplicate": 3, "too_long": 3}
    assert stats["cut"]["dropped"] == {"too_long": 3}


def test_a_pair_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"5 pairs were read, 4 are kept and 0 dropped"):
        make_stats(stage_counts(kept=5))


def test_characters_are_counted_by_script_and_by_whether_they_have_a_piece() -> None:
    stats = make_stats()
    assert stats["languages"]["src"]["code"] == "ru"
    scripts = stats["languages"]["src"]["scripts"]
    src = "".join(pair[0] for pair in TEXTS)
    assert sum(scripts.values()) == len(src)
    assert scripts["CYRILLIC"] == sum(char.isalpha() for char in src)
    assert scripts["symbols"] == 1
    assert [one["char"] for one in stats["characters"]["uncovered"]] == ["🦊"]
    assert stats["characters"]["uncovered"][0]["point"] == "U+1F98A"
    assert stats["characters"]["uncovered"][0]["name"] == "FOX FACE"
    total = len(src) + len("".join(pair[1] for pair in TEXTS))
    assert stats["characters"]["covered_share"] == round((total - 1) / total, 6)


def test_tokens_are_told_for_each_language() -> None:
    one = make_stats()["fertility"]["ru"]
    src = [pair[0] for pair in TEXTS]
    chars = sum(map(len, src))
    assert one["tokens"] == chars + 3, "the fox is four bytes"
    assert one["byte_fallback_share"] == round(4 / one["tokens"], 6)
    assert one["words"] == sum(len(text.split()) for text in src)
    assert one["tokens_per_word"] == round(one["tokens"] / one["words"], 6)
    assert one["bytes_per_token"] == round(sum(len(t.encode()) for t in src) / one["tokens"], 6)


def test_histograms_hold_every_sample_once() -> None:
    stats = make_stats()
    for counts in (*stats["lengths"]["characters"].values(), *stats["lengths"]["tokens"].values()):
        assert sum(counts) == 4
        assert len(counts) < len(stats["lengths"]["edges"])
    assert sum(stats["ratios"]["counts"]) == 4
    # "лес" has three characters, which is a bin, and no tag counts as a token of it
    assert stats["lengths"]["characters"]["src"][3] == 1
    assert stats["lengths"]["tokens"]["src"][3] == 1
    assert stats["cut"]["longest_kept_tokens"] == {"src": 9, "tgt": 19}


def test_the_use_of_the_vocabulary_is_told_by_rank() -> None:
    use = make_stats()["vocabulary"]
    assert use["size"] == len(PIECES)
    ranks = use["ranks"]
    assert ranks[-1]["rank"] == use["used"]
    assert ranks[-1]["share"] == 1.0
    assert [one["count"] for one in ranks] == sorted((one["count"] for one in ranks), reverse=True)
    assert ranks[-1]["count"] == 1 <= use["used_once"]


def test_authors_are_told_by_split() -> None:
    assert make_stats()["authors"] == [
        {"name": "Anna", "train": 3, "val": 0},
        {"name": "Boris", "train": 0, "val": 1},
    ]


def test_groups_of_duplicates_are_told_by_size() -> None:
    stages = stage_counts([("duplicate", "раз", "one")] * 12)
    stages.groups["duplicate"] = Counter({2: 3, 9: 1, 8: 1})
    assert make_stats(stages)["duplicates"] == {
        "duplicate": {"dropped": 12, "groups": {"2": 3, "8": 2}}
    }


def test_texts_alone_have_one_side() -> None:
    texts = [("ein haus",), ("der wald.",)]
    splits = {
        "train": split_counts(texts, ALONE),
        "val": split_counts([], ALONE),
    }
    stats = statistics(stage_counts(kept=2), splits, vocabulary(), ALONE)  # type: ignore[arg-type]
    assert list(stats["languages"]) == list(stats["lengths"]["tokens"]) == ["src"]
    assert list(stats["fertility"]) == ["de"]
    assert not any(stats["ratios"]["counts"])
    assert stats["splits"]["val"]["characters"] == {
        "total": 0,
        "distinct": 0,
        "covered_share": 0.0,
        "de": 0,
    }


def test_statistics_survive_json_and_are_spelled_one_way() -> None:
    stages = stage_counts([("too_long", "раз", "one")])
    told = canonical_json(make_stats(stages))
    assert canonical_json(json.loads(told)) == told
    assert canonical_json(make_stats(stages)) == told
    assert parse_stats(json.loads(told), "here") == make_stats(stages)


def test_statistics_stay_small_whatever_was_read() -> None:
    stages = StageCounts()
    for number in range(3000):
        stages.read[f"source {number:05d}"] = 1
        stages.drop(f"reason_{number % 20}", f"source {number:05d}", "я" * 5000, "z" * 5000)
    stages.read["news"] = 4
    stats = make_stats(stages)
    assert len(stats["sources"]) == MAX_ROWS
    assert stats["sources_beyond"] == 3001 - MAX_ROWS
    assert "news" in stats["sources"], "the largest are shown"
    assert len(canonical_json(stats)) < 200_000


@pytest.mark.parametrize(
    ("value", "told"),
    [({}, "schema"), ({"funnel": {"read": 1}}, "schema"), ({"schema": 1}, "schema")],
)
def test_statistics_of_another_release_are_refused_by_name(
    value: dict[str, object], told: str
) -> None:
    with pytest.raises(BuildError, match=rf"the set has no statistics .*\({told}"):
        parse_stats(value, "the set")


def test_neither_bytes_nor_symbols_are_pieces_of_text() -> None:
    tokenizer = load_tokenizer(demo_model(1000))
    symbols = tag_ids_of(demo_model(1000)).values()
    pieces = Pieces.of(tokenizer, symbols)
    others = {pieces.pieces[number] for number in range(1000) if not pieces.is_text[number]}
    tags = {tokenizer.id_to_piece(number) for number in symbols}
    spelled = {f"<0x{byte:02X}>" for byte in range(256)}
    assert others == tags | spelled | {PAD, UNK, BOS, EOS, "<to_ru>", "<to_en>"}
    assert pieces.is_byte.sum() == 256
