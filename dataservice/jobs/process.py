"""A command → its lines as they come, and its exit status, without a thread or a blocked loop."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

_MAX_LINE_BYTES: Final = 1 << 20
_DRAIN_S: Final = 5.0
_STDOUT: Final = 1

LineHandler = Callable[[bytes], None]


class ChildProcess(asyncio.SubprocessProtocol):
    """One running command, the leader of a process group of its own.

    A protocol, since a stream's `wait` does not return while a grandchild holds a pipe open.
    """

    def __init__(self, on_stdout: LineHandler, on_stderr: LineHandler) -> None:
        loop = asyncio.get_running_loop()
        self._handlers = (on_stdout, on_stderr)
        self._rest = [b"", b""]
        self._exited: asyncio.Future[None] = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.SubprocessTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        index = fd - _STDOUT
        *lines, rest = (self._rest[index] + data).split(b"\n")
        self._rest[index] = rest[-_MAX_LINE_BYTES:]
        for line in lines:
            self._handlers[index](line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        index = fd - _STDOUT
        if self._rest[index]:
            self._handlers[index](self._rest[index])
            self._rest[index] = b""

    def process_exited(self) -> None:
        self._exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._closed.set_result(None)

    async def wait(self) -> int:
        """The exit status, negative for a signal, once all output has come."""
        await asyncio.shield(self._exited)
        status = self._transport.get_returncode()
        assert status is not None
        if status != 0:
            # workers outlive a leader that was killed, and hold its pipes and memory
            self._kill_group()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._closed), _DRAIN_S)
        finally:
            self._transport.close()
        return status

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and after `grace_s` seconds end it with all its workers."""
        with contextlib.suppress(ProcessLookupError):
            self._transport.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._exited), grace_s)
        except TimeoutError:
            self._kill_group()

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)


async def start_process(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_stdout: LineHandler,
    on_stderr: LineHandler,
) -> ChildProcess:
    """Start a command in a group of its own, so that a Ctrl-C meant for us does not reach it.

    Raises:
        OSError: when it cannot be started.
    """
    _, child = await asyncio.get_running_loop().subprocess_exec(
        lambda: ChildProcess(on_stdout, on_stderr),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    return child
