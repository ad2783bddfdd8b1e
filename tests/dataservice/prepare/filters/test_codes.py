"""Placeholders, tags and addresses → dropped or kept."""

import pytest

from dataservice.prepare.filters.codes import lost_placeholders
from tests.dataservice.prepare.filters.judge import says


@pytest.mark.parametrize(
    ("src", "tgt"),
    [
        ("Файл %s", "File %s"),
        ("%1$s в %2$s", "%s in %s"),
        ("%2$s: %1$d", "%d of %s"),
        ("%.50s", "%s"),
        ("%'d раз", "%d times"),
        ("%%d процентов", "percent"),
        ("цикл %d", "loop %d%'s end"),
        ("100% готово", "100% of it is done"),
        ("{дата}", "{date}"),
        ("{0} из {1}", "{1} of {0}"),
        ("Ошибка:~%~%~a", "Error:~%~%~a"),
        ("%qs не %<x%>", "%qs is not %<x%>"),
        ("$HOME и ${x}", "${x} and $HOME"),
        ("стоит $5", "costs $ 5"),
        ("%1 из %2", "%1 of %2"),
    ],
)
def test_the_same_placeholders_in_any_order_or_width_are_kept(src: str, tgt: str) -> None:
    assert not says("placeholders", src, tgt)


@pytest.mark.parametrize(
    ("src", "tgt", "lost"),
    [
        ("Найден один файл", "%d files found", 1),
        ("%s", "%d", 1),
        ("%s и %s", "%s", 1),
        ("%1 и %2", "%1", 1),
        ("{0}", "it", 1),
        ("%(name)s", "%(title)s", 1),
        ("в доме", "in $HOME", 1),
        ("ничего", "%s %s %s", 3),
    ],
)
def test_a_lost_placeholder_is_dropped_up_to_the_limit(src: str, tgt: str, lost: int) -> None:
    assert lost_placeholders(src, tgt) == lost
    assert says("placeholders", src, tgt)
    assert not says("placeholders", src, tgt, max_lost_placeholders=lost)
    assert not says("placeholders", src, tgt, max_lost_placeholders=-1)


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("<title>Имя</title>", True),
        ('<a href="x">Имя</a>', True),
        ("<html><head/><body> да </body></html>", True),
        ("<!-- нет --> да", True),
        ("<имя файла>", False),
        ("<not found> да", False),
        ("да < нет > может быть", False),
        ("<application>%1</application> запущено и работает уже очень долго, без перерывов", False),
    ],
)
def test_tags_have_their_limit_and_text_in_angle_brackets_is_none(src: str, expected: bool) -> None:
    assert says("markup", src, "words", max_markup_share=0.5) is expected
    assert not says("markup", src, "words", max_markup_share=1)


@pytest.mark.parametrize(
    ("src", "expected"),
    [
        ("https://example.org/a/b да", True),
        ("См. https://example.org: там описано всё, что нужно знать", False),
        ("да: нет // может быть", False),
        ("FTP://EXAMPLE.ORG/X", True),
        ("x:", False),
    ],
)
def test_addresses_have_their_limit(src: str, expected: bool) -> None:
    assert says("urls", src, "words", max_url_share=0.5) is expected
    assert not says("urls", src, "words", max_url_share=1)
