"""Batches of pairs → reasons: what is promised of all filters together."""

import random
from typing import get_type_hints

import numpy as np
import pytest

from dataservice.filter_settings import FilterSettings
from dataservice.prepare.filters import (
    FILTERS,
    REASONS,
    Batch,
    Side,
    codes,
    drop_reason,
    drop_reasons,
    flags,
    make_batch,
)
from dataservice.prepare.mask import mask_personal
from dataservice.prepare.text.points import CodePoints
from dataservice.settings import BuildSettings

# filters that are on, to see that a setting of each turns it off
_STRICT = {
    "min_words": 3,
    "max_words": 12,
    "max_word_chars": 18,
    "max_char_run": 5,
    "max_digit_share": 0.2,
    "max_symbol_share": 0.2,
    "max_markup_share": 0.1,
    "max_url_share": 0.1,
    "max_repeated_share": 0.1,
    "max_lost_number_share": 0.0,
    "match_ends": "?!…:.",
    "min_script_share": 0.9,
}
_OFF = {
    "min_chars": 1,
    "max_chars": 250_000,
    "min_words": 0,
    "max_words": 0,
    "max_word_chars": 0,
    "max_length_ratio": 1e9,
    "drop_identical": False,
    "min_letters": 0,
    "min_script_share": 0,
    "max_copied_share": 1,
    "drop_doubled": False,
    "max_char_run": 0,
    "max_repeated_share": 1,
    "max_digit_share": 1,
    "max_symbol_share": 1,
    "max_markup_share": 1,
    "max_url_share": 1,
    "max_lost_placeholders": -1,
    "max_lost_number_share": 1,
    "match_ends": "",
    "identify_language": False,
}


def odd_texts(number: int, seed: int) -> list[str]:
    """Texts of words, numbers, tags, runs, signs of many scripts, and some that are empty."""
    chosen = random.Random(seed)
    parts = (
        *("привет", "мир", "the", "old", "word", "中文", "%s", "%d", "{0}", "12", "1,000", "٣"),
        *(
            "<b>",
            "</b>",
            "https://example.org/a",
            "!!!!!!!",
            "…",
            "?",
            "😀",
            "é",
            "x" * 20,
            "$HOME",
        ),
    )
    return [" ".join(chosen.choices(parts, k=chosen.randint(0, 14))) for _ in range(number)]


@pytest.fixture(scope="module")
def pairs() -> tuple[list[str], list[str]]:
    src, tgt = odd_texts(3000, 1), odd_texts(3000, 2)
    tgt[::10] = src[::10]
    return src, tgt


def batch_of(pairs: tuple[list[str], list[str]], **settings: object) -> Batch:
    return make_batch(*pairs, BuildSettings.model_validate(settings))


def test_the_first_filter_that_drops_a_pair_names_the_reason(
    pairs: tuple[list[str], list[str]],
) -> None:
    batch = batch_of(pairs, **_STRICT)
    masks = np.array(list(flags(batch).values()))
    expected = np.where(masks.any(axis=0), masks.argmax(axis=0) + 1, 0)
    assert np.array_equal(drop_reasons(batch), expected)
    assert len(np.unique(expected)) > 10


def test_a_pair_is_judged_alike_alone_and_in_any_batch(pairs: tuple[list[str], list[str]]) -> None:
    settings = BuildSettings.model_validate(_STRICT)
    whole = drop_reasons(make_batch(*pairs, settings))
    for row in range(0, 3000, 29):
        alone = drop_reason(pairs[0][row], pairs[1][row], settings)
        assert alone == (REASONS[whole[row] - 1] if whole[row] else None), row


@pytest.mark.parametrize("size", [1, 7, 100, 4096, 1 << 22])
def test_pieces_do_not_change_what_is_found(
    pairs: tuple[list[str], list[str]], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tuple(side[:300] for side in pairs)
    expected = drop_reasons(batch_of((cut[0], cut[1]), **_STRICT))
    monkeypatch.setattr("dataservice.prepare.filters.side._PIECE_CHARS", size)
    assert np.array_equal(drop_reasons(batch_of((cut[0], cut[1]), **_STRICT)), expected)


def test_code_points_that_are_known_already_are_used(pairs: tuple[list[str], list[str]]) -> None:
    expected = drop_reasons(batch_of(pairs))
    sides = [
        Side(texts, language, CodePoints.of(texts))
        for texts, language in zip(pairs, ("ru", "en"), strict=True)
    ]
    found = drop_reasons(Batch(sides[0], sides[1], BuildSettings()))
    assert np.array_equal(found, expected)


def test_every_filter_but_those_of_empty_sides_can_be_turned_off(
    pairs: tuple[list[str], list[str]],
) -> None:
    found = flags(batch_of(pairs, **_OFF))
    assert {name for name, mask in found.items() if mask.any()} == {"empty", "too_short"}
    assert np.array_equal(found["empty"], found["too_short"])


def test_every_setting_of_a_filter_is_off_in_that_test() -> None:
    own = set(get_type_hints(FilterSettings)) - {"model_config"}
    later = {"max_tokens", "max_token_ratio", "ratio_slack_tokens", "near_duplicates"}
    others = {*later, "mask_personal", "ratio_slack_chars"}
    tuning = {name for name in own if name.startswith(("minhash_", "min_language_"))}
    unknown = own - others - tuning - set(_OFF)
    assert {name for name in unknown if not name.startswith("model_")} == set()


def test_a_text_without_a_translation_passes_no_filter_of_pairs(
    pairs: tuple[list[str], list[str]],
) -> None:
    settings = BuildSettings.model_validate(_STRICT | {"tgt_lang": ""})
    found = flags(make_batch(pairs[0], None, settings))
    of_pairs = {"length_ratio", "identical_sides", "untranslated", "doubled", "placeholders"}
    of_pairs |= {"numbers", "sentence_end"}
    assert {name for name in of_pairs if found[name].any()} == set()
    assert found["symbols"].any()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "part",
    [
        *("<a>", "<a b='", "</", "<a ", "%0", "%(", "{", "{a.", "[", "1,", "1 ", "$A", "http://"),
        *("a@", "a.", "a@b.", "+7 (", "x y ", "а ", "-", "://", "...", "<!--", "%1$", "%*", '"'),
    ],
)
def test_no_text_is_slow_to_judge(part: str) -> None:
    text = part * (200_000 // len(part))
    values = BuildSettings.model_validate(_STRICT | {"max_chars": 250_000, "max_word_chars": 0})
    drop_reasons(make_batch([text], [text + "x"], values))
    mask_personal(text)


def test_what_is_too_long_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def share(text: str) -> float:
        seen.append(text)
        return 0.0

    monkeypatch.setattr(codes, "markup_share", share)
    texts = ["<a>" * 20, "<b>слово</b>"]
    found = drop_reasons(make_batch(texts, ["word"] * 2, BuildSettings(max_chars=50)))
    assert [REASONS[number - 1] for number in found if number] == ["too_long"]
    assert set(seen) == {"<b>слово</b>"}


@pytest.mark.parametrize("texts", [[], [""], ["", "", ""]])
def test_a_batch_of_nothing_has_no_edge(texts: list[str]) -> None:
    found = drop_reasons(batch_of((texts, texts), **_STRICT))
    assert found.tolist() == [1] * len(texts)


def test_lone_surrogates_and_the_last_code_point_are_judged() -> None:
    assert drop_reason("\ud800 слово", "word \U0010ffff", BuildSettings()) is None


def test_the_reasons_are_the_documented_ones_in_their_order() -> None:
    assert (
        " ".join(REASONS) == "empty too_short too_long too_few_words too_many_words long_word "
        "length_ratio identical_sides no_letters wrong_script untranslated doubled repeated_chars "
        "repeated_words digits symbols markup urls placeholders numbers sentence_end "
        "wrong_language contamination duplicate id_collision near_duplicate val_target_in_train "
        "too_many_tokens token_ratio"
    )
    assert len(FILTERS) < len(REASONS) < 256
