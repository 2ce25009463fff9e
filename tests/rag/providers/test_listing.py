"""The models that an endpoint lists: all of them, however many there are and however they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from rag.providers.catalog import Vendor
from rag.providers.listing import list_models

_Write = Callable[[str, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(write: _Write) -> AsyncIterator[str]:
    """Yield the address of a server that answers each GET with what `write` writes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        await write(target, writer)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


async def test_a_list_that_comes_in_pieces_is_read_to_its_end():
    names = [f"lab/model-{number}" for number in range(500)]
    body = orjson.dumps({"data": [{"id": name} for name in names]})

    async def write(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head(len(body)) + body[:2000])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(body[2000:])
        await writer.drain()

    async with serving(write) as url:
        assert await list_models(Vendor(name="lab", wire="openai", base_url=url)) == tuple(sorted(names))


@pytest.mark.parametrize(
    ("wire", "path", "field"),
    [("anthropic", "/v1/models", "limit"), ("gemini", "/v1beta/models", "pageSize")],
)
async def test_a_format_that_gives_pages_is_asked_for_one_that_holds_all(wire: str, path: str, field: str):
    asked: list[str] = []

    async def write(target: str, writer: asyncio.StreamWriter) -> None:
        asked.append(target)
        writer.write(head(11) + b'{"data":[]}')
        await writer.drain()

    async with serving(write) as url:
        vendor = Vendor(name="lab", wire=wire, base_url=f"{url}?tenant=x", query={"api-version": "1"})
        assert await list_models(vendor) == ()
    assert urlsplit(asked[0]).path == path
    assert parse_qs(urlsplit(asked[0]).query) == {"tenant": ["x"], "api-version": ["1"], field: ["1000"]}
