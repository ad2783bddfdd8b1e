"""results.json → speeds and ratios of the same round, and the bars with what was measured."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from benchmarks.figures import Bar, Spread, short

OURS: Final = "ours"
CHANGES: Final = {"shards": "shard size", "tags": "tags"}
_WARM: Final = {32_000: 7.0, 3_000: 5.0}
_RESHARD: Final = {"warm": {32_000: 4.5, 3_000: 3.3}, "cold": {32_000: 2.0, 3_000: 1.6}}
_PEER_RATIO: Final = 3.0
_SCALING: Final = 1.8
_GROWTH: Final = 1.1


class Results:
    """The measurements of one run."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.measurements: dict[str, dict[str, Any]] = told["measurements"]
        self.sizes: list[int] = sorted(told["sizes"], reverse=True)
        self.pairs: int = told["pairs"]
        self.text_bytes: int = told["text_bytes"]
        found = [
            key.removeprefix("describe/")
            for key, value in self.measurements.items()
            if key.startswith("describe/") and "error" not in value
        ]
        self.systems = sorted(found, key=lambda name: (name != OURS, self._slowness(name)))

    def _slowness(self, system: str) -> float:
        found = self.values(f"prepare/{self.sizes[0]}/{system}", "elapsed_s")
        return Spread.of(found.values()).median if found else float("inf")

    def name(self, system: str) -> str:
        return str(self.measurements[f"describe/{system}"]["name"])

    def asked(self, prefix: str) -> dict[str, dict[str, Any]]:
        """All measurements below a key by what follows it, errors as well."""
        return {
            key.removeprefix(prefix).removeprefix("/"): value
            for key, value in self.measurements.items()
            if key == prefix or key.startswith(f"{prefix}/")
        }

    def values(self, prefix: str, figure: str) -> dict[str, float]:
        """A figure of each round in which it was measured."""
        return {
            number: float(told[figure])
            for number, told in self.asked(prefix).items()
            if figure in told
        }

    def spread(self, prefix: str, figure: str) -> Spread | None:
        return _spread(self.values(prefix, figure).values())

    def speed(self, prefix: str, amount: float, figure: str = "elapsed_s") -> Spread | None:
        """So much of anything a second."""
        return _spread(amount / value for value in self.values(prefix, figure).values())

    def raw_speed(self, size: int) -> Spread | None:
        """MB/s of sentencepiece alone."""
        return self.speed(f"raw/{size}", self.text_bytes / 1e6)

    def times_raw(self, prefix: str, size: int, share: float = 1.0) -> Spread | None:
        """How many times as fast as sentencepiece alone in the same round, for a share of text."""
        return self.ratio((f"raw/{size}", "elapsed_s"), (prefix, "elapsed_s"), share)

    def ratio(
        self, above: tuple[str, str], below: tuple[str, str], factor: float = 1.0
    ) -> Spread | None:
        """One figure over another of the same round."""
        over, under = self.values(*above), self.values(*below)
        return _spread(
            factor * value / under[number] for number, value in over.items() if number in under
        )

    def kept_share(self, size: int) -> float:
        """How much of the text a reshard is about: what an earlier build kept."""
        told = self.measurements.get(f"base/{size}", {})
        return float(told.get("text_bytes", 0)) / self.text_bytes

    def reshard(self, size: int, change: str, memo: str) -> Spread | None:
        """A reshard of kept text beside sentencepiece for as much text."""
        return self.times_raw(f"reshard/{size}/{change}/{memo}", size, self.kept_share(size))

    def best_peer(self, size: int) -> str | None:
        """The peer with the best median."""
        found = {
            system: spread.median
            for system in self.systems
            if system != OURS and (spread := self.spread(f"prepare/{size}/{system}", "elapsed_s"))
        }
        return min(found, key=lambda system: found[system], default=None)

    def scale(self) -> list[dict[str, Any]]:
        """Builds of growing corpora, the smallest first."""
        found = [told for told in self.asked("scale").values() if "error" not in told]
        return sorted(found, key=lambda told: int(told["pairs"]))

    def failure(self, promise: str, *prefixes: str) -> Bar | None:
        """The bar as it stands when a measurement for it failed; None when none did."""
        errors = [
            str(told["error"])
            for prefix in prefixes
            for told in self.asked(prefix).values()
            if "error" in told
        ]
        return Bar(promise, f"failed: {short(errors[0])}", False) if errors else None

    def bars(self) -> list[Bar]:
        """Every bar that was measured, or that should have been and failed."""
        made = (bar for make in _BARS for bar in make(self))
        return [bar for bar in made if bar is not None]


def _spread(values: Iterable[float]) -> Spread | None:
    found = list(values)
    return Spread.of(found) if found else None


def size_name(size: int) -> str:
    """32000 → 32k."""
    return f"{size / 1000:g}k"


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f} times ({spread.least:.2f}–{spread.most:.2f})"


def _warm(results: Results) -> Iterable[Bar | None]:
    for size, least in _WARM.items():
        promise = (
            f"Encoding with a full word memo, {size_name(size)} pieces: {least:g} times "
            "`sentencepiece.encode(list)`, or more, with the same ids"
        )
        if failed := results.failure(promise, f"encode/{size}"):
            yield failed
        elif ratio := results.ratio((f"encode/{size}", "raw_s"), (f"encode/{size}", "warm_s")):
            equal = all(told["equal"] for told in results.asked(f"encode/{size}").values())
            measured = f"{_times(ratio)}{'' if equal else ', with other ids'}"
            yield Bar(promise, measured, equal and ratio.median >= least)


def _reshards(results: Results) -> Iterable[Bar | None]:
    for memo, asked in _RESHARD.items():
        for size, least in asked.items():
            saved = "with a saved memo" if memo == "warm" else "without a memo"
            promise = (
                f"Reshard that encodes all, {saved}, {size_name(size)} pieces: {least:g} times raw "
                "encoding of the kept text, or more"
            )
            keys = {change: f"reshard/{size}/{change}/{memo}" for change in CHANGES}
            if failed := results.failure(promise, f"base/{size}", *keys.values()):
                yield failed
                continue
            found = {
                CHANGES[change]: ratio
                for change in CHANGES
                if (ratio := results.reshard(size, change, memo))
            }
            if found:
                measured = "; ".join(f"other {what}: {_times(one)}" for what, one in found.items())
                worst = min(one.median for one in found.values())
                yield Bar(promise, measured, worst >= least)


def _whole_build(results: Results) -> Iterable[Bar | None]:
    for size in results.sizes:
        promise = (
            f"The whole build and its verification, {size_name(size)} pieces: no slower than raw "
            "encoding of the same text"
        )
        key = f"prepare/{size}/{OURS}"
        if failed := results.failure(promise, key, f"raw/{size}"):
            yield failed
        elif ratio := results.times_raw(key, size):
            yield Bar(promise, _times(ratio), ratio.median >= 1)


def _peers(results: Results) -> Iterable[Bar | None]:
    for size in results.sizes:
        promise = (
            f"End to end, {size_name(size)} pieces: {_PEER_RATIO:g} times the fastest peer, or more"
        )
        key, peer = f"prepare/{size}/{OURS}", results.best_peer(size)
        if failed := results.failure(promise, key):
            yield failed
        elif peer is not None:
            theirs = (f"prepare/{size}/{peer}", "elapsed_s")
            if ratio := results.ratio(theirs, (key, "elapsed_s")):
                measured = f"{_times(ratio)}: {results.name(peer)}"
                yield Bar(promise, measured, ratio.median >= _PEER_RATIO)


def _scaling(results: Results) -> Iterable[Bar | None]:
    promise = f"From one to two processes: {_SCALING:g} times, or more"
    if failed := results.failure(promise, "scaling"):
        yield failed
    elif ratio := results.ratio(("scaling/1", "build_s"), ("scaling/2", "build_s")):
        pairs = f"{results.told['scaling_pairs']:,} pairs"
        yield Bar(promise, f"{_times(ratio)}, {pairs}", ratio.median >= _SCALING)


def _memory(results: Results) -> Iterable[Bar | None]:
    promise = (
        "Memory of all processes of a build, by configuration and not by the corpus: the largest "
        f"corpus takes {_GROWTH - 1:.0%} more than the smallest at most"
    )
    runs = results.scale()
    if failed := results.failure(promise, "scale"):
        yield failed
    elif len(runs) > 1:
        peaks = ", ".join(
            f"{one['peak_pss_bytes'] / 1e6:,.0f} MB at {one['pairs'] / 1e6:g} M pairs"
            for one in runs
        )
        growth = runs[-1]["peak_pss_bytes"] / runs[0]["peak_pss_bytes"]
        yield Bar(promise, peaks, growth <= _GROWTH)


_BARS: Final[tuple[Callable[[Results], Iterable[Bar | None]], ...]] = (
    _warm,
    _reshards,
    _whole_build,
    _peers,
    _scaling,
    _memory,
)
