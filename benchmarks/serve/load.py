"""A server's address and paths → what a number of clients in one process get from it, as JSON.

Bodies are dropped inside the kernel (MSG_TRUNC), so that the clients are not the limit. The first
line on stdout is `start`, when the clients have run for a while; the second has the counts.
"""

import argparse
import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Final

_WARM_UP_S: Final = 0.3
_ANSWER_S: Final = 30.0
_PIECE_BYTES: Final = 4 << 20


@dataclass
class Client:
    """Asks for the next path as soon as it has got one, on one connection while that is kept."""

    address: tuple[str, int]
    requests: list[bytes]
    turn: int
    header: bytearray = field(default_factory=bytearray)
    left: int = -1
    """Bytes of the body still to come; -1 while the header is read."""
    last: bool = False
    """Whether the server closes the connection after this answer, as nginx does after 1,000."""

    def __post_init__(self) -> None:
        self.connection = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, selector: selectors.BaseSelector) -> None:
        """Send the next request."""
        if self.last:
            selector.unregister(self.connection)
            self.connection.close()
            self.connection = self._connect()
            selector.register(self.connection, selectors.EVENT_READ, self)
        self.header.clear()
        self.left, self.last = -1, False
        self.connection.sendall(self.requests[self.turn % len(self.requests)])
        self.turn += 1

    def read(self, buffer: bytearray, status: bytes) -> tuple[int, bool]:
        """Bytes of bodies that came, and whether an answer is complete.

        Raises:
            ConnectionError: when the server closed the connection, or answered otherwise.
        """
        if self.left >= 0:
            size = min(self.left, len(buffer))
            got = self.connection.recv_into(buffer, size, socket.MSG_TRUNC)
            if not got:
                raise ConnectionError("the server closed the connection in the middle of a body")
            self.left -= got
            return got, self.left == 0
        piece = self.connection.recv(8192)
        if not piece:
            raise ConnectionError("the server closed the connection before an answer")
        self.header += piece
        end = self.header.find(b"\r\n\r\n")
        if end < 0:
            return 0, False
        if not self.header.startswith(b"HTTP/1.1 " + status):
            raise ConnectionError(f"the server answered {bytes(self.header[:200])!r}")
        got = len(self.header) - end - 4
        header = bytes(self.header[:end]).lower()
        self.last = b"\r\nconnection: close" in header
        self.left = _content_length(header) - got
        return got, self.left == 0


def _content_length(header: bytes) -> int:
    for line in header.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


def request_bytes(path: str, etag: str | None) -> bytes:
    """What is sent to ask for a path."""
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{condition}\r\n".encode()


def run(
    address: tuple[str, int], requests: list[bytes], *, clients: int, seconds: float, status: bytes
) -> dict[str, float]:
    """Counts of the time after the warm-up: bytes, answers, seconds, and seconds of own CPU.

    It is the time given, or until the first answer where a busy machine lets it come later.
    """
    selector = selectors.DefaultSelector()
    turns = count()
    for _ in range(clients):
        client = Client(address, requests, next(turns))
        selector.register(client.connection, selectors.EVENT_READ, client)
        client.ask(selector)
    buffer = bytearray(_PIECE_BYTES)
    received = answers = 0
    begun = cpu = 0.0
    first = time.monotonic()
    while True:
        now = time.monotonic()
        if not begun and now - first >= _WARM_UP_S:
            _say("start")
            begun, cpu, received, answers = now, time.process_time(), 0, 0
        if begun and now - begun >= (seconds if answers else max(seconds, _ANSWER_S)):
            break
        for key, _ in selector.select(timeout=1):
            client = key.data
            got, complete = client.read(buffer, status)
            received += got
            answers += complete
            if complete:
                client.ask(selector)
    used = time.process_time() - cpu
    for key in list(selector.get_map().values()):
        key.data.connection.close()
    return {"bytes": received, "answers": answers, "seconds": now - begun, "client_cpu_s": used}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--etag", help="sent as If-None-Match; the answers must be 304")
    options = parser.parse_args()
    result = run(
        ("127.0.0.1", options.port),
        [request_bytes(path, options.etag) for path in options.paths],
        clients=options.clients,
        seconds=options.seconds,
        status=b"304" if options.etag else b"200",
    )
    _say(json.dumps(result))


if __name__ == "__main__":
    main()
