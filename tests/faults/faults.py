"""A request to the data service → an answer as broken networks and servers give them."""

import asyncio
import gzip
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import zstandard

from tests.faults.proxy import Answer, Exchange, Fault
from tests.shards.helpers import tar_members

_FOR_EVER_S: Final = 3600.0
_PAGE: Final = b"<html><body>Please sign in to this network.</body></html>"


def cut(share: float = 0.5) -> Fault:
    """Promise everything by Content-Length, send a share of it, hang up."""

    async def fault(exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.head(answer.status, answer.headers)
        await exchange.send(_part(answer, share))
        exchange.open = False

    return fault


def cut_unframed(share: float = 0.5) -> Fault:
    """Send a share in an answer whose end is the end of the connection."""

    async def fault(exchange: Exchange) -> None:
        answer = _without_length(await exchange.answer())
        await exchange.head(answer.status, answer.headers | {"connection": "close"})
        await exchange.send(_part(answer, share))
        exchange.open = False

    return fault


async def cut_chunked(exchange: Exchange) -> None:
    """A chunked answer that ends in the middle of a chunk."""
    answer = _without_length(await exchange.answer())
    await exchange.head(answer.status, answer.headers | {"transfer-encoding": "chunked"})
    await exchange.send(f"{len(answer.body):x}\r\n".encode() + _part(answer, 0.5))
    exchange.open = False


async def cut_in_headers(exchange: Exchange) -> None:
    """Hang up after the first header."""
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    exchange.open = False


async def reset(exchange: Exchange) -> None:
    """Half of the bytes, then RST."""
    answer = await exchange.answer()
    await exchange.head(answer.status, answer.headers)
    await exchange.send(_part(answer, 0.5))
    exchange.reset()


async def nothing(exchange: Exchange) -> None:
    """Hang up without a byte."""
    exchange.open = False


async def garbage(exchange: Exchange) -> None:
    """What is no HTTP at all."""
    await exchange.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    exchange.open = False


def stall(share: float) -> Fault:
    """A share of the bytes, then silence on an open connection; without a share not a header."""

    async def fault(exchange: Exchange) -> None:
        if share:
            answer = await exchange.answer()
            await exchange.head(answer.status, answer.headers)
            await exchange.send(_part(answer, share))
        await asyncio.sleep(_FOR_EVER_S)

    return fault


def drip(bytes_at_once: int, pause_s: float) -> Fault:
    """The right answer, a few bytes of its body at a time."""

    async def fault(exchange: Exchange) -> None:
        answer = await exchange.answer()
        await exchange.head(answer.status, answer.headers)
        await _drip(exchange, answer.body, bytes_at_once, pause_s)

    return fault


def drip_headers(pause_s: float) -> Fault:
    """Headers that come one byte at a time and do not end."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        await _drip(exchange, b"x-filler: " + b"x" * 60_000, 1, pause_s)

    return fault


def drip_chunk_size(pause_s: float) -> Fault:
    """The size of the first chunk, one byte at a time and without end."""

    async def fault(exchange: Exchange) -> None:
        answer = _without_length(await exchange.answer())
        await exchange.head(answer.status, answer.headers | {"transfer-encoding": "chunked"})
        await _drip(exchange, b"1;" + b"x" * 60_000, 1, pause_s)

    return fault


async def flood(exchange: Exchange) -> None:
    """Answers that announce an answer, without end."""
    while True:
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.001)


def status(line: str, **headers: str) -> Fault:
    """A status without the file."""

    async def fault(exchange: Exchange) -> None:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        await exchange.reply(Answer(line, fields | {"content-length": "5"}, b"sorry"))

    return fault


async def page(exchange: Exchange) -> None:
    """The page of a portal in place of the file, with 200."""
    headers = {"content-type": "text/html", "content-length": str(len(_PAGE))}
    await exchange.reply(Answer("200 OK", headers, _PAGE))


def redirect(target: Callable[[Exchange], str]) -> Fault:
    """302 to wherever `target` says."""

    async def fault(exchange: Exchange) -> None:
        await exchange.reply(
            Answer("302 Found", {"location": target(exchange), "content-length": "0"}, b"")
        )

    return fault


def other_bytes(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    """A well-formed 200 with the whole of another body, whatever range was asked for."""

    async def fault(exchange: Exchange) -> None:
        answer = await exchange.answer(ranged=False)
        body = change(answer.body)
        fields = answer.headers | headers | {"content-length": str(len(body))}
        await exchange.reply(Answer("200 OK", fields, body))

    return fault


async def whole(exchange: Exchange) -> None:
    """The whole file with 200, whatever range was asked for."""
    await exchange.reply(await exchange.answer(ranged=False))


async def other_rest(exchange: Exchange) -> None:
    """The range that was asked for, out of another file, though If-Range forbids it."""
    answer = await exchange.answer()
    await exchange.reply(replace(answer, body=flip(answer.body)))


def wrong_length(by: int) -> Fault:
    """All bytes of the file, under a Content-Length that is off."""

    async def fault(exchange: Exchange) -> None:
        answer = await exchange.answer()
        told = str(len(answer.body) + by)
        await exchange.head(answer.status, answer.headers | {"content-length": told})
        await exchange.send(answer.body)
        exchange.open = False

    return fault


async def gzipped(exchange: Exchange) -> None:
    """Content-Encoding: gzip, though identity was asked for."""
    answer = await exchange.answer(ranged=False)
    body = gzip.compress(answer.body)
    fields = {"content-encoding": "gzip", "content-length": str(len(body))}
    await exchange.reply(Answer("200 OK", answer.headers | fields, body))


async def gzipped_and_cut(exchange: Exchange) -> None:
    """The same, and half of it."""
    answer = await exchange.answer(ranged=False)
    body = gzip.compress(answer.body)
    fields = {"content-encoding": "gzip", "content-length": str(len(body))}
    await exchange.head("200 OK", answer.headers | fields)
    await exchange.send(body[: len(body) // 2])
    exchange.open = False


async def two_lengths(exchange: Exchange) -> None:
    """All bytes of the file, under two Content-Lengths."""
    answer = await exchange.answer()
    await exchange.head(answer.status, answer.headers | {"Content-Length": "7"})
    await exchange.send(answer.body)
    exchange.open = False


async def pass_on(exchange: Exchange) -> None:
    """No fault."""
    await exchange.reply(await exchange.answer())


async def kill(exchange: Exchange) -> None:
    """Half of the bytes, then the service dies."""
    await cut()(exchange)
    await asyncio.to_thread(exchange.proxy.service.kill)


async def restart(exchange: Exchange) -> None:
    """No answer, and a service that begins to start."""
    exchange.proxy.spawn(asyncio.to_thread(exchange.proxy.service.start_again))
    exchange.open = False


def flip(data: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def lose_block(data: bytes) -> bytes:
    """A shard whose tar was cut between two members, with a proper end, and packed again."""
    raw = zstandard.ZstdDecompressor().decompress(data)
    members = tar_members(raw)
    at = members[len(members) // 2].offset
    return zstandard.ZstdCompressor(write_checksum=True).compress(raw[:at] + bytes(1024))


def _part(answer: Answer, share: float) -> bytes:
    return answer.body[: math.ceil(len(answer.body) * share)]


def _without_length(answer: Answer) -> Answer:
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return replace(answer, headers=headers)


async def _drip(exchange: Exchange, data: bytes, bytes_at_once: int, pause_s: float) -> None:
    for start in range(0, len(data), bytes_at_once):
        await exchange.send(data[start : start + bytes_at_once])
        await asyncio.sleep(pause_s)
