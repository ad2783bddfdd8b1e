"""A case → what came of a whole epoch read through it: exact, or the error; within a bound."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shards.dataset import open_dataset
from shards.http import RetryPolicy
from tests.faults.case import EXACT, QUICK, Case, Outcome, Reaction
from tests.faults.proxy import Plan, Proxy
from tests.faults.service import Service
from trainer.stream.cache import BlobCache
from trainer.stream.dataset import BatchStream, StreamConfig
from trainer.stream.loader import read_batches
from trainer.stream.order import BatchBudget

HOST: Final = "data-box.test"
GRACE_S: Final = 10.0
"""What a busy machine may take on top of a bound before it is called a hang."""
START_S: Final = 180.0
"""The same for loader workers, which import torch first."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How an epoch is read: by default one shard after the other, so that faults hit in turn."""

    window_samples: int = 1
    num_workers: int = 0
    cache: Path | None = None
    epochs: int = 1


@dataclass(frozen=True)
class Reading:
    """What came of a case."""

    outcome: Outcome
    plan: Plan

    @property
    def reaction(self) -> Reaction:
        """What the reader did about the file of the first fault, as its requests show it."""
        asked = self.plan.asked()
        if not asked:
            return "looks up the name again"
        if len(asked) == 1:
            return "takes it"
        return "asks for the rest" if asked[-1] else "asks again"


def read_ids(url: str, policy: RetryPolicy, how: How) -> Counter[int]:
    """How often each pair id comes in the epochs asked for."""
    dataset = open_dataset(url, policy=policy)
    cache = BlobCache(how.cache, 1 << 30, dataset.read_blob) if how.cache else None
    config = StreamConfig(
        budget=BatchBudget(sequences=32), window_samples=how.window_samples, epochs=how.epochs
    )
    found: Counter[int] = Counter()
    for batch in read_batches(BatchStream(dataset, config, cache=cache), how.num_workers):
        found.update(batch.pair_ids.tolist())
    return found


def run(case: Case, service: Service, how: How | None = None) -> Reading:
    """Read through the network of a case.

    Raises:
        AssertionError: when the reader hangs, or what it read silently differs.
    """
    how = how or How()
    service.start()
    expected = read_ids(service.folder_url, QUICK, How(epochs=how.epochs))
    plan = Plan(case.faults, case.always, case.on)
    with Proxy(service, plan) as proxy, _resolver(case.failed_lookups) as host:
        url = proxy.url.replace("127.0.0.1", host)
        bound_s = case.policy.deadline_s + (START_S if how.num_workers else GRACE_S)
        found, error = _bounded(lambda: read_ids(url, case.policy, how), bound_s, case.id)
        told = _plain(str(error), f"http://{host}:{proxy.port}") if error else ""
    if error is None:
        missing, added = expected - found, found - expected
        assert not missing and not added, f"{case.id}: silently lost {missing}, added {added}"
    outcome = Outcome(type(error).__name__, told) if error else EXACT
    return Reading(outcome, plan)


def _bounded(
    work: Callable[[], Counter[int]], bound_s: float, name: str
) -> tuple[Counter[int], Exception | None]:
    """Run in a thread that is given up once the bound has passed."""
    results: list[tuple[Counter[int], Exception | None]] = []

    def target() -> None:
        try:
            results.append((work(), None))
        except Exception as error:  # noqa: BLE001  # the outcome, whatever it is
            results.append((Counter(), error))

    thread = threading.Thread(target=target, name="reader", daemon=True)
    thread.start()
    thread.join(bound_s)
    assert results, f"{name}: the reader hangs; nothing came of it in {bound_s} s"
    return results[0]


def _plain(message: str, root: str) -> str:
    """The first line of a message without what differs from run to run."""
    line = message.splitlines()[0].replace(root, "URL")
    line = re.sub(r"[0-9a-f]{64}", "SHA", line)
    return re.sub(r"127\.0\.0\.1:\d+", "HOST", line)


def _resolver(failures: int) -> AbstractContextManager[str]:
    return _names_that_fail(failures) if failures else nullcontext("127.0.0.1")


@contextmanager
def _names_that_fail(failures: int) -> Iterator[str]:
    """A name for this machine that resolves once, then fails so often; below 0 it never does."""
    real = socket.getaddrinfo
    lookups = 0

    def lookup(host: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal lookups
        if host != HOST:
            return real(host, *arguments, **options)
        lookups += 1
        if failures < 0 or 1 < lookups <= 1 + failures:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *arguments, **options)

    socket.getaddrinfo = lookup
    try:
        yield HOST
    finally:
        socket.getaddrinfo = real
