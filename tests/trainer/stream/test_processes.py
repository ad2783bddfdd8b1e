"""A process that has given its result → ended, even if it does not end by itself."""

import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from trainer.stream.processes import _result

END = """
from tests.trainer.stream.test_processes import ended_in_a_finalizer
from trainer.errors import TrainingError
from trainer.stream.processes import in_new_processes

try:
    list(in_new_processes(ended_in_a_finalizer, [()], 1))
except TrainingError as error:
    print(error)
"""


@dataclass
class Hanging:
    """A process that lives until it is killed."""

    calls: list[str] = field(default_factory=list)

    def join(self, timeout: float | None = None) -> None:
        assert timeout is not None or "kill" in self.calls, "this would wait for ever"
        self.calls.append("join")

    def kill(self) -> None:
        self.calls.append("kill")


def test_a_process_that_hangs_after_its_result_is_killed() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sender.send("result")
    process = Hanging()
    assert _result(cast(Any, receiver), cast(Any, process)) == "result"
    assert process.calls == ["join", "kill", "join"]
    sender.close()


def ended_in_a_finalizer() -> None:
    """SIGTERM comes while a generator that nobody holds any more is closed."""

    def items() -> Iterator[None]:
        try:
            yield
        finally:
            signal.raise_signal(signal.SIGTERM)

    next(items())
    threading.Event().wait(60)


@pytest.mark.slow
def test_a_process_that_is_ended_in_a_finalizer_ends_without_a_word() -> None:
    done = subprocess.run([sys.executable, "-c", END], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a process ended with status 1 before it had a result" in done.stdout
