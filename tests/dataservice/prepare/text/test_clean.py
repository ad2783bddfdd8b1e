"""Text → clean text: what is put right, and what is left as it was."""

import re
import time
import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dataservice.prepare.text.clean import clean, repair_mojibake, strip_invisible, strip_markup

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю."


def misread(text: str, encoding: str) -> str:
    """UTF-8 bytes decoded as something else: mojibake."""
    return text.encode().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Привет, мир"),
        ("cp1251", "Настройки обновления системы"),
        ("cp1252", "the café’s menu"),
        ("cp1252", "naïve façade"),
        ("latin-1", "Привет, мир"),
        ("latin-1", RUSSIAN),
        ("latin-1", "déjà vu — again"),
    ],
)
def test_a_wrong_decoding_is_undone(encoding: str, text: str) -> None:
    broken = misread(text, encoding)
    assert broken != text
    assert repair_mojibake(broken).replace("’", "'") == text.replace("’", "'")
    assert clean(broken).replace("’", "'") == text.replace("’", "'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t \n ", ""),
        ("  два \t слова\n", "два слова"),
        ("а\u00a0б\u2009в\u3000г", "а б в г"),
        ("строка\r\nдругая\rтретья", "строка другая третья"),
        ("a\u2028b\u2029c\x0bd\x0ce", "a b c d e"),
        # NFC
        ("и\u0306 е\u0308", "й ё"),
        ("cafe\u0301", "café"),
        # what is not seen
        ("со\u00adвет", "совет"),
        ("\ufeffначало", "начало"),
        ("сло\u200bво \u200eтекст\u200f", "слово текст"),
        ("a\u200c\u200d\u2060\u2063b", "ab"),
        ("\u202eslave\u202c \u2067x\u2069", "slave x"),
        ("a\x00b\x07c\x1bd\x7fe", "a b c d e"),
        ("текст\u009d", "текст"),
        ("☎\ufe0f 8-800", "☎ 8-800"),
        # sentencepiece's sign for a space
        ("\u2581слово\u2581", "_слово_"),
        # entities
        ("AT&amp;T", "AT&T"),
        ("&laquo;Да&raquo; &mdash; нет", "«Да» — нет"),
        ("&#1055;&#x440;и", "При"),
        ("a&nbsp;b", "a b"),
        ("&amp;amp;amp; x", "& x"),
        ("R&D, Q&A; fish & chips;", "R&D, Q&A; fish & chips;"),
        ("a &notanentity; &copyright; b", "a &notanentity; &copyright; b"),
        ("&#0;&#xD800;&#9999999;", "\ufffd\ufffd\ufffd"),
        # elements and comments
        ("<b>жирный</b> текст", "жирный текст"),
        ("a<br/>b<BR>c", "a b c"),
        ('<a href="https://example.org/?a=1&amp;b=2">ссылка</a>', "ссылка"),
        ("<!-- скрыто -->видно", "видно"),
        ("<!-- в две\nстроки --> видно", "видно"),
        ("<p class='x'>абзац</p>", "абзац"),
        ("<scr<b>ipt>x", "<scr ipt>x"),
        ("&lt;b&gt;текст&lt;/b&gt;", "текст"),
        # what only looks like one
        ("если a < b и b > c", "если a < b и b > c"),
        ("vector<int> v; <имя файла> <file>", "vector<int> v; <имя файла> <file>"),
        ("1<2", "1<2"),
        ("->, <-, <=>, <3", "->, <-, <=>, <3"),
        # our own tags
        ("<author_X> текст", "текст"),
        ("<author_X><city_Y> <year_2025> текст", "текст"),
        ("текст <author>", "текст"),
        ("&lt;author_X&gt; текст", "текст"),
        ("<auth\u200bor_X> текст", "текст"),
        ("<author_<b>X> текст", "<author_ X> текст"),
        ("<authors> <cityscape>", "<authors> <cityscape>"),
        ("<author_имя с пробелом>", "<author_имя с пробелом>"),
    ],
)
def test_cleaning_puts_right(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        RUSSIAN,
        "«Война и мир» — роман, № 1 в списке… не так ли?",
        "It’s “quoted” – and 50 % off; №5, §7, ±3 °C, 10 × 20 €.",
        "Ёжик в тумане: 12:30, 1/2, 3-й, С.-Петербург!",
        "naïve café, Zürich, Łódź, São Paulo, Ærø",
        "Эйнштейн: E = mc², α + β → γ, 5 ≤ 7 ≠ 9",
        "Смайлик 🙂 и флаг 🇷🇺",
        "C:\\Users\\Имя\\файл.txt | sudo rm -rf %s && echo $HOME",
        "Слишком много: АБВГД еёжзийклмнопрстуфхцчшщъыьэюя",
        "Переменная <ИМЯ> и тип std::map<K, V>",
        "Р – римская цифра; С – предлог; РС",
        "Það er íslenska: Ðegar",
        "中文, 日本語, العربية, ελληνικά",
        "user@mail.example https://example.org/?a=b&c=d#e",
        "_snake_case_ __dunder__",
    ],
)
def test_normal_text_is_untouched(text: str) -> None:
    assert clean(text) == text


PIECES = "& amp; lt; gt; &lt; &#60; < > b / !-- --> author _x city и Ð Ÿ Р ° é"
pieces = st.sampled_from([*PIECES.split(" "), " ", "\u200b", "\u00ad", "\u0306", "\u2581", "\x00"])
texts = st.text(max_size=60) | st.lists(pieces, max_size=25).map("".join)


@given(texts)
@example("&amp;lt;b&amp;gt;")
@example("<<b>b>")
@example("<author_<author_x>>")
@example(misread(misread("привет", "latin-1"), "latin-1"))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


INVISIBLE = set("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u202a\u202e\u2066\u2069\u2581")


@given(texts)
def test_a_clean_text_is_one_line_of_visible_characters(text: str) -> None:
    cleaned = clean(text)
    assert cleaned == " ".join(cleaned.split())
    assert not INVISIBLE & set(cleaned)
    assert not any(unicodedata.category(char) == "Cc" for char in cleaned)
    assert unicodedata.is_normalized("NFC", cleaned)


@pytest.mark.parametrize("text", ["а№«", "Договора№«Альфа»", "№«А», дела№«Б»"])
def test_a_number_sign_before_a_quotation_mark_stays(text: str) -> None:
    assert clean(text) == text


@given(st.text(alphabet="абвгдеёжзийклмнопрстуфхцчшщъыьэюяАБВГДЕЁ ,.!?-—«»№", max_size=60))
def test_russian_letters_and_signs_only_lose_extra_spaces(text: str) -> None:
    # `В«Вё` is just what « and ё look like when UTF-8 is read as Windows-1251
    assume(not re.search("[А-Е][Ёё«»№—]", text))
    assert clean(text) == " ".join(text.split())


@given(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="<&"))
)
def test_plain_ascii_only_loses_extra_spaces(text: str) -> None:
    assert clean(text) == " ".join(text.split())


def test_each_step_does_its_own_work() -> None:
    assert strip_markup("<b>a</b> &amp; <year_1>") == " a  &  "
    assert strip_invisible("a\u200bb\x00") == "ab "
    assert repair_mojibake("plain") == "plain"


@pytest.mark.parametrize("piece", ["<!--", "--><!--", "<a ", "<", "&", "&amp;", "<author_", "Ð"])
def test_a_text_made_to_be_slow_is_not(piece: str) -> None:
    started = time.process_time()  # what a busy machine does meanwhile does not count
    clean(piece * 20_000)
    assert time.process_time() - started < 5
