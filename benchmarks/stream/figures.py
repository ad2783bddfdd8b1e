"""results.json → medians and spreads by system, and the bars with what was measured."""

from collections.abc import Callable
from typing import Any, Final

from benchmarks.figures import Bar, Spread, short

OURS: Final = "ours"
SHARES: Final = ("0.5", "0.9")
BLOCKS: Final = "webdataset_blocks"
"""webdataset over our own idea of a shard: shown, but nobody's recommended format."""


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
        return [value for value in self.asked(prefix) if "error" not in value]

    def error(self, prefix: str) -> str | None:
        """What went wrong below a key, if anything did."""
        return next((str(one["error"]) for one in self.asked(prefix) if "error" in one), None)

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
        """Every bar that was measured, or that should have been and failed."""
        return [bar for make in _BARS if (bar := make(self)) is not None]

    def asked(self, prefix: str) -> list[dict[str, Any]]:
        """All measurements below a key, errors as well."""
        return [
            value
            for key, value in self.measurements.items()
            if key == prefix or key.startswith(f"{prefix}/")
        ]

    def failure(self, promise: str, *prefixes: str) -> Bar | None:
        """The bar as it stands when a measurement for it failed; None when none did."""
        errors = [one["error"] for key in prefixes for one in self.asked(key) if "error" in one]
        return Bar(promise, f"failed: {short(str(errors[0]))}", False) if errors else None


def _speed_bar(place: str, what: str) -> Callable[[Results], Bar | None]:
    promise = f"{what}: 10 times the samples/s of the best peer in its recommended format, or more"

    def make(results: Results) -> Bar | None:
        if failed := results.failure(promise, f"read/{place}/{OURS}"):
            return failed
        ours = results.spread(f"read/{place}/{OURS}", "samples_per_s")
        peer = results.best_peer(f"read/{place}", "samples_per_s")
        if ours is None or peer is None:
            return None
        ratio = ours.median / peer[1].median
        measured = (
            f"{ratio:.1f} times ({ours.median:,.0f}/s; {results.name(peer[0])} "
            f"{peer[1].median:,.0f}/s)"
        )
        return Bar(promise, measured, ratio >= 10)

    return make


def _first_batch(results: Results) -> Bar | None:
    promise = "First batch over HTTP within 0.1 s, cold"
    prefixes = [f"read/{place}/{OURS}" for place in ("http", "service")]
    if failed := results.failure(promise, *prefixes):
        return failed
    found = [results.spread(prefix, "first_batch_s") for prefix in prefixes]
    medians = [one.median for one in found if one]
    if not medians:
        return None
    return Bar(promise, f"{max(medians):.3f} s", max(medians) < 0.1)


def _resume(results: Results) -> Bar | None:
    promise = "Resume at 50 and 90 % of all pairs within 0.1 s beyond fetching one window, exactly"
    kinds = [f"{kind}/full/{share}/{OURS}" for kind in ("resume", "fetch") for share in SHARES]
    if failed := results.failure(promise, f"reference/full/{OURS}", *kinds):
        return failed
    over, totals, exact = [], [], True
    for share in SHARES:
        resumed = results.spread(f"resume/full/{share}/{OURS}", "resume_s")
        fetched = results.spread(f"fetch/full/{share}/{OURS}", "fetch_s")
        if resumed is None or fetched is None:
            return None
        over.append(resumed.median - fetched.median)
        totals.append(resumed.median)
        exact &= all(one["exact"] for one in results.rounds(f"resume/full/{share}/{OURS}"))
    measured = (
        f"{max(over):.3f} s beyond it, {max(totals):.3f} s in all, "
        f"{'exact' if exact else 'not exact'}"
    )
    return Bar(promise, measured, exact and max(over) < 0.1)


def _padding(results: Results) -> Bar | None:
    promise = "Padding below 3 % on real text, batches of 32"
    if failed := results.failure(promise, "real"):
        return failed
    for real in results.asked("real"):
        share = real["padding_share"]
        return Bar(promise, f"{share:.2%} of {real['samples']:,} pairs", share < 0.03)
    return None


def _waiting(results: Results) -> Bar | None:
    promise = "Waiting for data below 1 % of step time, on all cores over HTTP, once training runs"
    if failed := results.failure(promise, "training"):
        return failed
    for told in results.asked("training"):
        shares = {name: told[name]["wait_share"] for name in ("default", "small")}
        default, small = shares["default"], shares["small"]
        measured = f"{default:.2%} with the default model, {small:.2%} with a small one"
        return Bar(promise, measured, max(shares.values()) < 0.01)
    return None


def _memory(results: Results) -> Bar | None:
    promise = "Peak memory independent of the data set's size (within 10 %)"
    if failed := results.failure(promise, "scale"):
        return failed
    runs = sorted(results.asked("scale"), key=lambda one: one["samples"])
    if len(runs) < 2:
        return None
    growth = runs[-1]["peak_rss_bytes"] / runs[0]["peak_rss_bytes"] - 1
    peaks = ", ".join(
        f"{one['peak_rss_bytes'] / 1e6:,.0f} MB at {one['samples'] / 1e6:,.0f} M pairs"
        for one in runs
    )
    return Bar(promise, peaks, growth < 0.1)


def _bytes(results: Results) -> Bar | None:
    promise = "At most 115 bytes a pair on disk and wire"
    if failed := results.failure(promise, f"write/full/{OURS}", f"wire/{OURS}"):
        return failed
    disk = results.spread(f"write/full/{OURS}", "bytes_per_pair")
    wire = results.spread(f"wire/{OURS}", "wire_bytes_per_pair")
    if disk is None or wire is None:
        return None
    measured = f"{disk.median:.1f} on disk, {wire.median:.1f} on the wire"
    return Bar(promise, measured, max(disk.median, wire.median) <= 115)


_BARS: Final[tuple[Callable[[Results], Bar | None], ...]] = (
    _speed_bar("http", "Over HTTP, verified, shuffled, bucketed, padded, one core"),
    _speed_bar("local", "From a folder, one core"),
    _speed_bar("workers", "With two DataLoader workers, two cores"),
    _first_batch,
    _resume,
    _padding,
    _waiting,
    _memory,
    _bytes,
)
