"""Several places of one data set → what the first good one gives, whatever the others do."""

import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from shards.attempts import RetryPolicy
from shards.errors import (
    CorruptBlobError,
    ManifestError,
    NotFoundError,
    ShardError,
    StoreUnavailableError,
)
from shards.manifest import BlobInfo
from shards.store import Store

_FIRST_PAUSE_S: Final = 5.0
_MAX_PAUSE_S: Final = 300.0
_QUIET_S: Final = 600.0
_CONNECT_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 15.0
_DEADLINE_S: Final = 30.0
_RETRY_AFTER_S: Final = 2.0

T = TypeVar("T")
Tell = Callable[[str], object]


def hasty(policy: RetryPolicy) -> RetryPolicy:
    """How long to try one mirror while there are others: a second time, to go on after a cut.

    What comes fast enough extends the deadline, so that large blobs have their time.
    """
    return replace(
        policy,
        attempts=min(policy.attempts, 2),
        connect_timeout_s=min(policy.connect_timeout_s, _CONNECT_TIMEOUT_S),
        read_timeout_s=min(policy.read_timeout_s, _READ_TIMEOUT_S),
        deadline_s=min(policy.deadline_s, _DEADLINE_S),
        max_retry_after_s=min(policy.max_retry_after_s, _RETRY_AFTER_S),
    )


@dataclass(slots=True)
class Mirror:
    """One place: its store, the name of the data set there, and how it has done lately."""

    store: Store
    name: str
    failures: int = 0
    failed_at: float = float("-inf")
    until: float = float("-inf")  # avoided until then
    told_at: float = float("-inf")

    def pause_s(self) -> float:
        """How long to avoid it after so many failures in a row."""
        return min(_FIRST_PAUSE_S * 2.0 ** (self.failures - 1), _MAX_PAUSE_S)


class MirrorStore:
    """A tree of data sets in several places, the preferred first; safe to use from several threads.

    A mirror that fails is avoided for a while, which grows with every failure in a row, and is
    then tried again. When all are paused, all are tried: a pause never costs what one of them has.
    """

    def __init__(
        self,
        mirrors: Sequence[tuple[Store, str]],
        *,
        policy: RetryPolicy | None = None,
        tell: Tell | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Of each mirror its store and the data set's name there; `tell` hears of one that fails.

        The stores should have little patience of their own (`hasty`); `policy` is for all together.
        """
        self.root = ",".join(store.root for store, _ in mirrors)
        self.policy = policy or RetryPolicy()
        self._mirrors = [Mirror(store, name) for store, name in mirrors]
        self._name = mirrors[0][1]
        self._tell = tell
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def read(self, path: str) -> bytes:
        """The whole of a small file, unverified; see `first` for what can be checked."""
        name, slash, rest = path.partition("/")
        own = name == self._name and bool(slash)
        return self.first(lambda store, name: store.read(f"{name}/{rest}" if own else path))

    def read_blob(self, info: BlobInfo) -> bytes:
        """The whole of a blob, verified, from the preferred mirror that has it intact."""
        return self.first(lambda store, _: store.read_blob(info))

    def first(self, question: Callable[[Store, str], T]) -> T:
        """The first answer that is no error; a question gets a store and the data set's name there.

        Raises:
            NotFoundError, CorruptBlobError, ManifestError: when that is what every mirror said.
            StoreUnavailableError: when one that may have it did not answer in time.
            ShardError: otherwise.
        """
        started = self._clock()
        errors: dict[int, tuple[Mirror, Exception]] = {}
        for number in range(self.policy.attempts):
            for mirror, avoided in self._order():
                begun = self._clock()
                if number and begun - started > self.policy.deadline_s:
                    break
                try:
                    answer = question(mirror.store, mirror.name)
                except (ShardError, OSError) as error:
                    errors[id(mirror)] = mirror, error
                    if not avoided:
                        self._failed(mirror, error, begun)
                else:
                    self._worked(mirror)
                    return answer
            wait_s = self.policy.wait_s(number, None)
            over = self._clock() - started + wait_s > self.policy.deadline_s
            if (
                over
                or number + 1 == self.policy.attempts
                or not any(map(_may_pass, errors.values()))
            ):
                break
            self._sleep(wait_s)
        told = list(errors.values())
        raise self._verdict(told, number + 1) from told[0][1]

    def with_policy(self, policy: RetryPolicy) -> "MirrorStore":
        """The same mirrors, and what is known of them, with another patience for all together."""
        again = copy.copy(self)
        again.policy = policy
        return again

    def _order(self) -> Iterator[tuple[Mirror, bool]]:
        """Mirrors as they were given, then those that are avoided, the next to be tried first.

        The reader that tries a mirror again does so alone: others go on avoiding it meanwhile.
        """
        avoided = []
        for mirror in self._mirrors:
            with self._lock:
                now = self._clock()
                is_ready = mirror.until <= now
                if is_ready and mirror.failures:
                    mirror.until = now + mirror.pause_s()
            if is_ready:
                yield mirror, False
            else:
                avoided.append(mirror)
        for mirror in sorted(avoided, key=lambda one: one.until):
            yield mirror, True

    def _worked(self, mirror: Mirror) -> None:
        with self._lock:
            mirror.failures, mirror.until = 0, float("-inf")

    def _failed(self, mirror: Mirror, error: Exception, begun: float) -> None:
        """Avoid it from now on, for longer than the last time."""
        with self._lock:
            now = self._clock()
            if begun <= mirror.failed_at:
                return  # another reader met the same failure meanwhile
            mirror.failures += 1
            mirror.failed_at, mirror.until = now, now + mirror.pause_s()
            quiet = mirror.failures > 1 or now - mirror.told_at < _QUIET_S
            if not quiet:
                mirror.told_at = now
            others = [other.store.root for other in self._mirrors if other is not mirror]
        if self._tell is not None and not quiet:
            self._tell(
                f"mirror {mirror.store.root} is left for {' or '.join(others)}: {_short(error)}; "
                f"it is tried again in {mirror.pause_s():.0f} s"
            )

    def _verdict(self, errors: list[tuple[Mirror, Exception]], rounds: int) -> ShardError:
        """One error for all mirrors: as grave as the mildest of theirs, with each one's reason."""
        reasons = "; ".join(f"{mirror.store.root}: {_short(error)}" for mirror, error in errors)
        kind = next(
            (
                kind
                for kind in (CorruptBlobError, ManifestError)
                if any(isinstance(error, kind) for _, error in errors)
            ),
            ShardError,
        )
        if any(map(_may_pass_by_waiting, errors)):
            kind = StoreUnavailableError
        elif all(isinstance(error, NotFoundError) for _, error in errors):
            kind = NotFoundError
        tries = "once" if rounds == 1 else f"{rounds} times"
        return kind(
            f"none of the {len(errors)} mirrors could give it, each was asked {tries}: {reasons}; "
            "nothing was lost; mend one of them, then run the same command again"
        )


def _may_pass_by_waiting(told: tuple[Mirror, Exception]) -> bool:
    return isinstance(told[1], StoreUnavailableError | OSError)


def _may_pass(told: tuple[Mirror, Exception]) -> bool:
    return _may_pass_by_waiting(told) or isinstance(told[1], CorruptBlobError)


def _short(error: Exception) -> str:
    """What is wrong, without the remedy, which differs when there are mirrors."""
    return " ".join(str(error).split()).split("; ")[0]
