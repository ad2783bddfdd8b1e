"""A data service on a port → the same over a network that breaks on the requests it is told to."""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.faults.service import Service

_LINGER = struct.pack("ii", 1, 0)  # on, for zero seconds: close sends RST


@dataclass(frozen=True)
class Answer:
    """What the service says to a request, whole."""

    status: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Exchange:
    """One request, and the means to answer it, well or badly."""

    proxy: "Proxy"
    writer: asyncio.StreamWriter
    path: str
    headers: dict[str, str]
    open: bool = True

    async def answer(self, *, ranged: bool = True) -> Answer:
        """The service's answer; raises ConnectionError where it gives none, or only a part."""
        kept = ("range", "if-range", "accept-encoding") if ranged else ("accept-encoding",)
        lines = [f"{name}: {self.headers[name]}" for name in kept if name in self.headers]
        host = f"Host: {self.headers.get('host', 'service')}"
        head = "\r\n".join([f"GET {self.path} HTTP/1.1", host, "Connection: close", *lines])
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.service.port)
        try:
            writer.write(f"{head}\r\n\r\n".encode())
            data = await reader.read(-1)
        finally:
            writer.close()
        told, end, body = data.partition(b"\r\n\r\n")
        if not end:
            raise ConnectionError("the service was cut in its headers")
        status, *fields = told.decode("latin-1").split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        headers = {name.lower(): value for name, value in headers.items()}
        if int(headers.get("content-length", "-1")) != len(body):
            raise ConnectionError("the service was cut")
        del headers["connection"]
        return Answer(status.removeprefix("HTTP/1.1 "), headers, body)

    async def head(self, status: str, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, answer: Answer) -> None:
        await self.head(answer.status, answer.headers)
        await self.send(answer.body)

    def reset(self) -> None:
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.writer.transport.abort()
        self.open = False


Fault = Callable[[Exchange], Awaitable[None]]


@dataclass
class Plan:
    """Which requests go wrong, and how: one fault each in turn, then none, or over and over."""

    faults: tuple[Fault, ...] = ()
    always: bool = False
    on: str = "/blobs/"
    met: int = 0
    """Requests that went wrong so far."""
    seen: list[tuple[str, bool]] = field(default_factory=list)
    """The path of each request, and whether it asked for a range."""

    def next(self, path: str, *, ranged: bool) -> Fault | None:
        self.seen.append((path, ranged))
        if self.on not in path or not (self.always or self.met < len(self.faults)):
            return None
        self.met += 1
        return self.faults[(self.met - 1) % len(self.faults)]

    def asked(self) -> list[bool]:
        """Of each request for the file of the first fault, whether it asked for a range."""
        first = next((path for path, _ in self.seen if self.on in path), None)
        return [ranged for path, ranged in self.seen if path == first]


class Proxy:
    """Runs in a thread of its own, with an event loop, while its block lasts."""

    def __init__(self, service: Service, plan: Plan) -> None:
        self.service = service
        self.plan = plan
        self.port = 0
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/datasets/{self.service.name}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        if error is None and self._failures:
            raise self._failures[0]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on beside the exchanges until the proxy ends."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            self._failures.append(failure)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        # asyncio loses the socket of a connection that it is still accepting when its server closes
        while accepting := asyncio.all_tasks() - self._tasks - {asyncio.current_task()}:
            await asyncio.gather(*accepting)
        server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()  # it may stall on purpose
            await asyncio.gather(*self._tasks, return_exceptions=True)
        # else a kill or a start of the service that was begun here would meet the next test
        await self._loop.shutdown_default_executor()
        for writer in self._writers:
            writer.transport.abort()
        waits = (writer.wait_closed() for writer in self._writers)
        await asyncio.gather(*waits, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)  # a task that is cancelled before its first step closes none
        self.spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the reader has gone, or the service, or the proxy ends: so does the connection
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = request.split(" ", 2)[1]
        pairs = re.findall(r"(?m)^([\w-]+): (.*)\r$", request)
        exchange = Exchange(self, writer, path, {name.lower(): value for name, value in pairs})
        fault = self.plan.next(path, ranged="range" in exchange.headers)
        if fault is None:
            await exchange.reply(await exchange.answer())
        else:
            await fault(exchange)
        return exchange.open
