"""The bridge from plain code to the one event loop that holds the clock.

Calls to providers are async; everything else is synchronous. One background thread runs the loop, so the
same functions work in a script, under Typer, in a notebook and inside a program with a loop of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from functools import cache
from typing import Any, TypeVar

__all__ = ["check_thread", "run", "submit"]

T = TypeVar("T")


def run(coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` on the background loop and return its result.

    Ctrl-C cancels the coroutine, waits until it has cleaned up, and is raised again; a second Ctrl-C does
    not wait.

    Raises:
        RuntimeError: called from the background loop itself, where waiting would never end.
    """
    try:
        check_thread()
    except RuntimeError:
        coro.close()
        raise
    future = submit(coro)
    try:
        return future.result()
    except KeyboardInterrupt:
        done = threading.Event()
        future.cancel()
        submit(_drain(done))
        done.wait(timeout=10)
        raise
    except CancelledError as exc:
        raise KeyboardInterrupt from exc


def submit(coro: Coroutine[Any, Any, T]) -> Future[T]:
    """Start `coro` on the background loop and return its future; cancelling that cancels the coroutine.

    Another event loop awaits it as `asyncio.wrap_future(submit(coro))`: what belongs to the background loop,
    such as a provider's connections, is then used there only.
    """
    return asyncio.run_coroutine_threadsafe(coro, _loop())


def check_thread() -> None:
    """Refuse to go on in the background loop's own thread, before waiting for that loop.

    Raises:
        RuntimeError: this is that thread.
    """
    if threading.current_thread().name == _THREAD_NAME:
        raise RuntimeError("a provider's own loop cannot wait for itself; await the async form instead.")


_THREAD_NAME = "ragassay-loop"
_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        return _started_loop()


@cache
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = _new_loop()
    threading.Thread(target=loop.run_forever, name=_THREAD_NAME, daemon=True).start()
    return loop


def _forget_loop() -> None:
    """Let a forked child start its own loop: of the parent's threads it has none."""
    global _starting  # noqa: PLW0603 - another thread may have held it
    _starting = threading.Lock()
    _started_loop.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop)


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
