"""Blobs on a real socket: whole and in order, whatever becomes of the file or of the clients."""

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from dataservice.web import sendfile
from dataservice.web.sendfile import SendfileProtocol

Address = tuple[str, int]
Serving = Callable[[FastAPI | Starlette], AbstractContextManager[Address]]
NewApp = Callable[..., FastAPI]

SIZE = 24 << 20  # more than the buffers of a connection take
NAME = "a" * 64 + ".tar.zst"
URL = f"/datasets/blobs/{NAME}"


@pytest.fixture
def blob(data_dir: Path) -> Path:
    """A large blob; its bytes differ from piece to piece."""
    path = data_dir / "datasets" / "blobs" / NAME
    path.write_bytes(b"".join(number.to_bytes(8) * 512 for number in range(SIZE // 4096)))
    return path


def begin(address: Address, *headers: str) -> tuple[socket.socket, bytes]:
    """A connection on which a blob has begun to come and stands still, and its first bytes."""
    connection = socket.create_connection(address, timeout=60)
    lines = (f"GET {URL} HTTP/1.1", "Host: x", *headers, "", "")
    connection.sendall("\r\n".join(lines).encode())
    data = b""
    while not data.partition(b"\r\n\r\n")[2]:
        data += connection.recv(4096)
    assert data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 206"))
    return connection, data.partition(b"\r\n\r\n")[2]


def rest(begun: tuple[socket.socket, bytes]) -> bytes:
    """The body of an answer that has begun; `Connection: close` was asked for."""
    with begun[0] as connection:
        return begun[1] + b"".join(iter(lambda: connection.recv(1 << 20), b""))


def num_left(begun: tuple[socket.socket, bytes]) -> int:
    """How many bytes of such a body come, of which none is kept in the memory."""
    room, total = bytearray(1 << 16), len(begun[1])
    with begun[0] as connection:
        while size := connection.recv_into(room):
            total += size
    return total


def num_open(path: Path) -> int:
    """How often this process, the server's too, has a file open."""
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(link.readlink())
        except FileNotFoundError:
            continue
    return links.count(path)


def wait_until_closed(path: Path, *, but: int = 0) -> None:
    """Until only `but` readers have it; the file of a range is closed after its last byte."""
    deadline = time.monotonic() + 30
    while num_open(path) != but:
        assert time.monotonic() < deadline, "the server still has the file open"
        time.sleep(0.01)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_connection_goes_on_after_a_blob(
    new_app: NewApp, serving: Serving, data_dir: Path, blob: Path
) -> None:
    empty = blob.with_name("b" * 64)
    empty.touch()
    data = blob.read_bytes()
    with serving(new_app(data_dir)) as address:
        connection = http.client.HTTPConnection(*address, timeout=60)
        expected = {"GET": data, "HEAD": b""}
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"Range": "bytes=1-2000000"})):
            connection.request(method, URL, headers=headers)
            body = connection.getresponse().read()
            assert body == (data[1:2000001] if headers else expected[method])
            connection.request("GET", f"/datasets/blobs/{empty.name}")
            assert connection.getresponse().read() == b""
        connection.close()


def test_requests_sent_ahead_are_answered_in_order(
    new_app: NewApp, serving: Serving, data_dir: Path, blob: Path
) -> None:
    first = f"GET {URL} HTTP/1.1\r\nHost: x\r\n\r\n"
    last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with serving(new_app(data_dir)) as address:
        connection = socket.create_connection(address, timeout=60)
        connection.sendall((first + first + last).encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 20), b""))
        connection.close()
    data = blob.read_bytes()
    one, two, health = answer.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [part.partition(b"\r\n\r\n")[2] == data for part in (one, two)] == [True, True]
    assert health.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("how", ["removed", "replaced"])
@pytest.mark.parametrize("header", [(), ("Range: bytes=5-",)])
def test_a_blob_comes_whole_though_its_file_goes_away(
    new_app: NewApp, serving: Serving, data_dir: Path, blob: Path, how: str, header: tuple[str, ...]
) -> None:
    data = blob.read_bytes()
    with serving(new_app(data_dir)) as address:
        begun = begin(address, "Connection: close", *header)
        if how == "removed":
            blob.unlink()
        else:
            (other := blob.with_name("other")).write_bytes(b"other")
            other.replace(blob)
        assert rest(begun) == (data[5:] if header else data)


def test_a_file_that_is_cut_ends_the_connection_and_nothing_else(
    new_app: NewApp,
    serving: Serving,
    data_dir: Path,
    blob: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(new_app(data_dir)) as address:
        connection, first = begin(address)
        os.truncate(blob, SIZE - 4096)
        got = len(first)
        with connection, suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                got += len(piece)
        assert got < SIZE
        wait_until_closed(blob)
        assert len(rest(begin(address, "Connection: close"))) == SIZE - 4096
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{blob}: cut while it was sent" in line


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_changed_before_it_was_opened_is_no_traceback(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    (old := tmp_path / "old").write_bytes(bytes(1000))
    if there:
        (tmp_path / "new").write_bytes(bytes(10))

    async def file(request: Request) -> FileResponse:
        del request
        return FileResponse(tmp_path / "new", stat_result=old.stat())

    with serving(Starlette(routes=[Route("/", file)])) as address:
        connection = http.client.HTTPConnection(*address, timeout=60)
        connection.request("GET", "/")
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            connection.getresponse().read()
        connection.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert ("cut while it was sent" if there else "No such file") in line


@pytest.mark.parametrize(("header", "each_mib"), [((), 0.5), (("Range: bytes=1-",), 5)])
def test_readers_that_stand_still_cost_little_and_leave_nothing(
    new_app: NewApp,
    serving: Serving,
    data_dir: Path,
    blob: Path,
    header: tuple[str, ...],
    each_mib: float,
) -> None:
    """A piece at a time is read, or none: what a reader does not take stays on the disk."""
    with serving(new_app(data_dir)) as address, ExitStack() as stack:
        assert num_left(begin(address, "Connection: close", *header)) >= SIZE - 1
        before = resident_bytes()
        for _ in range(32):
            stack.enter_context(begin(address, *header)[0])
        # answered beside them, so by then each of them has got what it takes
        assert num_left(begin(address, "Connection: close", *header)) >= SIZE - 1
        wait_until_closed(blob, but=32)
        for path in ("/healthz", "/datasets", "/datasets/demo/latest.json"):
            connection = http.client.HTTPConnection(*address, timeout=60)
            connection.request("GET", path)
            assert connection.getresponse().read()
            connection.close()
        assert resident_bytes() - before < (32 * each_mib + 8) * (1 << 20)
        stack.close()
        wait_until_closed(blob)


@pytest.mark.parametrize("header", [(), ("Range: bytes=1-",), ("Connection: close",)])
def test_a_reader_that_takes_nothing_for_too_long_is_cut(
    new_app: NewApp,
    serving: Serving,
    data_dir: Path,
    blob: Path,
    header: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(SendfileProtocol, "send_timeout_s", 0.2)
    with serving(new_app(data_dir)) as address:
        connection, first = begin(address, *header)
        wait_until_closed(blob)
        got = len(first)
        with connection, suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                got += len(piece)
        assert got < SIZE - 1
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("header", [(), ("Range: bytes=1-",)])
def test_a_slow_reader_that_goes_on_is_not_cut(
    new_app: NewApp,
    serving: Serving,
    data_dir: Path,
    blob: Path,
    header: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is one piece, which takes longer than a reader may stand still."""
    monkeypatch.setattr(SendfileProtocol, "send_timeout_s", 2.0)
    monkeypatch.setattr(sendfile, "_PIECE_BYTES", SIZE)
    with serving(new_app(data_dir)) as address:
        connection, data = begin(address, "Connection: close", *header)
        begun = time.monotonic()
        while piece := connection.recv(1 << 19):
            data += piece
            time.sleep(0.08)  # the speed of this reader
        connection.close()
        assert time.monotonic() - begun > 3
    assert data == blob.read_bytes()[1 if header else 0 :]


@pytest.mark.parametrize("heard", [True, False])
def test_a_client_that_resets_before_the_answer_is_no_error(
    serving: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str], heard: bool
) -> None:
    """The server has heard of the reset when it answers, or hears of it only by writing."""
    (path := tmp_path / "file").write_bytes(bytes(1000))
    asked, reset = threading.Event(), threading.Event()

    async def file(request: Request) -> FileResponse:
        if not reset.is_set():
            asked.set()
            while heard and (await request.receive())["type"] != "http.disconnect":
                pass
            assert reset.wait(60)  # the event loop stands still
        return FileResponse(path, stat_result=path.stat())

    with serving(Starlette(routes=[Route("/", file)])) as address:
        with socket.create_connection(address, timeout=60) as connection:
            at_once = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert asked.wait(60)
        reset.set()
        again = http.client.HTTPConnection(*address, timeout=60)
        again.request("GET", "/")
        assert again.getresponse().read() == bytes(1000)
        again.close()
    assert capsys.readouterr().err == ""


@pytest.mark.slow
@pytest.mark.parametrize("header", [(), ("Range: bytes=1-",)])
def test_a_service_with_readers_that_stand_still_stops_in_time_and_quietly(
    data_dir: Path, blob: Path, header: tuple[str, ...]
) -> None:
    assert blob.exists()
    command = ["-m", "dataservice", "serve", "--port", "0", "--json", "--data-dir", str(data_dir)]
    with (
        subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["url"].split(":")[2].split("/")[0]
        for _ in range(4):
            stack.enter_context(begin(("127.0.0.1", int(port)), *header)[0])
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "Traceback" not in errors
    assert len(errors.splitlines()) <= 2, errors


@pytest.mark.slow
def test_a_reader_that_goes_on_gets_its_blob_whole_while_the_service_stops(
    new_app: NewApp, data_dir: Path, serving: Serving, blob: Path
) -> None:
    with ExitStack() as stack:
        address = stack.enter_context(serving(new_app(data_dir)))
        begun = begin(address)
        stopped = threading.Thread(target=stack.close)
        stopped.start()
        with pytest.raises((ConnectionRefusedError, ConnectionResetError)):
            while True:
                socket.create_connection(address, timeout=60).close()
        assert rest(begun) == blob.read_bytes()
        stopped.join(60)
