"""Longer texts → bands, of which near-duplicates share one, and nothing else does."""

import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from dataservice.errors import BuildError
from dataservice.prepare.minhash import band_hashes
from dataservice.settings import BuildSettings

_KNOWN = [4257560974079994516, 1254289063311090712]
_WORDS = tuple(f"слово{number}" for number in range(500))


def repeats(bands: npt.NDArray[np.uint64], order: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """The rows that share a band with a row of a lower order [M]; bands [M, B], order [M]."""
    found = np.zeros(len(bands), np.bool_)
    for band in bands.T:
        ranked = np.lexsort((order, band))
        ordered = band[ranked]
        found[ranked[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)]] = True
    return found


def text(seed: int, num_words: int = 60) -> list[str]:
    return random.Random(seed).choices(_WORDS, k=num_words)


def shares_a_band(one: list[str], other: list[str], **settings: object) -> bool:
    values = BuildSettings.model_validate(settings)
    first, second = band_hashes([" ".join(one), " ".join(other)], values)
    return bool(((first == second) & (first != 0)).any())


def test_texts_that_differ_in_a_word_share_a_band() -> None:
    found = [shares_a_band(text(seed), [*text(seed)[:-1], "другое"]) for seed in range(40)]
    assert sum(found) >= 39


def test_texts_that_have_half_of_their_words_in_common_rarely_share_one() -> None:
    found = [
        shares_a_band(text(seed), text(seed)[:30] + text(seed + 1000, 30)) for seed in range(40)
    ]
    assert sum(found) <= 2


def test_case_does_not_matter_and_the_order_of_words_does() -> None:
    assert shares_a_band(text(1), [word.upper() for word in text(1)])
    assert not shares_a_band(text(1), sorted(text(1)))


def test_texts_of_too_few_words_have_no_bands() -> None:
    settings = BuildSettings(minhash_min_words=20, minhash_bands=5)
    bands = band_hashes([" ".join(text(1, 19)), " ".join(text(1, 20)), "", "да"], settings)
    assert bands.shape == (4, 5)
    assert (bands != 0).all(axis=1).tolist() == [False, True, False, False]
    assert not bands[[0, 2, 3]].any()


def test_a_single_word_has_bands_where_they_are_asked_for() -> None:
    bands = band_hashes(["да", "нет", "да", ""], BuildSettings(minhash_min_words=1))
    assert repeats(bands, np.arange(4)).tolist() == [False, False, True, False]


def test_a_text_has_the_same_bands_alone_in_a_batch_and_in_another_process() -> None:
    settings = BuildSettings()
    texts = [" ".join(text(seed, 25 + seed)) for seed in range(12)]
    together = band_hashes(texts, settings)
    assert np.array_equal(np.concatenate([band_hashes([one], settings) for one in texts]), together)
    program = (
        "import sys; from dataservice.prepare.minhash import band_hashes\n"
        "from dataservice.settings import BuildSettings\n"
        "print(band_hashes([sys.argv[1]], BuildSettings()).tolist()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, texts[3]], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(together[3].tolist())


def test_the_bands_of_a_known_text_are_those_of_older_releases() -> None:
    settings = BuildSettings(minhash_min_words=3, minhash_bands=2, minhash_rows=4)
    assert band_hashes(["one two three four"], settings).tolist() == [_KNOWN]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0]])
def test_of_rows_that_share_a_band_the_first_in_order_is_kept(order: list[int]) -> None:
    bands = np.array([[1, 2], [3, 2], [3, 4], [0, 0]], np.uint64)
    kept = 0 if order[0] == 0 else 2
    found = repeats(bands, np.array(order))
    assert found.tolist() == [row != kept and row != 3 for row in range(4)]


def test_bands_of_different_numbers_and_of_short_texts_are_not_compared() -> None:
    bands = np.array([[1, 2], [2, 1], [0, 0], [0, 0]], np.uint64)
    assert not repeats(bands, np.arange(4)).any()
    assert repeats(np.zeros((0, 2), np.uint64), np.arange(0)).tolist() == []


def test_a_missing_library_is_told_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(BuildError, match="extra `minhash`"):
        band_hashes(["да"], BuildSettings())


def test_a_library_that_hashes_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = SimpleNamespace(RMinHash=SimpleNamespace(ALGORITHM_VERSION=99))
    monkeypatch.setitem(sys.modules, "rensa", other)
    with pytest.raises(BuildError, match="algorithm 99"):
        band_hashes(["да"], BuildSettings())
