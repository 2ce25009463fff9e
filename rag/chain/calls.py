"""A provider's calls from any thread and any event loop.

Providers live on the background loop of `rag.aio`; their connections must not be touched from another one.
Only results and pieces of text cross over.
"""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import wait
from queue import SimpleQueue

from rag import aio
from rag.core import Completion, Provider, Request

__all__ = ["Calls"]

_OPEN: weakref.WeakSet[Calls] = weakref.WeakSet()
_CLOSING_S = 5.0


class Calls:
    """Bridges to `provider`, which it owns: closed with the last reference, at exit at the latest."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._closer = weakref.finalize(self, _close_soon, provider)
        self._closer.atexit = False
        _OPEN.add(self)

    def complete(self, request: Request) -> Completion:
        """Call from plain code, and wait.

        Raises:
            RuntimeError: this is the background loop's thread, which must not wait for itself.
        """
        return aio.run(self.provider.complete(request))

    async def acomplete(self, request: Request) -> Completion:
        """Call from any event loop; cancelling the task cancels the call."""
        return await asyncio.wrap_future(aio.submit(self.provider.complete(request)))

    def stream(self, request: Request) -> Iterator[str | Completion]:
        """Yield the text piece by piece, then the Completion; leaving early cancels the call.

        Raises:
            RuntimeError: this is the background loop's thread, which must not wait for itself.
        """
        aio.check_thread()
        pieces: SimpleQueue[str | None] = SimpleQueue()
        future = aio.submit(self.provider.complete(request, pieces.put))
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
            yield future.result()
        finally:
            future.cancel()

    async def astream(self, request: Request) -> AsyncIterator[str | Completion]:
        """Yield the text piece by piece, then the Completion; leaving early cancels the call."""
        here = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def put(piece: str | None) -> None:
            if not here.is_closed():
                here.call_soon_threadsafe(pieces.put_nowait, piece)

        future = aio.submit(self.provider.complete(request, put))
        future.add_done_callback(lambda _: put(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            yield future.result()
        finally:
            future.cancel()


def _close_soon(provider: Provider) -> None:
    # Collection may happen in any thread, the background loop's too: never wait here.
    aio.submit(provider.close())


@atexit.register
def _close_all() -> None:
    closing = [aio.submit(calls.provider.close()) for calls in _OPEN]
    wait(closing, timeout=_CLOSING_S)
