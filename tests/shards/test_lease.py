"""A lease of a reader: acquired, renewed, given back; whatever answers, reading goes on."""

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

from shards.errors import GoneError
from shards.lease import MAX_TTL_S, LeaseKeeper
from tests.ports import closed_port
from tests.shards.fault_server import Fault, FaultServer, Handler, status, trickle

ID = "ab" * 16
OTHER = "cd" * 16
VERSION = f"/datasets/demo/versions/{'0' * 64}"
PATIENCE_S = 60.0


def granted(lease: str = ID, ttl_s: int = 1) -> tuple[int, Any]:
    return 201, {"id": lease, "ttl_s": ttl_s}


class LeaseServer:
    """Answers from a list, the last one again and again; remembers what was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: queue.Queue[tuple[str, str, Any]] = queue.Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                # before the answer: the next request can come at once, to another thread
                outer.asked.put((self.command, self.path, json.loads(data) if data else None))
                status, body = outer.answers[0]
                if self.command != "DELETE" and len(outer.answers) > 1:
                    outer.answers.pop(0)
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_PUT = do_DELETE = do_POST  # noqa: N815 - the names that the base class calls

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}{VERSION}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def next(self) -> tuple[str, str, Any]:
        """What was asked next, waited for."""
        return self.asked.get(timeout=20)

    def methods(self, number: int) -> list[str]:
        return [self.next()[0] for _ in range(number)]

    def after_renewals(self) -> tuple[str, str, Any]:
        """What was asked next that is no renewal: how many come depends on the machine."""
        while (asked := self.next())[0] == "PUT":
            pass
        return asked


class Waits(threading.Event):
    """An event that remembers how long it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.told.append(timeout)
        return super().wait(timeout)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer for a first or last answer than a reader should wait."""
    monkeypatch.setattr("shards.lease._FIRST_WAIT_S", PATIENCE_S)
    monkeypatch.setattr("shards.lease._LAST_WAIT_S", PATIENCE_S)


def test_a_lease_is_acquired_renewed_in_time_and_given_back() -> None:
    with LeaseServer(granted(), (200, {"id": ID, "ttl_s": 1})) as server:
        lease = LeaseKeeper(server.url, holder="gpu-box\nruns/1", ttl_s=1)
        lease._stop = waits = Waits()
        with lease:
            assert (lease.state, lease.note, lease.problem) == ("held", None, None)
            body = {"holder": "gpu-box runs/1", "ttl_s": 1}
            assert server.next() == ("POST", f"{VERSION}/leases", body)
            for _ in range(2):
                assert server.next() == ("PUT", f"{VERSION}/leases/{ID}", None)
            assert waits.told[:3] == [0, 1 / 3, 1 / 3]
            lease.check()
        assert server.after_renewals() == ("DELETE", f"{VERSION}/leases/{ID}", None)
        assert lease.state == "ended"


def test_the_services_own_ttl_sets_the_pace() -> None:
    with (
        LeaseServer(granted(ttl_s=1), (200, {"id": ID, "ttl_s": 1})) as server,
        LeaseKeeper(server.url, holder="x", ttl_s=3600),
    ):
        assert server.methods(2) == ["POST", "PUT"]


@pytest.mark.parametrize("url", ["/data/datasets/demo/versions/x", "s3://bucket/demo/versions/x"])
def test_a_place_that_is_no_service_needs_no_lease_and_no_thread(url: str) -> None:
    before = set(threading.enumerate())
    with LeaseKeeper(url, holder="x") as lease:
        assert (lease.state, lease.problem) == ("none", None)
        assert not set(threading.enumerate()) - before
        assert lease.note is not None


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_a_server_without_leases_is_asked_once_and_it_is_told_once(status: int) -> None:
    told: list[str] = []
    with (
        LeaseServer((status, b"<html>")) as server,
        LeaseKeeper(server.url, holder="x", ttl_s=1, tell=told.append) as lease,
    ):
        assert lease.state == "none"
        lease.check()
        assert [str(status) in note for note in told] == [True]
        assert server.methods(1) == ["POST"]
        for thread in threading.enumerate():
            if thread.name == "lease":
                thread.join(20)
                assert not thread.is_alive()  # it would ask again


def test_pythons_own_file_server_has_no_leases() -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with LeaseKeeper(f"http://127.0.0.1:{server.server_port}{VERSION}", holder="x") as lease:
            assert lease.state == "none"
        server.shutdown()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", {"id": "../x"}, {"id": 3}, b"[" * 60_000])
def test_what_answers_nonsense_is_no_service(body: Any) -> None:
    with (
        LeaseServer((200, body)) as server,
        LeaseKeeper(server.url, holder="x") as lease,
    ):
        assert lease.state == "none"


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_cannot_now_is_asked_again(status: int) -> None:
    told: list[str] = []
    answers = ((status, {"detail": "1000 leases are held already"}), granted())
    with (
        LeaseServer(*answers) as server,
        LeaseKeeper(server.url, holder="x", ttl_s=1, tell=told.append) as lease,
    ):
        assert server.methods(3) == ["POST", "POST", "PUT"]
        assert lease.state == "held"
        assert len(told) == 2
        assert f"HTTP {status} 1000 leases" in told[0]
        assert "held again" in told[1]


def test_a_service_that_is_away_disturbs_nothing_and_is_asked_until_it_answers() -> None:
    told: queue.Queue[str] = queue.Queue()
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}{VERSION}"
        started = time.monotonic()
        with LeaseKeeper(url, holder="x", ttl_s=1, tell=told.put) as lease:
            assert "does not answer" in told.get(timeout=20)
            assert (lease.state, lease.problem) == ("asking", None)
            lease.check()
        assert time.monotonic() - started < PATIENCE_S / 2


def test_a_service_that_never_answers_holds_up_neither_begin_nor_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shards.lease._FIRST_WAIT_S", 0.1)
    monkeypatch.setattr("shards.lease._LAST_WAIT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}{VERSION}"
        started = time.monotonic()
        with LeaseKeeper(url, holder="x", timeout_s=PATIENCE_S) as lease:
            assert lease.state == "asking"
        assert time.monotonic() - started < PATIENCE_S / 2


def test_a_renewal_that_fails_is_tried_again() -> None:
    with (
        LeaseServer(granted(), (503, {}), (200, {"id": ID, "ttl_s": 1})) as server,
        LeaseKeeper(server.url, holder="x", ttl_s=1) as lease,
    ):
        assert server.methods(4) == ["POST", "PUT", "PUT", "PUT"]
        assert (lease.state, lease.problem) == ("held", None)


def test_a_service_that_lost_the_lease_is_asked_for_another() -> None:
    with LeaseServer(granted(), (404, {}), granted(OTHER), (200, {"id": OTHER})) as server:
        with LeaseKeeper(server.url, holder="x", ttl_s=1) as lease:
            assert server.methods(3) == ["POST", "PUT", "POST"]
            assert server.next() == ("PUT", f"{VERSION}/leases/{OTHER}", None)
            assert lease.state == "held"
        assert server.after_renewals()[:2] == ("DELETE", f"{VERSION}/leases/{OTHER}")


def test_a_service_that_was_there_before_is_not_given_up() -> None:
    with (
        LeaseServer(
            granted(), (404, {}), (404, {}), granted(OTHER), (200, {"id": OTHER})
        ) as server,
        LeaseKeeper(server.url, holder="x", ttl_s=1) as lease,
    ):
        assert server.methods(5) == ["POST", "PUT", "POST", "POST", "PUT"]
        assert lease.state == "held"


@pytest.mark.parametrize("held", [False, True])
def test_a_version_that_was_collected_is_a_problem_in_the_services_words(held: bool) -> None:
    answers = [granted()] * held + [(410, {"detail": "version 00 was collected on 2026-11-23"})]
    told: queue.Queue[str] = queue.Queue()
    with (
        LeaseServer(*answers) as server,
        LeaseKeeper(server.url, holder="x", ttl_s=1, tell=told.put) as lease,
    ):
        told.get(timeout=20)
        assert lease.state == "gone"
        with pytest.raises(GoneError, match="version 00 was collected on 2026-11-23"):
            lease.check()
    asked = [server.next()[0] for _ in range(server.asked.qsize())]
    assert asked == ["POST", "PUT"] * held + ["POST"]  # nothing is left to give back


@pytest.mark.parametrize("ttl_s", [0, -1, MAX_TTL_S + 1])
def test_a_ttl_that_no_service_grants_is_refused_here(ttl_s: int) -> None:
    with pytest.raises(ValueError, match=str(ttl_s)):
        LeaseKeeper("http://x/demo", holder="x", ttl_s=ttl_s)


# a shell lets what it starts in the background ignore Ctrl-C, and so do the tests' own children
PROGRAM = """
import signal, sys, time
from shards.lease import LeaseKeeper
signal.signal(signal.SIGINT, signal.default_int_handler)
with LeaseKeeper(sys.argv[1], holder="x", ttl_s=60):
    print("reading", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def reader() -> Iterator[tuple[LeaseServer, "subprocess.Popen[str]"]]:
    """A program that reads with a lease."""
    with LeaseServer(granted(ttl_s=60)) as server:
        command = [sys.executable, "-c", PROGRAM, server.url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as p:
            assert p.stdout is not None
            assert p.stdout.readline() == "reading\n"
            yield server, p
            p.kill()


def test_ctrl_c_gives_the_lease_back_and_ends_the_program(
    reader: tuple[LeaseServer, "subprocess.Popen[str]"],
) -> None:
    server, program = reader
    program.send_signal(signal.SIGINT)
    assert program.wait(20) == -signal.SIGINT
    assert server.methods(2) == ["POST", "DELETE"]


class PostHandler(Handler):
    """The faults of a file server, for a lease."""

    def do_POST(self) -> None:  # noqa: N802 - the library's name
        self.do_GET()


@pytest.mark.parametrize(
    "fault",
    [
        status(307, Location="http://[x"),
        lambda handler, _: trickle(0.05)(handler, bytes(1000)),
    ],
    ids=["a redirect to what is no URL", "a byte now and then"],
)
def test_an_answer_that_is_none_does_not_hold_or_end_the_keeper(fault: Fault) -> None:
    with FaultServer(PostHandler) as server:
        server.script.always = fault
        with LeaseKeeper(f"{server.url}{VERSION}", holder="x", timeout_s=0.2) as lease:
            assert "the service does not answer" in (lease.note or "")
            assert "lease" in [thread.name for thread in threading.enumerate()]
