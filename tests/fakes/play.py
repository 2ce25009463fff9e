"""Faults below the wire format: what happens to connections, bodies and the bytes of streams."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.fakes.connection import Connection
from tests.fakes.openai_wire import DONE, Exchange, event

__all__ = [
    "done_then_hang",
    "drip",
    "drip_headers",
    "endless_comments",
    "ends",
    "fin_at_once",
    "fin_mid_body",
    "gzip_garbage",
    "gzip_good",
    "huge_event",
    "json_cut",
    "middle",
    "multi_line",
    "never_reply",
    "no_choices",
    "redirect",
    "rst_at_once",
    "rst_mid_body",
    "split_utf8",
    "unterminated_chunk",
]


def body_of(exchange: Exchange) -> bytes:
    return exchange.events() if exchange.streamed else json.dumps(exchange.whole()).encode()


def kind_of(exchange: Exchange) -> str:
    return "text/event-stream" if exchange.streamed else "application/json"


async def never_reply(connection: Connection, _: Exchange) -> None:
    await connection.until_client_leaves()


async def rst_at_once(connection: Connection, _: Exchange) -> None:
    connection.reset()


async def fin_at_once(connection: Connection, _: Exchange) -> None:
    connection.close()


async def cut(connection: Connection, exchange: Exchange, *, reset: bool) -> None:
    body = body_of(exchange)
    await connection.head(200, {"Content-Type": kind_of(exchange), "Content-Length": len(body)})
    await connection.raw(body[: exchange.behaviour.at or len(body) // 2])
    if reset:
        await asyncio.sleep(0.05)
        connection.reset()
    else:
        connection.close()


async def rst_mid_body(connection: Connection, exchange: Exchange) -> None:
    await cut(connection, exchange, reset=True)


async def fin_mid_body(connection: Connection, exchange: Exchange) -> None:
    await cut(connection, exchange, reset=False)


async def unterminated_chunk(connection: Connection, exchange: Exchange) -> None:
    body = body_of(exchange)
    await connection.head(200, {"Content-Type": kind_of(exchange), "Transfer-Encoding": "chunked"})
    await connection.raw(b"%x\r\n" % len(body) + body[: len(body) // 2])
    connection.close()


async def drip(connection: Connection, exchange: Exchange) -> None:
    body = body_of(exchange)
    await connection.head(200, {"Content-Type": kind_of(exchange), "Content-Length": len(body)})
    pause = 1 / (exchange.behaviour.tokens_per_s or 20)
    for byte in body:
        await connection.raw(bytes([byte]))
        await asyncio.sleep(pause)
        if connection.client_gone:
            return


async def drip_headers(connection: Connection, exchange: Exchange) -> None:
    pause = 1 / (exchange.behaviour.tokens_per_s or 20)
    await connection.raw(b"HTTP/1.1 200 OK\r\n")
    while not connection.client_gone:
        await connection.raw(b"x-drip: 1\r\n")
        await asyncio.sleep(pause)


async def gzip_garbage(connection: Connection, exchange: Exchange) -> None:
    body = gzip.compress(body_of(exchange))[:10] + b"\xff" * 40
    headers = {"Content-Encoding": "gzip"}
    await connection.reply(body, 200, kind_of(exchange), headers)


async def gzip_good(connection: Connection, exchange: Exchange) -> None:
    await connection.reply(
        gzip.compress(body_of(exchange)), 200, kind_of(exchange), {"Content-Encoding": "gzip"}
    )


async def json_cut(connection: Connection, exchange: Exchange) -> None:
    if exchange.streamed:
        await connection.start_stream()
        await connection.send(exchange.opening() + exchange.chunk({"content": "half"})[:30] + b"\n\n")
        await connection.end_stream()
        return
    body = body_of(exchange)
    await connection.reply(body[: exchange.behaviour.at or len(body) // 2])


async def huge_event(connection: Connection, exchange: Exchange) -> None:
    words = "x" * 10_000_001
    if exchange.streamed:
        await connection.start_stream()
        await connection.send(exchange.chunk({"content": words}))
        await connection.send(exchange.closing())
        await connection.end_stream()
    else:
        await connection.json(exchange.whole(content=words))


async def redirect(connection: Connection, _: Exchange) -> None:
    await connection.reply(b"", 302, "text/plain", {"Location": "http://127.0.0.1:9/elsewhere"})


async def done_then_hang(connection: Connection, exchange: Exchange) -> None:
    if not exchange.streamed:
        await connection.json(exchange.whole())
        return
    await connection.start_stream()
    await connection.send(exchange.events())
    await connection.until_client_leaves()


async def endless_comments(connection: Connection, exchange: Exchange) -> None:
    if not exchange.streamed:
        await never_reply(connection, exchange)
        return
    await connection.start_stream()
    while not connection.client_gone:
        await connection.send(b": PROCESSING\n\n")
        await asyncio.sleep(0.01)


async def no_choices(connection: Connection, exchange: Exchange) -> None:
    if exchange.streamed:
        await connection.start_stream()
        await connection.send(event({"id": "x", "choices": []}) + DONE)
        await connection.end_stream()
    else:
        await connection.json({"id": "x", "object": "chat.completion", "choices": []})


def split_utf8(exchange: Exchange) -> list[bytes]:
    data = exchange.opening() + exchange.chunk({"content": "ação 🐎 中文"}) + exchange.closing()
    return [bytes([byte]) for byte in data]


def multi_line(exchange: Exchange) -> list[bytes]:
    lines = (b'{"choices":[{"index":0,', b'"delta":{"content":"two lines"},', b'"finish_reason":null}]}')
    return [b"".join(b"data: " + line + b"\n" for line in lines) + b"\n", exchange.closing()]


def ends(newline: bytes) -> Callable[[Exchange], list[bytes]]:
    return lambda exchange: [exchange.events().replace(b"\n", newline)]


def middle(error: Any) -> Callable[[Exchange], list[bytes]]:
    return lambda exchange: [exchange.opening(), exchange.chunk({"content": "half an "}), event(error)]
