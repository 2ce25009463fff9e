"""The bridge from plain code to the one event loop that holds the clock.

Calls to providers are async; everything else is synchronous. One background thread runs the loop, so the
same functions work in a script, under Typer, in a notebook and inside a program with a loop of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from functools import cache
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` on the background loop and return its result.

    Ctrl-C cancels the coroutine, waits until it has cleaned up, and is raised again; a second Ctrl-C does
    not wait.

    Raises:
        RuntimeError: called from the background loop itself, where waiting would never end.
    """
    loop = _loop()
    if threading.current_thread().name == _THREAD_NAME:
        coro.close()
        raise RuntimeError(
            "rag.aio.run() was called from a provider's own loop; await the coroutine instead."
        )
    future = asyncio.run_coroutine_threadsafe(coro, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        done = threading.Event()
        future.cancel()
        asyncio.run_coroutine_threadsafe(_drain(done), loop)
        done.wait(timeout=10)
        raise
    except CancelledError as exc:
        raise KeyboardInterrupt from exc


_THREAD_NAME = "ragassay-loop"


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = _new_loop()
    threading.Thread(target=loop.run_forever, name=_THREAD_NAME, daemon=True).start()
    return loop


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _drain(done: threading.Event) -> None:
    """Let cancelled tasks finish their `finally` blocks, then say so."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if others:
        await asyncio.wait(others, timeout=8)
    done.set()
