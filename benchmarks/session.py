"""Requests → measurements, each in a process of its own and kept as soon as it is made."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

ENVIRONMENT: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}
_MARK: Final = "RESULT "


class OtherRunError(Exception):
    """What is kept was measured in another way than is asked for now."""


class Session:
    """The measurements of one run; those of an earlier one that was stopped may be kept.

    `module` is run for each request, as a program, with a `cache` folder for its system. `how` is
    what measurements depend on: settings, machine, the code that measures. Those that were made in
    another way are never mixed with new ones.

    Raises:
        OtherRunError: when those that are to be kept were.
    """

    def __init__(
        self,
        module: str,
        work: Path,
        how: dict[str, Any],
        *,
        keep: bool,
        tell: Callable[[str], object],
    ) -> None:
        self.module = module
        self.work = work
        self.done: dict[str, Any] = {}
        self.how = how
        self.pythons: dict[str, str] = {}  # of systems that live in another environment
        self.tell = tell
        self._file = work / "measurements.json"
        if keep and self._file.exists():
            told = json.loads(self._file.read_text(encoding="utf-8"))
            if told["how"] != how:
                raise OtherRunError(
                    f"the measurements in {self._file} were made with other settings or by other "
                    "code, so nothing was measured; repeat that command, or leave out --resume"
                )
            self.done = told["measurements"]

    def measure(self, key: str, timeout_s: float, **request: Any) -> dict[str, Any]:
        """One measurement, unless it is there already; a failure is a result, too."""
        if key not in self.done:
            self.tell(f"{datetime.now():%H:%M:%S} {key}")
            request["cache"] = str(self.work / "cache" / request["system"])
            python = self.pythons.get(request["system"], sys.executable)
            self.keep(key, run_measurement(self.module, request, timeout_s, python))
            if "error" in self.done[key]:
                self.tell(f"    {self.done[key]['error'][:300]}")
        result: dict[str, Any] = self.done[key]
        return result

    def keep(self, key: str, result: dict[str, Any]) -> None:
        """Store a measurement, or what was found out about it later."""
        self.done[key] = result
        write_json(self._file, {"how": self.how, "measurements": self.done})

    def write_results(self, path: Path, told: dict[str, Any]) -> None:
        """The whole file or none of it; errors name files, and where they lay says nothing."""
        text = json.dumps(told).replace(str(self.work), "work")
        write_json(path, json.loads(text))


def write_json(path: Path, told: dict[str, Any]) -> None:
    """The whole file or none of it, the same bytes for the same content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{json.dumps(told, indent=1, sort_keys=True)}\n", encoding="utf-8")
    temporary.replace(path)


def run_measurement(
    module: str, request: dict[str, Any], timeout_s: float, python: str
) -> dict[str, Any]:
    """Run a module in a process group that is killed when time is up."""
    process = subprocess.Popen(
        [python, "-m", module, json.dumps(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **ENVIRONMENT},
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return {"error": f"no end within {timeout_s:.0f} s"}
    for line in output.splitlines():
        if line.startswith(_MARK):
            result: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return result
    last = [line for line in errors.splitlines() if line and not line.startswith(" ")][-1:]
    return {"error": last[0][:500] if last else f"exit code {process.returncode}"}


def answer(result: dict[str, Any]) -> None:
    """Say the result of a measurement, in the process that made it."""
    sys.stdout.write(f"\n{_MARK}{json.dumps(result)}\n")
    sys.stdout.flush()
