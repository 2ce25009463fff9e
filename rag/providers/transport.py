"""HTTP for providers: one POST, with the clock readings that a measurement needs.

A lean layer over aiohttp: no cookies, no redirects, no retries, no timeout but ours, no compression asked
for. Every reading is `time.perf_counter()`, taken when bytes arrive and before anything is parsed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp

from rag.core import Outcome, Timing
from rag.errors import ConfigError, RagassayError
from rag.providers.failures import one_line

__all__ = [
    "MAX_BODY_BYTES",
    "Clock",
    "Reply",
    "Transport",
    "WireError",
    "checked_base_url",
    "is_loopback",
]

MAX_BODY_BYTES = 64_000_000
_IDLE_CONNECTION_S = 4.0  # llama.cpp, uvicorn (vLLM) and Node close what was idle for 5 s


class WireError(RagassayError):
    """A call that ended in `outcome`; never leaves `rag.providers`, where it becomes a Completion."""

    def __init__(self, outcome: Outcome, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.retry_after_s = retry_after_s


class Clock:
    """The readings of one attempt while it runs, in seconds; None until it happened."""

    __slots__ = ("first_content", "first_reasoning", "headers", "last", "sent", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.sent: float | None = None
        self.headers: float | None = None
        self.first_reasoning: float | None = None
        self.first_content: float | None = None
        self.last: float | None = None

    def timing(self, *, streamed: bool = True) -> Timing:
        """Return the readings as they stand; where nothing was sent, `sent` is when the attempt began."""
        return Timing(
            sent=self.started if self.sent is None else self.sent,
            headers=self.headers,
            first_reasoning=self.first_reasoning,
            first_content=self.first_content,
            last=self.last,
            streamed=streamed,
        )


class Reply:
    """The reply to a POST: its status and headers, and its body as it arrives."""

    def __init__(self, response: aiohttp.ClientResponse, clock: Clock) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content
        self._clock = clock
        self._seen = 0

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case; empty when the reply names none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    async def piece(self) -> bytes:
        """Return whatever bytes have arrived, waiting for at least one; empty at the end of the body.

        Stamps `clock.last`.

        Raises:
            WireError: `connection` when the body breaks off, `malformed` when it cannot be decompressed or
                exceeds 64 MB.
        """
        try:
            data = await self._content.readany()
        except aiohttp.ClientPayloadError as exc:
            if isinstance(exc.__cause__, aiohttp.http_exceptions.ContentEncodingError):
                raise WireError(Outcome.MALFORMED, "the reply's compression is broken") from exc
            raise WireError(
                Outcome.CONNECTION, "the connection broke off in the middle of the reply"
            ) from exc
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError) as exc:
            raise WireError(
                Outcome.CONNECTION, "the connection broke off in the middle of the reply"
            ) from exc
        if data:
            self._clock.last = time.perf_counter()
            self._seen += len(data)
            if self._seen > MAX_BODY_BYTES:
                raise WireError(Outcome.MALFORMED, f"the reply exceeds {MAX_BODY_BYTES // 1_000_000} MB")
        return data

    async def body(self) -> bytes:
        """Return the whole body."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)


class Transport:
    """POSTs to one provider over pooled connections, one pool per event loop.

    Args:
        headers: sent with every request; values never appear in messages.
        proxies: obey HTTPS_PROXY and its kin.
    """

    def __init__(self, *, headers: Mapping[str, str], proxies: bool = False) -> None:
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "ragassay", **headers}
        self._proxies = proxies
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = (
            WeakKeyDictionary()
        )

    @asynccontextmanager
    async def post(self, url: str, body: bytes, clock: Clock) -> AsyncIterator[Reply]:
        """POST `body` and yield the reply once its headers are here; leaving frees the connection.

        A connection whose body was not read to the end is closed, not reused.

        Raises:
            WireError: `connection` when no reply came, `bad_request` when the URL is unusable.
        """
        context = SimpleNamespace(clock=clock)
        try:
            response = await self._session().post(
                url, data=body, headers=self._headers, allow_redirects=False, trace_request_ctx=context
            )
        except aiohttp.InvalidURL as exc:
            raise WireError(Outcome.BAD_REQUEST, f"not a usable base URL: {_place(url)}") from exc
        except aiohttp.ClientConnectorError as exc:
            # asyncio puts "Connect call failed" and the address in place of the system's own words.
            code, words = exc.os_error.errno or 0, exc.os_error.strerror
            reason = os.strerror(code) if code > 0 else words or type(exc.os_error).__name__
            raise WireError(Outcome.CONNECTION, f"cannot connect to {_place(url)}: {reason}") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise WireError(
                Outcome.CONNECTION, f"{_place(url)} closed the connection without a reply"
            ) from exc
        clock.headers = time.perf_counter()
        try:
            yield Reply(response, clock)
        finally:
            if response.content.is_eof():
                response.release()
            else:
                response.close()

    async def close(self) -> None:
        """Close the connections of every loop; harmless when called twice."""
        here = asyncio.get_running_loop()
        for loop, session in list(self._sessions.items()):
            if loop is here:
                await session.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(session.close(), loop)
        self._sessions.clear()

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            session = self._sessions[loop] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                trust_env=self._proxies,
                trace_configs=[_stamp_sending()],
                read_bufsize=2**18,
            )
        return session


def _stamp_sending() -> aiohttp.TraceConfig:
    """Stamp `sent` after a connection was found and just before the first byte is written."""

    async def stamp(_: Any, context: SimpleNamespace, __: Any) -> None:
        context.trace_request_ctx.clock.sent = time.perf_counter()

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(stamp)
    return trace


def checked_base_url(url: str) -> str:
    """Return `url` without a closing slash.

    Raises:
        ConfigError: it is no http or https URL, or holds a user name or password, which belong in the
            environment.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(f"base_url {one_line(url)!r} is not of the form http://HOST:PORT/v1.")
    if parts.username is not None:
        raise ConfigError(
            f"the base_url of {parts.hostname} holds a user name or password; take it out and name the "
            "environment variable with the key in api_key_env."
        )
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine, which no proxy stands before."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _place(url: str) -> str:
    """Return scheme, host and port of a URL: user names and paths may hold secrets."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
