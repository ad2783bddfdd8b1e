"""Numbers of both sides → dropped or kept."""

import pytest

from dataservice.prepare.filters.numbers import lost_number_share
from tests.dataservice.prepare.filters.judge import says


@pytest.mark.parametrize(
    ("src", "tgt"),
    [
        ("1 000 раз", "1,000 times"),
        ("1.000 раз", "1 000 times"),
        ("10'000", "10000"),
        ("0,5 мм", "0.5 mm"),
        ("75 %", "75.0 percent"),
        ("07.04.2012", "April 7, 2012"),
        ("один файл", "1 file"),
        ("5 с", "5000 ms"),
        ("более 100 000", "more than 100K"),
        ("%1$s", "%2$s"),
        ("١٢٣", "123"),
        ("1/50 секунды", "50ths of a second"),
        ("1, 2, 3", "1,2,3"),
        ("нет", "none"),
    ],
)
def test_one_number_may_be_written_in_many_ways(src: str, tgt: str) -> None:
    assert not says("numbers", src, tgt)


@pytest.mark.parametrize(
    ("src", "tgt"),
    [
        ("32-битный код", "16-bit code"),
        ("на 90 градусов", "by 15 degrees"),
        ("2. Плагины", "3. Plugins"),
        ("12 и 13", "14 and 15"),
    ],
)
def test_another_number_is_dropped(src: str, tgt: str) -> None:
    assert says("numbers", src, tgt)
    assert not says("numbers", src, tgt, max_lost_number_share=1)


def test_the_share_is_that_of_the_side_that_lost_fewer() -> None:
    assert lost_number_share("12 и 13", "12 and 14") == 0.5
    assert lost_number_share("12", "12 and 14") == 0
    assert not says("numbers", "12 и 13", "12 and 14", max_lost_number_share=0.5)
    assert says("numbers", "12 и 13", "12 and 14", max_lost_number_share=0.4)
