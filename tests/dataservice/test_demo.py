"""The demo corpus API -> checks of its promises: counts, uniqueness, grammar, determinism."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from collections import Counter
from functools import cache

import pytest

from dataservice.demo.corpus import DemoPair, demo_pairs, max_pairs, written_pairs
from dataservice.demo.grammar import (
    CASES,
    Noun,
    adjective_form,
    agreeing_adjective,
    counted_form,
    full_prepositions,
    indefinite_article,
    plural_class,
    render_en,
    render_ru,
    sentence_case,
)
from dataservice.demo.lexicon import authors, cities, pools
from dataservice.demo.templates import templates

CYRILLIC = re.compile(r"[\u0400-\u04ff]")
HASH_SEED_PROBE = (
    "import zlib; from dataservice.demo.corpus import demo_pairs;"
    "print(zlib.crc32(repr(list(demo_pairs(1_000))).encode()))"
)


@cache
def corpus() -> tuple[DemoPair, ...]:
    return tuple(demo_pairs())


def noun(word: str) -> Noun:
    for pool in pools().values():
        for lexeme in pool:
            if isinstance(lexeme, Noun) and lexeme.singular[0] == word:
                return lexeme
    raise LookupError(word)


def first_letter(text: str) -> str:
    return next(char for char in text if char.isalpha())


def test_default_corpus_has_exactly_ten_thousand_pairs() -> None:
    assert len(corpus()) == 10_000


def test_written_pairs_come_first_in_file_order_and_generated_ones_follow() -> None:
    written = len(written_pairs())
    assert written >= 330
    assert corpus()[:written] == written_pairs()
    assert {pair.source for pair in corpus()[:written]} == {"demo-written"}
    assert {pair.source for pair in corpus()[written:]} == {"demo-generated"}


@pytest.mark.parametrize("side", ["ru", "en"])
def test_no_sentence_repeats_on_either_side(side: str) -> None:
    counts = Counter(getattr(pair, side) for pair in corpus())
    assert [text for text, count in counts.items() if count > 1] == []


def test_same_seed_gives_the_same_pairs() -> None:
    assert tuple(demo_pairs(2_000, seed=7)) == tuple(demo_pairs(2_000, seed=7))


@pytest.mark.parametrize("hash_seed", ["0", "123"])
def test_pairs_do_not_depend_on_the_hash_seed_of_the_process(hash_seed: str) -> None:
    environment = dict(os.environ, PYTHONHASHSEED=hash_seed, PYTHONPATH=os.pathsep.join(sys.path))
    found = subprocess.run(
        [sys.executable, "-c", HASH_SEED_PROBE],
        capture_output=True,
        check=True,
        env=environment,
        text=True,
    )
    assert int(found.stdout) == zlib.crc32(repr(list(corpus()[:1_000])).encode())


def test_different_seeds_give_different_generated_pairs() -> None:
    one, two = (set(demo_pairs(2_000, seed=seed)) for seed in (1, 2))
    assert len(one & two) < len(written_pairs()) + 50


@pytest.mark.parametrize("num_pairs", [1, 10, 347, 348, 349, 1_000])
def test_fewer_pairs_are_a_prefix_of_more_pairs(num_pairs: int) -> None:
    assert tuple(demo_pairs(num_pairs)) == corpus()[:num_pairs]


@pytest.mark.parametrize("num_pairs", [0, -1, max_pairs() + 1])
def test_impossible_number_of_pairs_is_refused_at_once_with_the_limit_named(num_pairs: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and {max_pairs()}.*got {num_pairs}"):
        demo_pairs(num_pairs)


def test_first_author_is_known_and_about_half_of_written_pairs_are_signed() -> None:
    first = written_pairs()[0]
    assert (first.author, first.city, first.year) == ("MagistrTheOne", "Krasnodar", 2025)
    signed = sum(pair.author is not None for pair in written_pairs())
    assert 0.4 < signed / len(written_pairs()) < 0.65


@pytest.mark.parametrize(("field", "distinct"), [("author", 40), ("city", 25), ("year", 17)])
def test_most_generated_pairs_carry_varied_metadata(field: str, distinct: int) -> None:
    values = [getattr(pair, field) for pair in corpus()[len(written_pairs()) :]]
    present = [value for value in values if value is not None]
    assert 0.7 < len(present) / len(values) < 1.0
    assert len(set(present)) >= distinct


def test_years_stay_in_range_and_names_are_single_latin_tokens() -> None:
    assert all(pair.year is None or 2010 <= pair.year <= 2026 for pair in corpus())
    names = {pair.author for pair in corpus()} | {pair.city for pair in corpus()}
    assert all(re.fullmatch(r"\w+", name, re.ASCII) for name in names if name is not None)
    assert len(set(authors())) == len(authors())
    assert len(set(cities())) == len(cities())


def test_russian_side_is_russian_and_english_side_has_no_cyrillic() -> None:
    assert [pair for pair in corpus() if not CYRILLIC.search(pair.ru)] == []
    assert [pair for pair in corpus() if CYRILLIC.search(pair.en)] == []


def test_every_sentence_starts_with_a_capital_letter() -> None:
    bad = [p for p in corpus() if not (first_letter(p.ru) + first_letter(p.en)).isupper()]
    assert bad == []


def test_final_punctuation_matches_on_both_sides() -> None:
    bad = [pair for pair in corpus() if pair.ru[-1] != pair.en[-1] or pair.ru[-1] not in ".?!"]
    assert bad == []


def test_lengths_and_length_ratios_are_reasonable() -> None:
    assert all(10 <= len(text) <= 200 for pair in corpus() for text in (pair.ru, pair.en))
    assert all(0.5 <= len(pair.ru) / len(pair.en) <= 2.0 for pair in corpus())
    assert all(3 <= len(text.split()) <= 30 for pair in corpus() for text in (pair.ru, pair.en))


@pytest.mark.parametrize(
    "leftover", ["{", "}", "~", "_", "  ", " .", " ,", " ?", "?|", "None", "\u00a0"]
)
def test_no_template_syntax_or_stray_space_is_left_in_any_sentence(leftover: str) -> None:
    assert [p for p in corpus() if leftover in p.ru or leftover in p.en] == []


def test_english_articles_agree_with_the_next_word() -> None:
    pattern = re.compile(r"\b(a|an) ([A-Za-z-]+)")
    generated = (pair.en for pair in corpus()[len(written_pairs()) :])
    wrong = [m[0] for en in generated for m in pattern.finditer(en)
             if indefinite_article(m[2]) != m[1]]  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize("lexeme_kind", ["noun", "adjective", "verb", "template"])
def test_the_lexicon_is_as_large_as_promised(lexeme_kind: str) -> None:
    members = {id(lexeme): type(lexeme).__name__ for pool in pools().values() for lexeme in pool}
    counts = Counter(name.lower() for name in members.values())
    counts["template"] = len(templates())
    assert (
        counts[lexeme_kind]
        >= {"noun": 60, "adjective": 30, "verb": 30, "template": 25}[lexeme_kind]
    )


@pytest.mark.parametrize("number", range(len(templates())))
def test_every_template_gives_a_new_sentence_for_every_choice(number: int) -> None:
    template = templates()[number]
    step = max(1, template.capacity // 150)
    sentences = [template.render(index) for index in range(0, template.capacity, step)]
    assert template.capacity >= 300
    assert len({ru for ru, _ in sentences}) == len(sentences)
    assert len({en for _, en in sentences}) == len(sentences)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "many"), (1, "one"), (2, "few"), (4, "few"), (5, "many"), (10, "many"), (11, "many"),
        (12, "many"), (14, "many"), (20, "many"), (21, "one"), (22, "few"), (25, "many"),
        (100, "many"), (101, "one"), (111, "many"), (112, "many"), (122, "few"), (1001, "one"),
        (1011, "many"),
    ],
)  # fmt: skip
def test_plural_class_follows_russian_numerals(number: int, expected: str) -> None:
    assert plural_class(number) == expected


@pytest.mark.parametrize(
    ("word", "number", "case", "expected"),
    [
        ("файл", 1, "acc", "файл"), ("файл", 2, "acc", "файла"), ("файл", 5, "acc", "файлов"),
        ("файл", 11, "nom", "файлов"), ("файл", 21, "nom", "файл"), ("файл", 21, "gen", "файла"),
        ("файл", 2, "gen", "файлов"), ("запись", 1, "acc", "запись"),
        ("запись", 3, "nom", "записи"), ("запись", 12, "nom", "записей"),
        ("минута", 1, "acc", "минуту"), ("минута", 21, "acc", "минуту"),
        ("минута", 42, "acc", "минуты"), ("видеокарта", 8, "prep", "видеокартах"),
        ("видеокарта", 21, "prep", "видеокарте"), ("тысяча", 21, "acc", "тысячу"),
        ("бесконечный цикл", 4, "acc", "бесконечных цикла"),
        ("логическая ошибка", 2, "acc", "логические ошибки"),
        ("логическая ошибка", 5, "acc", "логических ошибок"), ("день", 5, "nom", "дней"),
        ("инженер", 1, "acc", "инженера"), ("инженер", 5, "acc", "инженеров"),
    ],
)  # fmt: skip
def test_noun_after_a_number_takes_the_right_form(
    word: str, number: int, case: str, expected: str
) -> None:
    assert counted_form(noun(word), number, case) == expected


@pytest.mark.parametrize(
    ("adjective", "key", "expected"),
    [
        ("новый", "m", "новый нового новому новый новым новом"),
        ("новый", "f", "новая новой новой новую новой новой"),
        ("новый", "n", "новое нового новому новое новым новом"),
        ("новый", "pl", "новые новых новым новые новыми новых"),
        ("внутренний", "m", "внутренний внутреннего внутреннему внутренний внутренним внутреннем"),
        ("внутренний", "f", "внутренняя внутренней внутренней внутреннюю внутренней внутренней"),
        ("внешний", "n", "внешнее внешнего внешнему внешнее внешним внешнем"),
        ("внешний", "pl", "внешние внешних внешним внешние внешними внешних"),
        ("лёгкий", "m", "лёгкий лёгкого лёгкому лёгкий лёгким лёгком"),
        ("лёгкий", "pl", "лёгкие лёгких лёгким лёгкие лёгкими лёгких"),
        ("общий", "m", "общий общего общему общий общим общем"),
        ("общий", "f", "общая общей общей общую общей общей"),
        ("свежий", "n", "свежее свежего свежему свежее свежим свежем"),
        ("устаревший", "pl", "устаревшие устаревших устаревшим устаревшие устаревшими устаревших"),
        ("большой", "m", "большой большого большому большой большим большом"),
        ("большой", "f", "большая большой большой большую большой большой"),
        ("большой", "pl", "большие больших большим большие большими больших"),
        ("простой", "n", "простое простого простому простое простым простом"),
        ("простой", "pl", "простые простых простым простые простыми простых"),
    ],
)  # fmt: skip
def test_adjective_declines_by_its_stem(adjective: str, key: str, expected: str) -> None:
    assert " ".join(adjective_form(adjective, key, case) for case in CASES) == expected


@pytest.mark.parametrize(
    ("word", "case", "number", "expected"),
    [
        ("файл", "acc", None, "новый"), ("запись", "acc", None, "новую"),
        ("сообщение", "ins", None, "новым"), ("инженер", "acc", None, "нового"),
        ("файл", "acc", 1, "новый"), ("файл", "acc", 3, "новых"), ("файл", "acc", 5, "новых"),
        ("запись", "acc", 3, "новые"), ("запись", "acc", 5, "новых"),
        ("запись", "acc", 21, "новую"), ("файл", "prep", 8, "новых"),
    ],
)  # fmt: skip
def test_adjective_agrees_with_its_noun_alone_and_after_numbers(
    word: str, case: str, number: int | None, expected: str
) -> None:
    assert agreeing_adjective("новый", noun(word), case, number) == expected


@pytest.mark.parametrize(
    ("who", "expected"),
    [("Анна", "написала"), ("Иван", "написал"), ("приложение", "написало")],
)
def test_past_tense_agrees_with_the_gender_of_the_subject(who: str, expected: str) -> None:
    slots = {"who": noun(who)}
    assert render_ru("{who:nom} {who?написал|написала|написало}.", slots) == (
        f"{sentence_case(who)} {expected}."
    )


@pytest.mark.parametrize(
    ("word", "article"),
    [
        ("file", "a"), ("index", "an"), ("user", "a"), ("universal", "a"), ("unneeded", "an"),
        ("hour", "an"), ("hash", "a"), ("URL", "a"), ("SQL", "an"), ("F-score", "an"),
        ("encrypted", "an"), ("one", "a"), ("outdated", "an"), ("GPU", "a"),
    ],
)  # fmt: skip
def test_article_follows_the_sound_of_the_next_word(word: str, article: str) -> None:
    assert indefinite_article(word) == article
    assert render_en(f"This is a~ {word}.", {}) == f"This is {article} {word}."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("в внешнем модуле", "во внешнем модуле"), ("в версии", "в версии"),
        ("в Владивостоке", "во Владивостоке"), ("в функции", "в функции"),
        ("с стажёром", "со стажёром"), ("с Сергеем", "с Сергеем"), ("с Анной", "с Анной"),
        ("о индексах", "об индексах"), ("о моделях", "о моделях"),
    ],
)  # fmt: skip
def test_prepositions_take_their_full_form_where_needed(text: str, expected: str) -> None:
    assert full_prepositions(text) == expected


def test_nouns_and_verbs_have_no_empty_forms_and_distinct_english_in_every_pool() -> None:
    for name, pool in pools().items():
        english = [lexeme.en for lexeme in pool if isinstance(lexeme, Noun)]
        assert len(set(english)) == len(english), name
        assert all(all(x.singular) and all(x.plural) for x in pool if isinstance(x, Noun)), name
