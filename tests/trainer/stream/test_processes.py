"""A process that has given its result → ended, even if it does not end by itself."""

import multiprocessing
from dataclasses import dataclass, field
from typing import Any, cast

from trainer.stream.processes import _result


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
