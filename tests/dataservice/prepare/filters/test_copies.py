"""Sides that are each other's copies → dropped or kept."""

import pytest

from dataservice.prepare.filters.copies import copied_share
from dataservice.prepare.filters.words import plain_words
from tests.dataservice.prepare.filters.judge import reason, says


@pytest.mark.parametrize("text", ["GNU", "123", "ok!", "Привет"])
def test_identical_sides_are_dropped_and_told_so(text: str) -> None:
    assert reason(text, text) == "identical_sides"
    assert not says("identical_sides", text, text, drop_identical=False)


@pytest.mark.parametrize(("src", "tgt"), [("GNU", "GNU!"), ("GNU", "GNA"), ("GNU", "gnu")])
def test_sides_that_differ_at_all_are_not_identical(src: str, tgt: str) -> None:
    assert not says("identical_sides", src, tgt)


_ENGLISH = "You can use tags to show the brushes of a group"


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        (_ENGLISH, True),
        (f"{_ENGLISH}. См. Раздел 3, «Метки».", True),
        ("Кисти одной группы можно показать по их меткам", False),
        ("git stash [--index] [-q | --quiet] использует <stash>", False),
    ],
)
def test_an_untranslated_side_is_dropped_across_scripts(src: str, expected: bool) -> None:
    assert says("untranslated", src, f"{_ENGLISH}. See Section 3, “Tags”.") is expected
    assert not says("untranslated", src, _ENGLISH, max_copied_share=1)


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("Man kann die Pinsel einer Gruppe zeigen", False),
        (f"Hier: {_ENGLISH}", True),
        ("Hotel in Berlin", False),  # too few words to tell a copy from a name
    ],
)
def test_an_untranslated_side_is_dropped_within_one_script(src: str, expected: bool) -> None:
    assert says("untranslated", src, f"Hint: {_ENGLISH}", src_lang="de") is expected


def test_the_share_of_copied_words_is_that_of_the_poorer_side() -> None:
    assert copied_share("one two three four", "one two three four five six") == 1
    assert copied_share("one two three four", "one two five six") == 0.5
    assert copied_share("one two three", "one two three") == 0  # too few


def test_plain_words_are_no_names_options_paths_or_placeholders() -> None:
    text = (
        'Open the (file) "name", --all of /etc/x in GNU %s {on | off} [any] don_t NetBSD 2nd end.'
    )
    assert plain_words(text) == ["the", "file", "name", "of", "in", "end"]
    assert plain_words("中文 и русский") == ["中文", "и", "русский"]
