"""A file's path from the app → its bytes on the connection, moved by the kernel (sendfile).

Uvicorn copies a body piece by piece through Python. This protocol is Uvicorn's own with one message
more: `http.response.pathsend` of the ASGI standard, which Starlette's FileResponse uses where a
server offers it.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import h11
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_PATHSEND: Final = "http.response.pathsend"
_PIECE_BYTES: Final = 1 << 20
_CUT: Final = (
    "%s: %s (%d of %d bytes sent); the connection is closed, so that the client asks again; "
    "check the disk if it was not removed on purpose"
)
_ACKED: Final = slice(120, 128)
"""Where Linux has `tcpi_bytes_acked` in `struct tcp_info`."""
_END: Final[Message] = {"type": "http.response.body", "body": b"", "more_body": False}


class SendfileProtocol(H11Protocol):
    """Needs the event loop of asyncio, and no TLS: give Uvicorn `loop="asyncio"`.

    A reader that takes nothing for `send_timeout_s` is cut: its socket and file are not held.
    """

    send_timeout_s: ClassVar[float] = 120.0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._inner = cast(ASGIApp, self.app)
        self.app = cast(Any, self._run)
        self._num_pieces = 0

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app, which may send a path as the body."""
        start: Message = {}

        async def send_or_sendfile(message: Message) -> None:
            nonlocal start
            if message["type"] != _PATHSEND:
                start = start or message
                await self._drained()
                await send(message)
                return
            length = int(Headers(raw=start["headers"])["content-length"])
            if await self._sendfile(Path(message["path"]), length):
                await send(_END)

        scope["extensions"] = {**scope.get("extensions", {}), _PATHSEND: {}}
        try:
            await self._inner(scope, receive, send_or_sendfile)
            await self._drained()
        except asyncio.CancelledError:
            # the service stops and has waited for long enough; Uvicorn has said so in a line
            await self._cut()

    async def _drained(self) -> None:
        """Until there is room for more, or the connection has ended."""
        if self.flow.write_paused:
            try:
                async with self._taking():
                    await self.flow.drain()
            except TimeoutError:
                await self._cut()

    @asynccontextmanager
    async def _taking(self) -> AsyncIterator[None]:
        """Raise TimeoutError in the block once the reader has taken nothing for long enough."""
        taken = self._taken()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal taken, timer
            before, taken = taken, self._taken()
            if taken == before:
                limit.reschedule(self.loop.time())
            else:
                timer = self.loop.call_later(self.send_timeout_s, look)

        timer = self.loop.call_later(self.send_timeout_s, look)
        async with asyncio.timeout(None) as limit:
            try:
                yield
            finally:
                timer.cancel()

    def _taken(self) -> tuple[int, int]:
        """What grows when the reader takes something: pieces, and bytes where the system tells."""
        connection = self.transport.get_extra_info("socket")
        if sys.platform != "linux" or connection.family == socket.AF_UNIX:
            return self._num_pieces, 0
        try:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.stop)
        except OSError:  # closed just now
            info = b""
        return self._num_pieces, int.from_bytes(info[_ACKED], sys.byteorder)

    async def _sendfile(self, path: Path, length: int) -> bool:
        """Send a file of the length that the headers promise; False when the connection ended.

        With the headers out, a file that is no longer like that can only end the connection: the
        client takes it for the cut that it is, and asks again.
        """
        if self.transport.is_closing():
            await self._cut()
            return False
        sent = 0
        reason = "cut while it was sent"
        try:
            # h11 counts the bytes that it does not see
            self.conn.send_with_data_passthrough(h11.Data(data=cast(bytes, _Length(length))))
            with path.open("rb", buffering=0) as file:
                async with self._taking():
                    while sent < length and not self.transport.is_closing():
                        # piece by piece, else a client that takes all at once is served alone
                        piece = min(length - sent, _PIECE_BYTES)
                        moved = await self.loop.sendfile(self.transport, file, sent, piece)
                        sent += moved
                        self._num_pieces += 1
                        if moved < piece:
                            break
        except (ConnectionError, TimeoutError):
            reason = ""
        except OSError as error:
            reason = error.strerror or str(error)
        if sent == length:
            return True
        if reason and not self.transport.is_closing():
            logging.getLogger("uvicorn.error").warning(_CUT, path, reason, sent, length)
        await self._cut()
        return False

    async def _cut(self) -> None:
        """End the connection, and let Uvicorn hear of it before the app ends."""
        self.transport.abort()
        await asyncio.sleep(0)


class _Length:
    """Stands for a body of so many bytes."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length
