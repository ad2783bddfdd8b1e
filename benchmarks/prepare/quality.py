"""A corpus and its labelled pairs → what filters drop, how rightly and at what cost.

python -m benchmarks.prepare.quality CORPUS.jsonl.zst    measure, then write docs/quality.md
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import machine
from benchmarks.prepare.labels import Label, Share, read_labels, read_pairs, weighted_share
from dataservice.prepare.filters import FILTERS, Batch, flags, make_batch
from dataservice.prepare.text.points import Mask
from dataservice.settings import BuildSettings

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "quality.json"
PAGE: Final = HERE.parents[1] / "docs" / "quality.md"
BEGIN, END = "<!-- from benchmarks/prepare: quality -->\n", "<!-- end -->\n"
ALL: Final = "all that are on"
# filters that are off, and with what they are measured
EXTRA: Final[dict[str, dict[str, Any]]] = {
    "sentence_end": {"match_ends": "?!…:"},
    "wrong_language": {"identify_language": True},
}
_CHUNK: Final = 20_000
_TIMED: Final = 3


def judge(pairs: Sequence[tuple[str, str]]) -> dict[str, Mask]:
    """What each filter says of each pair, those that are off with the settings of EXTRA."""
    found = flags(_batch(pairs))
    for name, settings in EXTRA.items():
        found[name] = flags(_batch(pairs, **settings))[name]
    on = [mask for name, mask in found.items() if name not in EXTRA]
    return found | {ALL: np.any(on, axis=0)}


def _batch(pairs: Sequence[tuple[str, str]], **settings: Any) -> Batch:
    values = BuildSettings.model_validate(settings)
    return make_batch([src for src, _ in pairs], [tgt for _, tgt in pairs], values)


def measure(pairs: dict[str, tuple[str, str]], labels: Sequence[Label]) -> dict[str, Any]:
    """Counts, precision and recall of every filter; a pure function of corpus and labels.

    Precision is that of the test set, recall that of both sets: what is missed is rare.
    """
    known = [label for label in labels if label.key in pairs]
    found = judge([pairs[label.key] for label in known])
    dropped = judge(list(pairs.values()))
    weights = np.array([label.weight for label in known])
    bad = np.array([label.drop for label in known], np.bool_)
    test = np.array([label.set == "test" for label in known], np.bool_)
    everything = np.ones(len(known), np.bool_)
    rows = {}
    for name, mask in found.items():
        if not dropped[name].any():
            continue
        rows[name] = {
            "dropped": int(dropped[name].sum()),
            "precision": asdict(weighted_share(bad, mask & test, weights)),
            "recall": asdict(weighted_share(mask, bad, weights)),
        }
    return {
        "pairs": len(pairs),
        "labels": {name: sum(label.set == name for label in known) for name in ("tuning", "test")},
        "missing": len(labels) - len(known),
        "filters": rows,
        "bad_before": asdict(weighted_share(bad, everything, weights)),
        "bad_after": asdict(weighted_share(bad, ~found[ALL], weights)),
    }


def cost(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Microseconds of processor time a pair, by filter; the first to need a count pays for it."""
    spent = {name: [0.0] * _TIMED for name in ("code points", *dict(FILTERS))}
    for turn in range(_TIMED):
        for start in range(0, len(pairs), _CHUNK):
            begun = time.process_time()
            batch = _batch(pairs[start : start + _CHUNK])
            spent["code points"][turn] += time.process_time() - begun
            for piece in batch.pieces():
                for name, dropped in FILTERS:
                    begun = time.process_time()
                    dropped(piece)
                    spent[name][turn] += time.process_time() - begun
    return {name: round(min(turns) / len(pairs) * 1e6, 3) for name, turns in spent.items()}


def render(results: dict[str, Any]) -> str:
    """The generated part of the page."""
    parts = (_summary(results), _filters(results), _reasons(), _costs(results))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _summary(results: dict[str, Any]) -> Iterator[str]:
    filters, labels = results["filters"], results["labels"]
    yield (
        f"Of {results['pairs']:,} different pairs the filters that are on drop "
        f"{filters[ALL]['dropped']:,}. {sum(labels.values())} pairs were read and labelled: "
        f"{labels['tuning']} while the filters were tuned, {labels['test']} to test them."
    )
    yield ""
    yield "| | Estimate | 95 % |"
    yield "|---|---|---|"
    facts = (
        ("Of what they drop is rightly dropped", filters[ALL]["precision"]),
        ("Of all bad pairs they find", filters[ALL]["recall"]),
        ("Of all pairs they drop wrongly", _lost(results)),
        ("Bad pairs before", results["bad_before"]),
        ("Bad pairs after", results["bad_after"]),
    )
    for text, value in facts:
        share = Share(**value)
        yield f"| {text} | {_percent(share.share)} | {_interval(share)} |"


def _lost(results: dict[str, Any]) -> dict[str, Any]:
    """The share of all pairs that are dropped and should not be."""
    row = results["filters"][ALL]
    part = row["dropped"] / results["pairs"]
    right = Share(**row["precision"])
    lost = Share(part * (1 - right.share), part * (1 - right.high), part * (1 - right.low), 0, 0)
    return asdict(lost)


def _filters(results: dict[str, Any]) -> Iterator[str]:
    yield "| Reason | Drops | Right / read | Precision | 95 % | Of all bad pairs |"
    yield "|---|---|---|---|---|---|"
    for name, row in results["filters"].items():
        precision, recall = Share(**row["precision"]), Share(**row["recall"])
        shown = f"`{name}`" if name != ALL else f"**{name}**"
        if name in EXTRA:
            values = ", ".join(f"`{key}: {value}`" for key, value in EXTRA[name].items())
            shown += f" (off; with {values})"
        shares = (_percent(precision.share), _interval(precision)) if precision.read else ("–", "–")
        cells = (
            *(shown, f"{row['dropped']:,}", f"{precision.right} / {precision.read}", *shares),
            _percent(recall.share),
        )
        yield f"| {' | '.join(cells)} |"


def _reasons() -> Iterator[str]:
    yield "| Reason | A pair is dropped when |"
    yield "|---|---|"
    for name, dropped in FILTERS:
        text = (dropped.__doc__ or "").partition("\n")[0].rstrip(".")
        yield f"| `{name}` | {text[0].lower()}{text[1:]} |"


def _costs(results: dict[str, Any]) -> Iterator[str]:
    facts = results["machine"]
    yield "| Step | µs a pair |"
    yield "|---|---|"
    for name, spent in results["cost"].items():
        if spent >= 0.01:
            yield f"| `{name}` | {spent:.2f} |"
    yield f"| **all** | **{sum(results['cost'].values()):.2f}** |"
    yield ""
    yield f"Processor time of one core; {facts['cpu']}, Python {facts['python']}, {facts['date']}."


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return f"{share:.3%}"
    return f"{share:.2%}" if 0 < share < 0.1 else f"{share:.0%}"


def _interval(share: Share) -> str:
    return f"{_percent(share.low)} to {_percent(share.high)}"


def page(text: str, results: dict[str, Any]) -> str:
    """A page with its generated part written anew."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}{render(results)}{END}{rest.partition(END)[2]}"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("corpus", type=Path, nargs="?", help="without it only the page is written")
    options = parser.parse_args()
    if options.corpus:
        pairs = read_pairs(options.corpus)
        results = measure(pairs, read_labels())
        if results["missing"]:
            sys.exit(f"{options.corpus} lacks {results['missing']} of the labelled pairs")
        results |= {"cost": cost(list(pairs.values())), "machine": machine()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
