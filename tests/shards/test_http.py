"""A store over HTTP with faults → exactly the bytes that the manifest names, or one clear error."""

import hashlib
import pickle
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shards.errors import CorruptBlobError, NotFoundError, ShardError, StoreUnavailableError
from shards.http import HttpStore, RetryPolicy
from shards.manifest import BlobInfo
from tests.ports import closed_port
from tests.shards.fault_server import (
    Fault,
    FaultServer,
    Handler,
    cut,
    cut_without_length,
    other_bytes,
    stall,
    status,
    whole,
)

DATA = bytes(range(256)) * 1200  # about 300 kB: several reads
INFO = BlobInfo(sha256=hashlib.sha256(DATA).hexdigest(), bytes=len(DATA), suffix=".tar.zst")
TINY = RetryPolicy(
    attempts=5,
    first_wait_s=0.001,
    max_wait_s=0.01,
    deadline_s=60,
)
IMPATIENT = replace(TINY, read_timeout_s=0.5)  # for servers that stall


def flip(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


def misplaced(handler: Any, data: bytes) -> None:
    """A 206 for another range than the one that was asked for."""
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 7-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - 7))
    handler.end_headers()
    handler.wfile.write(data[7:])


def nameless_range(handler: Any, data: bytes) -> None:
    """A 206 that does not say where it starts."""
    handler.send_response(206)
    handler.send_header("Content-Length", str(len(data) - handler.offset))
    handler.end_headers()
    handler.wfile.write(data[handler.offset :])


def reset(handler: Any, data: bytes) -> None:
    """Some bytes, then a connection reset instead of an end."""
    handler.head(data, handler.offset)
    handler.wfile.write(data[handler.offset :][:100_000])
    handler.wfile.flush()
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, for zero seconds: close sends RST
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True


def no_answer(handler: Any, data: bytes) -> None:
    del data
    handler.hang_up()


def fetch(server: FaultServer, *faults: Fault, policy: RetryPolicy = TINY) -> bytes:
    server.script.files[f"/{INFO.path}"] = DATA
    server.script.faults = list(faults)
    return HttpStore(server.url, policy=policy).read_blob(INFO)


FAULTS: dict[str, list[Fault]] = {
    "none": [],
    "cut at once": [cut(0)],
    "cut after one byte": [cut(1)],
    "cut before the last byte": [cut(len(DATA) - 1)],
    "cut in every part": [cut(100_000)] * 3,
    "cut without length": [cut_without_length(100_000)],
    "cut without length at once": [cut_without_length(0)],
    "cut without length twice": [cut_without_length(100_000)] * 2,
    "no length but whole": [cut_without_length(len(DATA))],
    "503 twice": [status(503), status(503)],
    "503 that says when": [status(503, Retry_After="0")] * 2,
    "429": [status(429)],
    "429 that says when": [status(429, Retry_After="0")],
    "500": [status(500)],
    "502 with a date": [status(502, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")],
    "408": [status(408)],
    "416 in answer to Range": [cut(100_000), status(416)],
    "200 in answer to Range": [cut(100_000), whole],
    "wrong Content-Range": [cut(100_000), misplaced],
    "no Content-Range": [cut(100_000), nameless_range],
    "206 that nobody asked for": [misplaced],
    "flipped byte": [other_bytes(flip)],
    "flipped byte, then cut": [other_bytes(flip), cut(100_000)],
    "cut, then flipped": [cut(100_000), other_bytes(lambda data: data[:-1] + b"?")],
    "too few bytes": [other_bytes(lambda data: data[:-5])],
    "too many bytes": [other_bytes(lambda data: data + b"more")],
    "other bytes": [other_bytes(lambda data: b"x" * len(data))],
    "an error page with 200": [other_bytes(lambda _: b"<html>sorry</html>")],
    "reset": [reset],
    "no answer": [no_answer, no_answer],
    "stall before the first byte": [stall(0)],
    "stall in the middle": [stall(100_000)],
}


def patience(name: str) -> RetryPolicy:
    return IMPATIENT if name.startswith("stall") else TINY


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_leaves_exactly_the_right_bytes(server: FaultServer, name: str) -> None:
    assert fetch(server, *FAULTS[name], policy=patience(name)) == DATA
    assert server.script.faults == []


FOREVER: dict[str, tuple[Fault, type[ShardError], str]] = {
    "cut at once": (cut(0), StoreUnavailableError, "after 0"),
    "cut without length": (cut_without_length(0), StoreUnavailableError, "after 0 of 307200"),
    "503": (status(503), StoreUnavailableError, "HTTP 503"),
    "503 that says when": (status(503, Retry_After="0"), StoreUnavailableError, "HTTP 503"),
    "429": (status(429), StoreUnavailableError, "HTTP 429"),
    "flipped byte": (other_bytes(flip), CorruptBlobError, INFO.path),
    "too few bytes": (
        other_bytes(lambda data: data[:7]),
        StoreUnavailableError,
        "ended after 7 of 307200",
    ),
    "no answer": (no_answer, StoreUnavailableError, "could not be fetched"),
    "stall": (stall(0), StoreUnavailableError, "timed out"),
    "misplaced range": (misplaced, StoreUnavailableError, "206"),
}


@pytest.mark.parametrize("name", FOREVER)
def test_a_fault_that_stays_is_one_clear_error_after_bounded_attempts(
    server: FaultServer, name: str
) -> None:
    server.script.always, error, told = FOREVER[name]
    with pytest.raises(error, match=re.escape(told)) as caught:
        fetch(server, policy=patience(name))
    assert f"{server.url}/{INFO.path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)
    assert len(server.script.requests) == TINY.attempts


@pytest.mark.parametrize("fault", [cut, cut_without_length, stall])
def test_a_fetch_goes_on_where_it_was_cut(
    server: FaultServer, fault: Callable[[int], Fault]
) -> None:
    policy = IMPATIENT if fault is stall else TINY
    assert fetch(server, fault(150_000), policy=policy) == DATA
    first, second, *more = server.script.requests
    assert not more or policy is IMPATIENT
    assert "Range" not in first.headers
    start = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 150_000
    assert second.headers["If-Range"] == f'"{INFO.sha256}"'


@pytest.mark.parametrize("fault", [cut, cut_without_length])
def test_a_link_that_always_cuts_still_gets_to_the_end(
    server: FaultServer, fault: Callable[[int], Fault]
) -> None:
    server.script.always = fault(20_000)
    assert fetch(server) == DATA
    assert len(server.script.requests) == 16 > TINY.attempts


def test_bytes_behind_the_last_are_left_where_they_are(server: FaultServer) -> None:
    server.script.always = other_bytes(lambda data: data + b"more")
    assert fetch(server) == DATA


@pytest.mark.parametrize("etag", ['"another"', 'W/"weak"', None])
def test_a_host_with_etags_of_its_own_or_none_gives_the_rest_too(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, etag: str | None
) -> None:
    monkeypatch.setattr(Handler, "etag", etag or "")
    assert fetch(server, cut(100_000)) == DATA
    second = server.script.requests[1].headers
    assert second["Range"] == "bytes=100000-"
    assert second.get("If-Range") == ('"another"' if etag == '"another"' else None)


def test_a_damaged_body_is_fetched_again_from_its_start(server: FaultServer) -> None:
    assert fetch(server, other_bytes(flip)) == DATA
    assert "Range" not in server.script.requests[1].headers


def test_bytes_come_as_they_are_stored(server: FaultServer) -> None:
    fetch(server)
    assert server.script.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("code", [404, 410])
def test_what_is_not_there_is_said_at_once(server: FaultServer, code: int) -> None:
    server.script.always = status(code)
    with pytest.raises(NotFoundError, match=rf"{INFO.path}.*HTTP {code}.*check the URL"):
        fetch(server)
    assert len(server.script.requests) == 1


@pytest.mark.parametrize("code", [400, 401, 403])
def test_a_refusal_is_said_at_once(server: FaultServer, code: int) -> None:
    server.script.always = status(code)
    with pytest.raises(ShardError, match=f"HTTP {code}; check the URL and your access"):
        fetch(server)
    assert len(server.script.requests) == 1


def test_nobody_listening_is_an_error_with_a_remedy() -> None:
    with (
        closed_port() as port,
        pytest.raises(StoreUnavailableError, match=r"refused.*check that the service is up"),
    ):
        HttpStore(f"http://127.0.0.1:{port}", policy=TINY).read_blob(INFO)


def test_a_host_that_does_not_exist_is_an_error_with_a_remedy() -> None:
    with pytest.raises(StoreUnavailableError, match=r"nowhere\.invalid.*check that the service"):
        HttpStore("http://nowhere.invalid", policy=TINY).read_blob(INFO)


def test_a_redirect_is_followed(server: FaultServer) -> None:
    server.script.files["/elsewhere"] = DATA
    found = status(302, Location=f"{server.url}/elsewhere")
    assert fetch(server, found) == DATA
    assert [request.path for request in server.script.requests] == [f"/{INFO.path}", "/elsewhere"]


def test_a_redirect_in_a_circle_ends(server: FaultServer) -> None:
    server.script.always = status(302, Location=f"{server.url}/{INFO.path}")
    with pytest.raises(StoreUnavailableError, match="redirect"):
        fetch(server)


def test_a_small_file_is_read_whole_and_retried_from_its_start(server: FaultServer) -> None:
    server.script.files["/demo/latest.json"] = b"{}" * 1000
    server.script.faults = [status(503), cut(10)]
    assert HttpStore(f"{server.url}/", policy=TINY).read("demo/latest.json") == b"{}" * 1000
    assert all("Range" not in request.headers for request in server.script.requests)


VERSION = hashlib.sha256(b"{}\n").hexdigest()
MANIFEST = f"demo/versions/{VERSION}/manifest.json"


@pytest.mark.parametrize("path", [MANIFEST, "demo/latest.json"])
def test_a_small_file_that_cannot_be_right_is_asked_for_again(
    server: FaultServer, path: str
) -> None:
    server.script.files[f"/{path}"] = b"{}\n"
    server.script.faults = [other_bytes(lambda data: data[:1]), cut_without_length(1)]
    assert HttpStore(server.url, policy=TINY).read(path) == b"{}\n"
    assert len(server.script.requests) == 3


def test_a_small_file_that_comes_wrong_twice_is_handed_over_as_it_is(server: FaultServer) -> None:
    server.script.files[f"/{MANIFEST}"] = b"edited"
    assert HttpStore(server.url, policy=TINY).read(MANIFEST) == b"edited"
    assert len(server.script.requests) == 2


def test_a_host_that_calls_zstd_an_encoding_is_understood(server: FaultServer) -> None:
    def fault(handler: Handler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "zstd")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    assert fetch(server, fault) == DATA
    assert len(server.script.requests) == 1


def test_a_connection_is_used_again(server: FaultServer) -> None:
    server.script.files[f"/{INFO.path}"] = DATA
    store = HttpStore(server.url, policy=TINY)
    for _ in range(3):
        store.read_blob(INFO)
    assert len({request.port for request in server.script.requests}) == 1


def test_a_connection_is_used_again_by_threads_that_come_later(server: FaultServer) -> None:
    server.script.files[f"/{INFO.path}"] = DATA
    store = HttpStore(server.url, policy=TINY)
    for _ in range(3):
        thread = threading.Thread(target=store.read_blob, args=(INFO,))
        thread.start()
        thread.join()
    assert len({request.port for request in server.script.requests}) == 1


def test_one_store_serves_many_threads(server: FaultServer) -> None:
    server.script.files[f"/{INFO.path}"] = DATA
    server.script.faults = [cut(100_000), status(503), other_bytes(flip)]
    store = HttpStore(server.url, policy=TINY)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.read_blob(INFO))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [DATA] * 6


def test_a_store_can_be_sent_to_another_process_after_use(server: FaultServer) -> None:
    server.script.files[f"/{INFO.path}"] = DATA
    store = HttpStore(server.url, policy=TINY)
    store.read_blob(INFO)
    again: HttpStore = pickle.loads(pickle.dumps(store))
    assert (again.root, again.policy) == (store.root, store.policy)
    assert again.read_blob(INFO) == DATA
