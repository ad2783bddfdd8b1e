"""Characters, words and halves that recur → dropped or kept."""

import random

import pytest

from dataservice.prepare.filters import flags, make_batch
from dataservice.prepare.filters.repeats import repeated_share
from dataservice.settings import BuildSettings
from tests.dataservice.prepare.filters.judge import says


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("а" * 5, False),
        ("а" * 6, True),
        ("да" + "!" * 6, True),
        ("!" * 6 + "да", True),
        ("!!!!! !!!!!", False),
        ("ааа", False),
        ("а", False),
    ],
)
@pytest.mark.parametrize("run", [5])
def test_a_run_of_one_character_has_its_limit(src: str, expected: bool, run: int) -> None:
    assert says("repeated_chars", src, "yes", max_char_run=run) is expected
    assert not says("repeated_chars", src, "yes", max_char_run=0)


@pytest.mark.parametrize("run", [1, 2, 3, 4, 6, 7, 8, 9, 20])
def test_a_run_is_counted_exactly_and_never_across_texts(run: int) -> None:
    texts = ["-" * (run - 1), "-" * run, "x" + "-" * (run + 1), "-" * run, ""]
    settings = BuildSettings.model_validate({"max_char_run": run})
    found = flags(make_batch(texts, ["z"] * 5, settings))["repeated_chars"]
    assert found.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("да и нет " * 4, True),
        ("раз два три четыре пять шесть семь восемь девять", False),
        ("да да да да", False),  # too few words to judge
    ],
)
def test_words_that_recur_are_dropped(src: str, expected: bool) -> None:
    assert says("repeated_words", src.strip(), "yes", max_repeated_share=0.5) is expected
    assert not says("repeated_words", src.strip(), "yes", max_repeated_share=1)


def test_the_table_of_triples_misses_no_text_that_the_exact_count_drops() -> None:
    chosen = random.Random(1)
    words = [f"w{number}" for number in range(40)]
    texts = [
        " ".join(chosen.choices(words[: chosen.randint(1, 20)], k=chosen.randint(1, 90)))
        for _ in range(500)
    ]
    settings = BuildSettings.model_validate(
        {"max_repeated_share": 0.4, "src_lang": "en", "tgt_lang": "de"}
    )
    found = flags(make_batch(texts, None, settings))["repeated_words"]
    exact = [repeated_share(text) > 0.4 and len(text.split()) >= 8 for text in texts]
    assert found.tolist() == exact
    assert 50 < sum(exact) < 450


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [
        ("Удаление слоя удаление слоя", "Remove layer", True),
        ("Вставка слайда вставку слайда", "Insert slide", True),
        ("Удаление слоя удаление маски", "Remove layer", False),
        ("Удаление слоя", "Remove layer remove layer", True),
        ("да нет да нет", "yes no yes no", False),  # both sides say it twice
        ("слой слой", "layer", False),
        ("раз два три раз два", "one two", False),
    ],
)
def test_a_side_that_says_the_same_twice_is_dropped(src: str, tgt: str, expected: bool) -> None:
    assert says("doubled", src, tgt) is expected
    assert not says("doubled", src, tgt, drop_doubled=False)
