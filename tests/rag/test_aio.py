"""The bridge to the background loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from rag import aio


async def current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_threads_share_one_loop() -> None:
    aio._started_loop.cache_clear()
    start = threading.Barrier(8)

    def from_a_thread(_: int) -> asyncio.AbstractEventLoop:
        start.wait(5)
        return aio.run(current_loop())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(from_a_thread, range(8)))) == 1


async def test_another_loop_awaits_what_runs_in_the_background() -> None:
    there = await asyncio.wrap_future(aio.submit(current_loop()))
    assert there is not asyncio.get_running_loop()


def test_cancelling_reaches_the_coroutine() -> None:
    started, ended = threading.Event(), threading.Event()

    async def wait_for_ever() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = aio.submit(wait_for_ever())
    assert started.wait(5)
    future.cancel()
    assert ended.wait(5)
    with pytest.raises(CancelledError):
        future.result(5)


def test_errors_come_back() -> None:
    async def fail() -> None:
        raise ValueError("seen")

    with pytest.raises(ValueError, match="seen"):
        aio.run(fail())


def test_the_background_loop_does_not_wait_for_itself() -> None:
    async def outer() -> None:
        aio.run(current_loop())

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        aio.run(outer())
