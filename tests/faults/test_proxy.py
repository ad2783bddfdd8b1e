"""A proxy that ends → nothing left open, and no failure of a fault kept for itself."""

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.proxy import Exchange, Plan, Proxy
from tests.faults.service import Service

_REQUEST = b"GET /blobs/one HTTP/1.1\r\nHost: service\r\n\r\n"


@contextmanager
def asking(folder: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client of a proxy, and the connection on which the proxy asks a service of ours."""
    service = Service(folder, "ours")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service.port = listener.getsockname()[1]
        with (
            Proxy(service, Plan()) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port)) as client,
        ):
            client.sendall(_REQUEST)
            asked, _ = listener.accept()
            yield client, asked
        asked.close()


def test_what_waits_for_an_answer_when_it_ends_is_closed(tmp_path: Path) -> None:
    with asking(tmp_path):
        pass
    gc.collect()  # whatever is still open warns here, and warnings are errors


def test_connections_that_come_while_it_ends_are_closed(service: Service) -> None:
    for _ in range(100):
        with Proxy(service, Plan()) as proxy:
            late = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(2)]
        for connection in late:
            connection.close()
    gc.collect()


def test_what_a_fault_does_in_a_thread_has_ended_as_well(service: Service) -> None:
    begun, ended = threading.Event(), threading.Event()
    goes_on: list[bool] = []

    def work() -> None:
        begun.set()
        proxy._thread.join(0.2)
        goes_on.append(proxy._thread.is_alive())
        ended.set()

    async def in_a_thread(_: Exchange) -> None:
        await asyncio.to_thread(work)

    with (
        Proxy(service, Plan((in_a_thread,))) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        client.sendall(_REQUEST)
        assert begun.wait(60)
    assert ended.wait(60)
    assert goes_on == [True]


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 200 OK\r\n"])
def test_a_service_that_dies_in_its_headers_is_a_broken_connection(
    tmp_path: Path, part: bytes
) -> None:
    with asking(tmp_path) as (client, asked):
        asked.recv(1 << 16)
        asked.sendall(part)
        asked.close()
        assert client.recv(1) == b""


def test_a_fault_that_fails_itself_fails_the_test(service: Service) -> None:
    async def broken(_: Exchange) -> None:
        raise ValueError("a fault with a mistake in it")

    with (
        pytest.raises(ValueError, match="a fault with a mistake in it"),
        Proxy(service, Plan((broken,))) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port)) as client,
    ):
        client.sendall(_REQUEST)
        assert client.recv(1) == b""
