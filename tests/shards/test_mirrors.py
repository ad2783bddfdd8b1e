"""Several places of one data set → one good answer, the bad ones left alone for a while."""

import itertools
import pickle
import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shards.dataset import open_dataset
from shards.errors import (
    CorruptBlobError,
    ManifestError,
    NotFoundError,
    ShardError,
    StoreUnavailableError,
)
from shards.http import RetryPolicy
from shards.manifest import BlobInfo
from shards.mirrors import MirrorStore, hasty
from shards.store import LocalStore
from tests.shards.fault_server import FaultServer, cut, other_bytes, status
from tests.shards.helpers import fill_store
from tests.shards.test_dataset import content, publish, serve

INFO = BlobInfo(sha256="ab" * 32, bytes=4, suffix=".tar.zst")
GOOD = b"good"
DOWN = StoreUnavailableError("it is down; start it")
MISSING = NotFoundError("it is not there; look for it")
CORRUPT = CorruptBlobError("it has sha256 00; restore it")
REFUSED = ShardError("it was refused; check your access")
ONCE = RetryPolicy(attempts=2, first_wait_s=0.001)


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 1000.0

    def sleep(self, wait_s: float) -> None:
        self.now += wait_s


@dataclass
class FakeStore:
    """Answers, or fails with `error` until it is mended; counts how often it was asked."""

    root: str
    error: Exception | None = None
    asked: int = 0
    before: Callable[[], object] = field(default=lambda: None)

    def read(self, path: str) -> bytes:
        self.asked += 1
        self.before()
        if self.error is not None:
            raise self.error
        return f"{self.root}/{path}".encode()

    def read_blob(self, info: BlobInfo) -> bytes:
        self.read(info.path)
        return GOOD


@dataclass
class Setup:
    """Three mirrors, a, b and c, and the clock that they live by."""

    clock: Clock = field(default_factory=Clock)
    told: list[str] = field(default_factory=list)
    stores: list[FakeStore] = field(
        default_factory=lambda: [FakeStore(f"http://{n}") for n in "abc"]
    )
    policy: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(attempts=1000, first_wait_s=1, deadline_s=100)
    )

    def __post_init__(self) -> None:
        self.mirrors = MirrorStore(
            [(store, "demo") for store in self.stores],
            policy=self.policy,
            tell=self.told.append,
            sleep=self.clock.sleep,
            clock=lambda: self.clock.now,
        )

    @property
    def asked(self) -> list[int]:
        return [store.asked for store in self.stores]


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_only_the_preferred_mirror_is_asked_while_it_is_well(setup: Setup) -> None:
    for _ in range(5):
        assert setup.mirrors.read_blob(INFO) == GOOD
    assert (setup.asked, setup.told) == ([5, 0, 0], [])


@pytest.mark.parametrize("error", [DOWN, MISSING, CORRUPT, REFUSED, OSError("stale handle")])
def test_what_a_mirror_fails_to_give_the_next_one_gives_at_once(
    setup: Setup, error: Exception
) -> None:
    setup.stores[0].error = error
    assert setup.mirrors.read_blob(INFO) == GOOD
    assert (setup.asked, setup.clock.now) == ([1, 1, 0], 1000.0)


def test_a_mirror_that_fails_is_avoided_for_longer_each_time_and_then_tried_again(
    setup: Setup,
) -> None:
    first = setup.stores[0]
    first.error = DOWN
    tries = list[float]()
    first.before = lambda: tries.append(setup.clock.now)
    while setup.clock.now < 3000:
        assert setup.mirrors.read_blob(INFO) == GOOD
        setup.clock.now += 1
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    first.error, first.asked = None, 0
    setup.clock.now += 300
    for _ in range(3):
        assert setup.mirrors.read_blob(INFO) == GOOD
    assert first.asked == 3, "once it is well it is preferred again"
    first.error = DOWN
    setup.mirrors.read_blob(INFO)
    setup.clock.now += 5
    setup.mirrors.read_blob(INFO)
    assert first.asked == 5, "and its next pause is a short one"


def test_a_mirror_that_is_left_for_another_is_told_once(setup: Setup) -> None:
    setup.stores[0].error = DOWN
    for _ in range(100):
        setup.mirrors.read_blob(INFO)
        setup.clock.now += 1
    assert setup.told == [
        "mirror http://a is left for http://b or http://c: it is down; it is tried again in 5 s"
    ]


def test_a_mirror_that_comes_and_goes_is_not_told_every_time(setup: Setup) -> None:
    for _ in range(10):
        setup.stores[0].error = DOWN
        setup.mirrors.read_blob(INFO)
        setup.stores[0].error = None
        setup.clock.now += 100
        setup.mirrors.read_blob(INFO)
    assert len(setup.told) == 2, "in 1,000 seconds, at most once in 600"


def test_a_pause_does_not_cost_what_the_mirror_alone_has(setup: Setup) -> None:
    setup.stores[0].error = DOWN
    setup.mirrors.read_blob(INFO)
    setup.stores[0].error = None
    setup.stores[1].error = setup.stores[2].error = MISSING
    assert setup.mirrors.read_blob(INFO) == GOOD
    assert setup.clock.now == 1000.0


def test_when_all_are_down_rounds_go_on_until_one_is_back(setup: Setup) -> None:
    for store in setup.stores:
        store.error = DOWN

    def mend() -> None:
        if setup.clock.now >= 1030:
            setup.stores[2].error = None

    setup.stores[2].before = mend
    assert setup.mirrors.read_blob(INFO) == GOOD
    assert 1030 <= setup.clock.now <= 1040


def test_rounds_while_all_are_down_do_not_make_the_pauses_longer(setup: Setup) -> None:
    first, _, last = setup.stores
    for store in setup.stores:
        store.error = DOWN

    def mend() -> None:
        if setup.clock.now >= 1030:
            last.error = None

    last.before = mend
    setup.mirrors.read_blob(INFO)
    rounds, first.error = first.asked, None
    assert rounds > 5
    setup.clock.now += 40
    setup.mirrors.read_blob(INFO)
    assert first.asked == rounds + 1, "its pause was over after 40 seconds, and not after 300"


def test_when_all_stay_down_one_error_lists_each_with_its_reason(setup: Setup) -> None:
    for store in setup.stores:
        store.error = DOWN
    setup.stores[1].error = MISSING
    with pytest.raises(StoreUnavailableError) as caught:
        setup.mirrors.read_blob(INFO)
    text = str(caught.value)
    for part in ("http://a: it is down", "http://b: it is not there", "http://c: it is down"):
        assert part in text
    assert "none of the 3 mirrors" in text
    assert 1090 <= setup.clock.now <= 1100, "the whole patience, and no more"


@pytest.mark.parametrize(
    ("errors", "kind", "waited"),
    [
        ([MISSING, MISSING, MISSING], NotFoundError, False),
        ([MISSING, REFUSED, MISSING], ShardError, False),
        ([CORRUPT, CORRUPT, CORRUPT], CorruptBlobError, True),
        ([MISSING, CORRUPT, REFUSED], CorruptBlobError, True),
        ([CORRUPT, DOWN, MISSING], StoreUnavailableError, True),
        ([OSError("stale"), MISSING, MISSING], StoreUnavailableError, True),
    ],
)
def test_the_error_is_of_the_kind_that_waiting_could_mend(
    setup: Setup, errors: list[Exception], kind: type[ShardError], waited: bool
) -> None:
    for store, error in zip(setup.stores, errors, strict=True):
        store.error = error
    with pytest.raises(ShardError) as caught:
        setup.mirrors.read_blob(INFO)
    assert type(caught.value) is kind
    assert (setup.clock.now > 1000) is waited


def test_another_name_of_the_data_set_is_asked_for_by_that_name() -> None:
    stores = FakeStore("http://a", DOWN), FakeStore("http://b")
    mirrors = MirrorStore([(stores[0], "demo"), (stores[1], "copy")])
    assert mirrors.read("demo/latest.json") == b"http://b/copy/latest.json"
    assert mirrors.read("blobs/x") == b"http://b/blobs/x"


def test_readers_that_meet_one_failure_together_count_it_once(setup: Setup) -> None:
    first, barrier = setup.stores[0], threading.Barrier(4)
    first.error, first.before = DOWN, lambda: barrier.wait(10)
    threads = [threading.Thread(target=setup.mirrors.read_blob, args=(INFO,)) for _ in range(4)]
    for thread in threads:
        setup.clock.now += 0.001
        thread.start()
    for thread in threads:
        thread.join()
    first.before = lambda: None
    setup.clock.now += 5
    setup.mirrors.read_blob(INFO)
    assert (first.asked, len(setup.told)) == (5, 1)


def test_one_reader_tries_a_mirror_again_while_the_others_avoid_it(setup: Setup) -> None:
    first = setup.stores[0]
    first.error = DOWN
    setup.mirrors.read_blob(INFO)
    setup.clock.now += 5
    # another reader comes in the middle of the try
    first.before = lambda: setup.mirrors.read_blob(INFO)
    setup.mirrors.read_blob(INFO)
    assert setup.asked == [2, 3, 0]


def test_mirrors_can_be_sent_to_another_process(tmp_path: Path) -> None:
    publish(tmp_path)
    dataset = open_dataset(f"{tmp_path}/none/demo,{tmp_path}/demo", tell=print)
    again = pickle.loads(pickle.dumps(dataset))
    assert content(again) == content(dataset)


def test_one_mirror_among_others_is_tried_with_little_patience() -> None:
    quick = hasty(RetryPolicy(attempts=1_000_000, deadline_s=50))
    assert (quick.attempts, quick.connect_timeout_s, quick.deadline_s) == (2, 5, 30)
    assert hasty(RetryPolicy(attempts=1, connect_timeout_s=1)).connect_timeout_s == 1


class TestOpen:
    """Real stores behind one URL."""

    def test_the_first_that_answers_says_which_version_all_are_read_at(
        self, server: FaultServer, tmp_path: Path
    ) -> None:
        old = publish(tmp_path / "a", 0)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        new = publish(tmp_path / "b", 1)
        url = f"{serve(server, tmp_path / 'a')}/demo,{tmp_path}/b/demo"
        dataset = open_dataset(url, policy=ONCE)
        assert (dataset.version, dataset.ref.version) == (old, old)
        assert {place.version for place in dataset.ref.places} == {old}
        server.script.always = status(503)
        assert content(dataset) == content(open_dataset(f"{tmp_path}/b/demo/versions/{old}"))
        assert open_dataset(url, policy=ONCE).version == new
        assert open_dataset(dataset.ref.url, policy=ONCE).version == old

    def test_a_damaged_manifest_or_pointer_never_wins(
        self, server: FaultServer, tmp_path: Path
    ) -> None:
        version = publish(tmp_path)
        root = serve(server, tmp_path)
        url = f"{root}/demo,{tmp_path}/demo"
        manifest = f"/datasets/demo/versions/{version}/manifest.json"
        for path in (manifest, "/datasets/demo/latest.json"):
            server.script.files[path] = server.script.files[path].replace(b'"', b"'", 1)
            assert open_dataset(url, policy=ONCE).version == version
            with pytest.raises(ManifestError):
                open_dataset(f"{root}/demo", policy=ONCE)

    def test_corrupt_bytes_never_win_whatever_the_mirrors_do(
        self, server: FaultServer, tmp_path: Path
    ) -> None:
        store, manifest = fill_store(tmp_path / "good", shards=12)
        store.commit("demo", manifest)
        shutil.copytree(tmp_path / "good", tmp_path / "bad")
        root = serve(server, tmp_path / "good")
        chosen = random.Random(7)
        shards = manifest.splits["train"].shards
        for shard in chosen.sample(shards, 6):
            (tmp_path / "bad" / shard.path).write_bytes(b"x" * shard.bytes)
        told: list[str] = []
        dataset = open_dataset(f"{tmp_path}/bad/demo,{root}/demo", policy=ONCE, tell=told.append)
        server.script.faults = [cut(9), status(500), other_bytes(lambda data: data[::-1])]
        assert content(dataset) == content(open_dataset(f"{tmp_path}/good/demo"))
        assert len(told) == 2, "one for each mirror"

    def test_no_mirror_has_the_data_set(self, server: FaultServer, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match=r"2 mirrors.*no data set 'demo' at http.*no data"):
            open_dataset(f"{server.url}/d/demo,{tmp_path}/demo", policy=ONCE)

    def test_a_blob_that_only_one_mirror_has_is_found(self, tmp_path: Path) -> None:
        store, manifest = fill_store(tmp_path / "a", shards=2)
        store.commit("demo", manifest)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        expected = content(open_dataset(f"{tmp_path}/a/demo"))
        one, other = manifest.splits["train"].shards
        for name, shard in (("a", one), ("b", other)):
            (LocalStore(tmp_path / name).folder / shard.path).unlink()
        assert content(open_dataset(f"{tmp_path}/a/demo,{tmp_path}/b/demo")) == expected
