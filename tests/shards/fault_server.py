"""A real HTTP server over a dictionary of files, that answers as badly as it is told to."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Request:
    """What the server saw of one request."""

    path: str
    headers: dict[str, str]
    port: int
    """The client's: the same for requests on one connection."""


Fault = Callable[["Handler", bytes], None]
"""Answers one request in place of the server; gets the bytes that a good answer would hold."""


@dataclass
class Script:
    """Files by path, the faults still to come (each used once), and the requests so far."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    requests: list[Request] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """GET with Range and If-Range; the ETag is the file's name up to its first dot."""

    protocol_version = "HTTP/1.1"
    script: Script

    def do_GET(self) -> None:
        self.script.requests.append(self.request_seen())
        data = self.script.files.get(self.path)
        if self.script.faults:
            self.script.faults.pop(0)(self, data or b"")
        elif self.script.always is not None:
            self.script.always(self, data or b"")
        elif data is None:
            self.answer(404, b"not here")
        else:
            self.serve(data)

    def request_seen(self) -> Request:
        return Request(self.path, dict(self.headers.items()), self.client_address[1])

    @property
    def etag(self) -> str:
        return f'"{self.path.rsplit("/", 1)[-1].split(".")[0]}"'

    @property
    def offset(self) -> int:
        """Where the answer has to start, by Range and If-Range."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, self.etag)
        return int(wanted[1]) if wanted and same else 0

    def serve(self, data: bytes) -> None:
        self.head(data, self.offset)
        self.wfile.write(data[self.offset :])

    def head(self, data: bytes, start: int, told: int | None = None) -> None:
        """Status line and headers of an answer that goes from `start` to the end of the data."""
        if start:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", self.etag)
        self.send_header("Content-Length", str(len(data) - start if told is None else told))
        self.end_headers()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        del format, args


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up first is part of the tests."""
        del request, client_address


class FaultServer:
    """Runs in a thread; `url` is its root, `script` what it does."""

    def __init__(self, kind: type[Handler] = Handler) -> None:
        self.script = Script()
        handler = type("ScriptedHandler", (kind,), {"script": self.script})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.script.done.set()  # lets handlers that stall on purpose go
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def cut(after: int) -> Fault:
    """Promise everything by Content-Length, send part of it, hang up."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.head(data, handler.offset)
        handler.wfile.write(data[handler.offset :][:after])
        handler.hang_up()

    return fault


def cut_without_length(after: int) -> Fault:
    """Send part of the bytes in an answer whose end is the end of the connection."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.send_response(206 if handler.offset else 200)
        if handler.offset:
            span = f"bytes {handler.offset}-{len(data) - 1}/{len(data)}"
            handler.send_header("Content-Range", span)
        handler.send_header("ETag", handler.etag)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data[handler.offset :][:after])
        handler.hang_up()

    return fault


def stall(after: int) -> Fault:
    """Send part of the bytes, then nothing more, with the connection left open."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.head(data, handler.offset)
        handler.wfile.write(data[handler.offset :][:after])
        handler.wfile.flush()
        handler.script.done.wait(30)
        handler.hang_up()

    return fault


def trickle(pause_s: float) -> Fault:
    """Send one byte at a time: never quite a stall, never an end."""

    def fault(handler: Handler, data: bytes) -> None:
        handler.head(data, handler.offset)
        for byte in data[handler.offset :]:
            if handler.script.done.wait(pause_s):
                break
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
        handler.hang_up()

    return fault


def status(code: int, **headers: str) -> Fault:
    return lambda handler, _: handler.answer(code, b"sorry", **headers)


def whole(handler: Handler, data: bytes) -> None:
    """The whole file with 200, whatever Range was asked for."""
    handler.head(data, 0)
    handler.wfile.write(data)


def other_bytes(change: Callable[[bytes], bytes]) -> Fault:
    """A good answer about bytes that are not the file's."""
    return lambda handler, data: handler.serve(change(data))
