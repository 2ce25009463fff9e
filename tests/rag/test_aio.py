"""The bridge to the background loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
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


_FORKS = """
import os
import signal
from rag import aio

async def there():
    return os.getpid()

aio.run(there())
child = os.fork()
if child == 0:
    signal.alarm(10)
    os._exit(0 if aio.run(there()) == os.getpid() else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", _FORKS], check=True, timeout=20)
