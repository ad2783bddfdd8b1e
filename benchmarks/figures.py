"""Measured values → medians with their spread, and bars that were met or missed."""

import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


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


def short(error: str) -> str:
    """The first sentence of an error, without the paths of a machine."""
    text = re.sub(r"([0-9a-f]{12})[0-9a-f]{52}", r"\1…", error)
    text = re.sub(r"(?<![\w/])(/[\w.-]+){2,}/?", "…", text)
    text = re.sub(r"^(?:\w+\.)+(\w+: )", r"\1", text)
    return text if len(text) <= 160 else text[:159] + "…"
