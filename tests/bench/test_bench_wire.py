"""The provider layer against the usual clients, one run, one server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rag import aio
from rag.core import Message, Outcome, Request, Settings
from rag.providers.openai import OpenAIProvider

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
CALLS, IN_FLIGHT, TOKENS = 1000, 64, 205

Call = Callable[[str], Awaitable[tuple[float, float]]]
"""Asks one prompt; returns seconds to the first token and in total as this client sees them."""


@dataclass(frozen=True)
class Server:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def control(self, path: str, data: object = None) -> dict[str, list[float]]:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_control/{path}", data=body)
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)


@pytest.fixture
def server() -> Iterator[Server]:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Server(json.loads(child.stdout.readline())["port"])
    finally:
        child.terminate()
        child.communicate(timeout=10)


def ours(url: str, *, stream: bool) -> Call:
    provider = OpenAIProvider("fake", "mock", url, stream=stream)

    async def call(prompt: str) -> tuple[float, float]:
        reply = await provider.complete(
            Request(messages=(Message(role="user", content=prompt),), settings=Settings(temperature=0.0))
        )
        assert reply.outcome is Outcome.OK
        return reply.timing.ttft_s or 0.0, reply.timing.total_s

    return call


def openai_sdk(url: str, *, stream: bool) -> Call:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="x", max_retries=0)

    async def call(prompt: str) -> tuple[float, float]:
        started, first = time.perf_counter(), 0.0
        messages = [{"role": "user", "content": prompt}]
        reply = await client.chat.completions.create(model="mock", messages=messages, stream=stream)
        if stream:
            async for chunk in reply:
                if not first and chunk.choices and chunk.choices[0].delta.content:
                    first = time.perf_counter()
        return first - started, time.perf_counter() - started

    return call


def langchain(url: str, *, stream: bool) -> Call:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(model="mock", base_url=url, api_key="x", max_retries=0)

    async def call(prompt: str) -> tuple[float, float]:
        started, first = time.perf_counter(), 0.0
        if stream:
            async for chunk in chat.astream(prompt):
                if not first and chunk.content:
                    first = time.perf_counter()
        else:
            await chat.ainvoke(prompt)
        return first - started, time.perf_counter() - started

    return call


async def many(call: Call, count: int, in_flight: int) -> tuple[float, list[tuple[float, float]]]:
    """Return the seconds that `count` calls took, and each call's own figures."""
    gate = asyncio.Semaphore(in_flight)

    async def one(number: int) -> tuple[float, float]:
        async with gate:
            return await call(f"question {number}")

    await asyncio.gather(*(one(-i) for i in range(in_flight)))
    started = time.perf_counter()
    figures = await asyncio.gather(*(one(i) for i in range(count)))
    return time.perf_counter() - started, figures


CLIENTS = {"ragassay": ours, "openai SDK": openai_sdk, "LangChain ChatOpenAI": langchain}


def test_calls_per_second(server: Server, capsys: pytest.CaptureFixture[str]):
    server.control("script", {"default": {"latency_s": 0.05}})
    rates = {}
    for name, build in CLIENTS.items():
        count = CALLS if name == "ragassay" else CALLS // 4
        seconds, _ = aio.run(many(build(server.url, stream=False), count, IN_FLIGHT))
        rates[name] = count / seconds
    with capsys.disabled():
        print(f"\ncalls/s, {IN_FLIGHT} in flight, 50 ms each:")
        for name, rate in rates.items():
            print(f"  {name:24s}{rate:8.0f}")


@pytest.mark.parametrize("streams", [64, 16])
def test_streams(server: Server, streams: int, capsys: pytest.CaptureFixture[str]):
    server.control("script", {"default": {"latency_s": 0.05, "tokens_per_s": 500, "tokens": TOKENS}})
    rows = {}
    for name, build in CLIENTS.items():
        server.control("reset", {})
        _, figures = aio.run(many(build(server.url, stream=True), streams * 3, streams))
        seen = server.control("counters")
        truth = statistics.median(seen["ttft_s"]), statistics.median(seen["total_s"])
        mine = statistics.median(f[0] for f in figures), statistics.median(f[1] for f in figures)
        rows[name] = (*mine, *truth)
    with capsys.disabled():
        print(f"\n{streams} streams of 500 tokens/s: p50 in ms, the server's own clock beside it")
        for name, (ttft, total, true_ttft, true_total) in rows.items():
            print(
                f"  {name:24s}TTFT {ttft * 1e3:6.0f} ({true_ttft * 1e3:.0f})"
                f"   total {total * 1e3:6.0f} ({true_total * 1e3:.0f})"
            )
