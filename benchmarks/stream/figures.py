"""results.json → medians and spreads by system, and the bars with what was measured."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

OURS: Final = "ours"
BLOCKS: Final = "webdataset_blocks"
"""webdataset over our own idea of a shard: shown, but nobody's recommended format."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))


@dataclass(frozen=True, slots=True)
class Bar:
    """What the project asks of itself, and what this run says of it."""

    promise: str
    measured: str
    met: bool


class Results:
    """The measurements of one run, by system."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.measurements: dict[str, dict[str, Any]] = told["measurements"]
        self.systems = [
            key.removeprefix("describe/")
            for key, value in self.measurements.items()
            if key.startswith("describe/") and "error" not in value
        ]
        self.systems.sort(key=lambda name: (name != OURS, -self._speed(name)))

    def _speed(self, system: str) -> float:
        found = self.spread(f"read/local/{system}", "samples_per_s")
        return found.median if found else 0.0

    def name(self, system: str) -> str:
        return str(self.measurements[f"describe/{system}"]["name"])

    def rounds(self, prefix: str) -> list[dict[str, Any]]:
        """The measurements below a key, errors left out."""
        found = [
            value
            for key, value in self.measurements.items()
            if key == prefix or key.startswith(f"{prefix}/")
        ]
        return [value for value in found if "error" not in value]

    def error(self, prefix: str) -> str | None:
        """What went wrong below a key, if anything did."""
        for key, value in self.measurements.items():
            if (key == prefix or key.startswith(f"{prefix}/")) and "error" in value:
                return str(value["error"])
        return None

    def spread(self, prefix: str, figure: str) -> Spread | None:
        """Median, least and most of a figure; None when nothing was measured."""
        values = [float(one[figure]) for one in self.rounds(prefix) if figure in one]
        return Spread.of(values) if values else None

    def best_peer(self, prefix: str, figure: str) -> tuple[str, Spread] | None:
        """The peer with the highest median below PREFIX/SYSTEM, in its own recommended format."""
        found = [
            (system, spread)
            for system in self.systems
            if system not in (OURS, BLOCKS)
            and (spread := self.spread(f"{prefix}/{system}", figure))
        ]
        return max(found, key=lambda pair: pair[1].median, default=None)

    def bars(self) -> list[Bar]:
        """Every bar for which there is a measurement."""
        made = (make(self) for make in _BARS)
        return [bar for bar in made if bar is not None]


def _speed_bar(place: str, what: str) -> Callable[[Results], Bar | None]:
    def make(results: Results) -> Bar | None:
        ours = results.spread(f"read/{place}/{OURS}", "samples_per_s")
        peer = results.best_peer(f"read/{place}", "samples_per_s")
        if ours is None or peer is None:
            return None
        ratio = ours.median / peer[1].median
        return Bar(
            f"{what}: 10 times the samples/s of the best peer, or more",
            f"{ratio:.1f} times ({ours.median:,.0f}/s; {results.name(peer[0])} "
            f"{peer[1].median:,.0f}/s)",
            ratio >= 10,
        )

    return make


def _first_batch(results: Results) -> Bar | None:
    places = [
        results.spread(f"read/{place}/{OURS}", "first_batch_s") for place in ("http", "service")
    ]
    found = [one for one in places if one]
    if not found:
        return None
    slowest = max(one.median for one in found)
    return Bar("First batch over HTTP within 0.1 s, cold", f"{slowest:.3f} s", slowest < 0.1)


def _resume(results: Results) -> Bar | None:
    over = []
    for share in ("0.5", "0.9"):
        resumed = results.spread(f"resume/{share}/{OURS}", "resume_s")
        fetched = results.spread(f"fetch/{share}/{OURS}", "fetch_s")
        if resumed is None or fetched is None:
            return None
        over.append(resumed.median - fetched.median)
    exact = all(
        one["exact"] for share in ("0.5", "0.9") for one in results.rounds(f"resume/{share}/{OURS}")
    )
    return Bar(
        "Resume anywhere within 0.1 s beyond fetching one window, exactly",
        f"{max(over):.3f} s, {'exact' if exact else 'not exact'}",
        exact and max(over) < 0.1,
    )


def _padding(results: Results) -> Bar | None:
    real = results.measurements.get("real")
    if real is None or "error" in real:
        return None
    share = real["padding_share"]
    return Bar(
        "Padding below 3 % on real text, batches of 32",
        f"{share:.2%} of {real['samples']:,} pairs",
        share < 0.03,
    )


def _waiting(results: Results) -> Bar | None:
    told = results.measurements.get("training")
    if told is None or "error" in told:
        return None
    shares = {name: told[name]["wait_share"] for name in ("default", "small")}
    return Bar(
        "Waiting for data below 1 % of step time, training on all cores over HTTP",
        f"{shares['default']:.2%} with the default model, {shares['small']:.2%} with a small one",
        max(shares.values()) < 0.01,
    )


def _memory(results: Results) -> Bar | None:
    runs = [
        one
        for key, one in sorted(results.measurements.items())
        if key.startswith("scale/") and "error" not in one
    ]
    if len(runs) < 2:
        return None
    runs.sort(key=lambda one: one["samples"])
    growth = runs[-1]["peak_rss_bytes"] / runs[0]["peak_rss_bytes"] - 1
    peaks = ", ".join(
        f"{one['peak_rss_bytes'] / 1e6:,.0f} MB at {one['samples'] / 1e6:,.0f} M pairs"
        for one in runs
    )
    return Bar("Peak memory independent of the data set's size (within 10 %)", peaks, growth < 0.1)


def _bytes(results: Results) -> Bar | None:
    disk = results.spread(f"write/full/{OURS}", "bytes_per_pair")
    wire = results.spread(f"read/http/{OURS}", "wire_bytes_per_pair")
    if disk is None or wire is None:
        return None
    return Bar(
        "At most 115 bytes a pair on disk and wire",
        f"{disk.median:.1f} on disk, {wire.median:.1f} on the wire",
        max(disk.median, wire.median) <= 115,
    )


_BARS: Final[tuple[Callable[[Results], Bar | None], ...]] = (
    _speed_bar("http", "Over HTTP, verified, shuffled, bucketed, padded, one core"),
    _speed_bar("local", "From a folder, one core"),
    _speed_bar("workers", "With two DataLoader workers"),
    _first_batch,
    _resume,
    _padding,
    _waiting,
    _memory,
    _bytes,
)
