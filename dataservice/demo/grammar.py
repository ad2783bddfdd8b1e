"""A pattern with slots and the lexemes chosen for them -> the inflected Russian or English text.

Slot syntax, the same on both sides:
  {x}            the base form (or the fixed text of a phrase)
  {x:form}       an explicit form: a case, "case.pl", a verb form, "the", "pl"
  {x:form@y}     agreement with the noun in slot y
  {x:form#n}     the form that the number in slot n asks for
  {x?a|b|c}      a choice by the gender of x (m|f|n), or by the number x (one|other)
  {x?a|b|c#n}    as above, but neuter unless the number in slot n ends in "one"
  a~             English only: becomes "a" or "an", by the word after it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, assert_never

Gender = Literal["m", "f", "n"]
PluralClass = Literal["one", "few", "many"]
Forms = tuple[str, ...]

CASES: Final = ("nom", "gen", "dat", "acc", "ins", "prep")
GENDERS: Final[tuple[Gender, ...]] = ("m", "f", "n")

_FIELD: Final = re.compile(r"\{(\w+)(?:([:?])([^}@#]*))?(?:@(\w+))?(?:#(\w+))?\}")
_ARTICLE: Final = re.compile(r"\ba~ (?=([\w+-]+))")
_FULL_V_OR_S: Final = re.compile(
    r"\b([Вв](?= [ВвФф][бвгджзклмнпрстфхцчшщ])|[Сс](?= [СсЗзШшЖж][бвгджзклмнпрстфхцчшщ])) "
)
_O_BEFORE_VOWEL: Final = re.compile(r"\b([Оо]) (?=[АаЭэИиОоУу])")

# Vowel letters that are read with a consonant, and the reverse.
_CONSONANT_SOUND: Final = ("uni", "use", "usa", "uti", "eu", "one", "url", "unix")
_VOWEL_SOUND: Final = ("hour", "honest", "f-", "sql", "ssd", "html", "http", "xml", "llm", "lstm")

_HARD: Final[Mapping[str, Forms]] = {
    "m": ("ый", "ого", "ому", "ый", "ым", "ом"),
    "n": ("ое", "ого", "ому", "ое", "ым", "ом"),
    "f": ("ая", "ой", "ой", "ую", "ой", "ой"),
    "pl": ("ые", "ых", "ым", "ые", "ыми", "ых"),
}
_SOFT: Final[Mapping[str, Forms]] = {
    "m": ("ий", "его", "ему", "ий", "им", "ем"),
    "n": ("ее", "его", "ему", "ее", "им", "ем"),
    "f": ("яя", "ей", "ей", "юю", "ей", "ей"),
    "pl": ("ие", "их", "им", "ие", "ими", "их"),
}


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun with all of its forms spelled out, `few` after 2, 3 and 4; names have no plural."""

    singular: Forms
    plural: Forms
    few: str
    gender: Gender
    animate: bool
    en: str
    en_plural: str
    en_definite: str


@dataclass(frozen=True, slots=True)
class Adjective:
    """A long-form adjective, given by its masculine nominative."""

    ru: str
    en: str


@dataclass(frozen=True, slots=True)
class Verb:
    """A transitive verb: a perfective and imperfective partner and the English forms."""

    perfective: Mapping[str, str]
    imperfective: Mapping[str, str]
    participle: Forms
    en: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """A whole predicate in the past tense: masculine, feminine, neuter, plural."""

    past: Forms
    en: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """A fixed stretch of text that never changes."""

    ru: str
    en: str


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, written in digits."""

    value: int


Lexeme = Noun | Adjective | Verb | Event | Phrase | Number


def plural_class(number: int) -> PluralClass:
    """Which form a Russian noun takes after the number: 1 файл, 2 файла, 5 файлов."""
    tens, units = number % 100, number % 10
    if units == 1 and tens != 11:
        return "one"
    if units in (2, 3, 4) and tens not in (12, 13, 14):
        return "few"
    return "many"


def noun_form(noun: Noun, case: str, *, plural: bool = False) -> str:
    """The form of the noun in a case."""
    return (noun.plural if plural else noun.singular)[CASES.index(case)]


def counted_form(noun: Noun, number: int, case: str) -> str:
    """The form of the noun after a number in digits, the whole group standing in `case`."""
    kind = plural_class(number)
    if kind == "one":
        return noun_form(noun, case)
    if case == "acc" and noun.animate:
        return noun_form(noun, "gen", plural=True)
    if case in ("nom", "acc"):
        return noun.few if kind == "few" else noun_form(noun, "gen", plural=True)
    return noun_form(noun, case, plural=True)


def adjective_form(ru: str, key: str, case: str, *, animate: bool = False) -> str:
    """The form of an adjective for a gender or "pl", by the regular hard and soft declensions."""
    stem, ending = ru[:-2], ru[-2:]
    velar, hushing = stem[-1] in "гкх", stem[-1] in "жшчщ"
    if animate and case == "acc" and key in ("m", "pl"):
        case = "gen"
    if (key, case) in (("m", "nom"), ("m", "acc")):
        return ru
    if ending == "ий" and not velar and not hushing:
        return stem + _SOFT[key][CASES.index(case)]
    suffix = _HARD[key][CASES.index(case)]
    if velar or hushing:
        suffix = suffix.replace("ы", "и")
    if hushing and ending != "ой" and suffix[0] == "о":
        suffix = "е" + suffix[1:]
    return stem + suffix


def agreeing_adjective(ru: str, noun: Noun, case: str, number: int | None = None) -> str:
    """The adjective in agreement with a noun, alone or after a number."""
    if number is None or plural_class(number) == "one":
        return adjective_form(ru, noun.gender, case, animate=noun.animate)
    if case not in ("nom", "acc"):
        return adjective_form(ru, "pl", case)
    # "2 новые строки" but "2 новых файла": only feminine nouns keep the nominative here.
    few_feminine = plural_class(number) == "few" and noun.gender == "f" and not noun.animate
    return adjective_form(ru, "pl", "nom" if few_feminine else "gen")


def indefinite_article(word: str) -> str:
    """The article, "a" or "an", for the English word that follows."""
    lowered = word.lower()
    if lowered.startswith(_VOWEL_SOUND):
        return "an"
    if lowered.startswith(_CONSONANT_SOUND):
        return "a"
    return "an" if lowered[0] in "aeiou" else "a"


def full_prepositions(text: str) -> str:
    """The Russian text with в, с, о turned into во, со, об where the next word asks for it."""
    return _O_BEFORE_VOWEL.sub(r"\1б ", _FULL_V_OR_S.sub(r"\1о ", text))


def sentence_case(text: str) -> str:
    """The text with its first letter in upper case."""
    for position, char in enumerate(text):
        if char.isalpha():
            return text[:position] + char.upper() + text[position + 1 :]
    return text


def render_ru(pattern: str, slots: Mapping[str, Lexeme]) -> str:
    """The Russian sentence that the pattern makes of the chosen lexemes."""
    text = _FIELD.sub(lambda match: _ru_field(match, slots), pattern)
    return sentence_case(full_prepositions(text))


def render_en(pattern: str, slots: Mapping[str, Lexeme]) -> str:
    """The English sentence that the pattern makes of the chosen lexemes."""
    text = _FIELD.sub(lambda match: _en_field(match, slots), pattern)
    text = _ARTICLE.sub(lambda match: f"{indefinite_article(match[1])} ", text)
    return sentence_case(text)


def _noun_at(slots: Mapping[str, Lexeme], name: str | None) -> Noun:
    noun = slots[name] if name is not None else None
    if not isinstance(noun, Noun):
        raise TypeError(f"slot {name!r} must hold a noun to agree with")
    return noun


def _number_at(slots: Mapping[str, Lexeme], name: str | None) -> int | None:
    if name is None:
        return None
    number = slots[name]
    if not isinstance(number, Number):
        raise TypeError(f"slot {name!r} must hold a number")
    return number.value


def _ru_digits(value: int) -> str:
    # Russian groups digits only from five on: 2500, but 10 000.
    return f"{value:,}".replace(",", " ") if value > 9999 else str(value)


def _past(forms: Forms, spec: str, noun: Noun | None) -> str:
    if spec.endswith(".pl"):
        return forms[3]
    return forms[GENDERS.index(noun.gender) if noun is not None else 0]


def _ru_field(match: re.Match[str], slots: Mapping[str, Lexeme]) -> str:
    name, operator, spec, agree, count = match.groups()
    lexeme, form = slots[name], spec or ""
    number = _number_at(slots, count)
    match lexeme:
        case Phrase():
            return lexeme.ru
        case Number():
            return _ru_digits(lexeme.value)
        case Noun():
            return _ru_noun(lexeme, form, number, choice=operator == "?")
        case Adjective():
            case, _, plural = form.partition(".")
            if plural:
                animate = agree is not None and _noun_at(slots, agree).animate
                return adjective_form(lexeme.ru, "pl", case, animate=animate)
            return agreeing_adjective(lexeme.ru, _noun_at(slots, agree), case, number)
        case Event():
            return _past(lexeme.past, form, _noun_at(slots, agree) if agree else None)
        case Verb():
            return _ru_verb(lexeme, form, _noun_at(slots, agree) if agree else None)
    assert_never(lexeme)


def _ru_noun(noun: Noun, form: str, number: int | None, *, choice: bool) -> str:
    if choice:
        one = number is None or plural_class(number) == "one"
        return form.split("|")[GENDERS.index(noun.gender) if one else 2]
    if number is not None:
        return counted_form(noun, number, form)
    case, _, plural = form.partition(".")
    return noun_form(noun, case, plural=bool(plural))


def _ru_verb(verb: Verb, form: str, noun: Noun | None) -> str:
    if form.startswith("past"):
        past = tuple(verb.perfective[key] for key in ("past_m", "past_f", "past_n", "past_pl"))
        return _past(past, form, noun)
    if form.startswith("part"):
        return _past(verb.participle, form, noun)
    if form in verb.perfective:
        return verb.perfective[form]
    return verb.imperfective[form]


def _en_field(match: re.Match[str], slots: Mapping[str, Lexeme]) -> str:
    name, operator, spec, _, count = match.groups()
    lexeme, form = slots[name], spec or ""
    number = _number_at(slots, count)
    match lexeme:
        case Phrase() | Adjective() | Event():
            return lexeme.en
        case Number():
            if operator == "?":
                return form.split("|")[0 if lexeme.value == 1 else 1]
            return f"{lexeme.value:,}"
        case Noun():
            if form == "the":
                return lexeme.en_definite
            plural = form == "pl" or number not in (None, 1)
            return lexeme.en_plural if plural else lexeme.en
        case Verb():
            return lexeme.en[form]
    assert_never(lexeme)
