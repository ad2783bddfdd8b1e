"""Labels, results and the page that tells them → they agree, and hold what they promise."""

import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.prepare.labels import LABELS, Share, read_labels, read_pairs, weighted_share, wilson
from benchmarks.prepare.quality import ALL, EXTRA, PAGE, RESULTS, judge, measure, page
from dataservice.prepare.filters import FILTERS
from shards.sample import pair_key

CORPUS = os.environ.get("PROMETHEUS_CORPUS")


@pytest.mark.parametrize(
    ("share", "number", "low", "high"),
    [(0.5, 100, 0.404, 0.596), (1.0, 10, 0.722, 1.0), (0.0, 10, 0.0, 0.278), (0.0, 0, 0.0, 1.0)],
)
def test_intervals_are_those_of_the_textbook(
    share: float, number: int, low: float, high: float
) -> None:
    assert wilson(share, number) == pytest.approx((low, high), abs=1e-3)


def test_a_pair_counts_as_often_as_pairs_that_it_stands_for() -> None:
    hits = np.array([True, False, True])
    found = weighted_share(hits, np.array([True, True, False]), np.array([9.0, 1.0, 5.0]))
    assert (found.share, found.right, found.read) == (0.9, 1, 2)
    assert found.high - found.low > 0.5  # unequal weights say little


def test_equal_weights_give_the_interval_of_so_many_pairs() -> None:
    hits = np.arange(40) < 30
    found = weighted_share(hits, np.ones(40, np.bool_), np.full(40, 7.0))
    assert (found.low, found.high) == pytest.approx(wilson(0.75, 40))


def test_no_pairs_say_nothing() -> None:
    none = np.zeros(2, np.bool_)
    assert weighted_share(none, none, np.ones(2)) == Share(0.0, 0.0, 1.0, 0, 0)


def test_the_labels_are_many_and_hold_no_text() -> None:
    labels = read_labels()
    assert len({label.key for label in labels}) == len(labels) >= 400
    assert {label.set for label in labels} == {"tuning", "test"}
    assert all(re.fullmatch("[0-9a-f]{32}", label.key) for label in labels)
    assert all(re.fullmatch("[a-z_]+", reason) for label in labels for reason in label.reasons)
    assert all(label.drop == bool(label.reasons) for label in labels)
    assert {tuple(json.loads(line)) for line in LABELS.read_text("utf-8").splitlines()} == {
        ("key", "set", "weight", "drop", "reasons")
    }


def test_both_sets_stand_for_the_same_corpus() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    for name in ("tuning", "test"):
        total = sum(label.weight for label in read_labels() if label.set == name)
        assert total == pytest.approx(results["pairs"], rel=0.01)


def test_the_page_is_written_from_the_results() -> None:
    text = PAGE.read_text("utf-8")
    assert page(text, json.loads(RESULTS.read_text("utf-8"))) == text


def test_every_filter_says_what_it_drops() -> None:
    text = PAGE.read_text("utf-8")
    for name, dropped in FILTERS:
        assert dropped.__doc__ is not None, name
        assert f"| `{name}` | " in text, name


def test_the_filters_that_are_on_are_right_and_cheap() -> None:
    results = json.loads(RESULTS.read_text("utf-8"))
    assert set(results["filters"]) <= {*dict(FILTERS), ALL}
    right = results["filters"][ALL]["precision"]
    assert (right["share"] >= 0.9, right["low"] >= 0.85, right["read"] >= 150) == (True,) * 3
    assert results["bad_after"]["share"] < 0.7 * results["bad_before"]["share"]
    assert sum(results["cost"].values()) < 3


def test_filters_that_are_off_are_measured_but_not_among_those_that_are_on() -> None:
    pairs = [("Как это сделать и зачем?", "How to do it and why."), ("Слово", "Word")]
    found = judge(pairs)
    assert set(EXTRA) < set(found)
    assert found["sentence_end"].tolist() == [True, False]
    assert not found[ALL].any()


def test_pairs_are_read_cleaned_once_each_and_in_order(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [("да &amp; нет", "yes"), ("да & нет", "yes"), ("а", "b")]
    file.write_text("\n".join(json.dumps({"ru": ru, "en": en}) for ru, en in rows))
    expected = {pair_key(*pair).hex(): pair for pair in rows[1:]}
    assert list(read_pairs(file).items()) == list(expected.items())


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(CORPUS is None, reason="set PROMETHEUS_CORPUS to the corpus of the labels")
def test_the_results_are_what_the_filters_of_today_give() -> None:
    assert CORPUS is not None
    labels = read_labels()
    found = measure(read_pairs(Path(CORPUS)), labels)
    if found["missing"] > 0.5 * len(labels):
        pytest.skip("this is not the corpus of the labels")
    results = json.loads(RESULTS.read_text("utf-8"))
    assert found == {name: results[name] for name in found}
    assert asdict(Share(**found["filters"][ALL]["precision"]))["share"] >= 0.9
