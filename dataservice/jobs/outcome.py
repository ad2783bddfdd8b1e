"""How a build process ended → the version it published, or a sentence that says why none."""

import json
import signal
from collections.abc import Sequence
from typing import Any

from shards.store import is_version


def published_version(status: int, line: bytes, dataset: str) -> str | None:
    """The version that a build says it published: exit status 0, and its name and version."""
    result = _parse(line)
    version = result.get("version")
    if status != 0 or result.get("name") != dataset or not isinstance(version, str):
        return None
    return version if is_version(version) else None


def failure_reason(status: int, line: bytes, tail: Sequence[bytes]) -> str:
    """Why a build published nothing: what it said itself, or what its end tells."""
    error = _parse(line).get("error")
    if status != 0 and isinstance(error, str) and error:
        return error
    last = " ".join(b" ".join(tail[-3:]).decode(errors="replace").split())
    said = f"; its last words: {last[-500:]}" if last else ""
    if status == 0:
        return (
            "the build process ended without saying which version it published; the job counts "
            f"as failed; GET /datasets shows what is there{said}"
        )
    if status < 0:
        return (
            f"the build process was killed by {_signal_name(-status)}, as happens when memory "
            "runs out; every version that was published is whole and untouched; free "
            f"memory or set `processes` lower, then POST /reshard again{said}"
        )
    return (
        f"the build process ended with exit status {status} and without a reason; it published "
        f"nothing; POST /reshard again, or run `dataservice build` to see more{said}"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
