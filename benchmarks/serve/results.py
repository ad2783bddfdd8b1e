"""results.json → figures by case, ratios to a peer in the same round, and bars met or missed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.figures import Bar, Spread

MIN_BLOB_RATIO: Final = 2.5
MAX_CPU_S_PER_GB: Final = 0.7
MAX_GROWTH_MB: Final = 16.0
MIN_MANIFEST_RATIO: Final = 0.9
MIN_NGINX_RATIO: Final = 0.9

What = Literal["blob", "manifest", "known manifest"]


class Results:
    """One run of the benchmark."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.environment: dict[str, Any] = content["environment"]
        self.rounds: int = content["rounds"]
        self.seconds: float = content["seconds"]
        self.servers: dict[str, dict[str, Any]] = content["servers"]
        self._cases: dict[tuple[str, int, int, str], dict[str, list[float]]] = {
            (case["what"], case["size"], case["clients"], case["server"]): case["figures"]
            for case in content["cases"]
        }

    @classmethod
    def read(cls, path: Path) -> "Results":
        """Raises OSError, ValueError or KeyError when it is no such file."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def loads(self, what: What) -> list[tuple[int, int]]:
        """Sizes in bytes and clients that were measured."""
        return list(dict.fromkeys((key[1], key[2]) for key in self._cases if key[0] == what))

    def servers_of(self, what: What) -> list[str]:
        found = {key[3] for key in self._cases if key[0] == what}
        return [name for name in self.servers if name in found]

    def values(self, what: What, load: tuple[int, int], server: str, figure: str) -> list[float]:
        """A figure of each round."""
        return self._cases[what, *load, server][figure]

    def spread(self, what: What, load: tuple[int, int], server: str, figure: str) -> Spread:
        return Spread.of(self.values(what, load, server, figure))

    def ratio(self, what: What, load: tuple[int, int], server: str, peer: str) -> Spread:
        """How many times as fast as a peer; both were measured one after the other.

        Raises:
            ValueError: when the peer did nothing in a round: that is a failure, and no ratio.
        """
        figure = "mb_per_s" if what == "blob" else "requests_per_s"
        ours, theirs = (self.values(what, load, name, figure) for name in (server, peer))
        if not all(theirs):
            raise ValueError(
                f"{peer} has {figure} = 0 in a round ({what} of {load[0]} bytes, {load[1]} "
                "clients), so nothing can be compared with it; measure again with longer rounds"
            )
        return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])

    def growth_mb(self, load: tuple[int, int], server: str) -> float:
        """Most memory at any time of a case, above that of the server before the first request."""
        peak = max(self.values("blob", load, server, "peak_rss_mb"))
        return peak - float(self.servers[server]["idle_rss_mb"])


def bars(results: Results) -> list[Bar]:
    """What was promised of the service and of nginx before it; the worst case decides."""
    blobs = results.loads("blob")
    found = [
        _at_least(
            f"Blobs leave the service at {MIN_BLOB_RATIO} times the MB/s of Uvicorn's default "
            "`StaticFiles`, or more",
            [results.ratio("blob", load, "dataservice", "staticfiles").median for load in blobs],
            MIN_BLOB_RATIO,
        )
    ]
    cpu = max(results.spread("blob", load, "dataservice", "cpu_s_per_gb").median for load in blobs)
    text = f"The service needs at most {MAX_CPU_S_PER_GB} CPU s/GB for it"
    found.append(Bar(text, f"{cpu:.2f}", cpu <= MAX_CPU_S_PER_GB))
    growth = max(results.growth_mb(load, "dataservice") for load in blobs)
    text = (
        f"Its memory is flat while whole blobs are sent: at most {MAX_GROWTH_MB:.0f} MB above the "
        "idle service"
    )
    found.append(Bar(text, f"{growth:.1f} MB", growth <= MAX_GROWTH_MB))
    kinds: tuple[tuple[What, str], ...] = (
        ("manifest", "Manifests: {:.0%} of the requests/s of a bare Starlette route, or more"),
        ("known manifest", "The same when the reader has the manifest already (304)"),
    )
    for what, form in kinds:
        loads = results.loads(what)
        ratios = [results.ratio(what, load, "dataservice", "route").median for load in loads]
        found.append(_at_least(form.format(MIN_MANIFEST_RATIO), ratios, MIN_MANIFEST_RATIO))
    if "nginx" in results.servers:
        text = f"nginx in front: {MIN_NGINX_RATIO:.0%} of the MB/s of a plain nginx, or more"
        ratios = [results.ratio("blob", load, "nginx", "plain nginx").median for load in blobs]
        found.append(_at_least(text, ratios, MIN_NGINX_RATIO))
    return found


def _at_least(text: str, ratios: Sequence[float], least: float) -> Bar:
    return Bar(text, f"{min(ratios):.2f} times", min(ratios) >= least)
