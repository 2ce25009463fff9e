"""The fault catalogue: how providers misbehave, each fault a function that plays it on a connection.

Named in tests, in scripts and as the model `fault:NAME`. Every entry says what outcome it must lead to.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.connection import Connection
from tests.fakes.openai_wire import DONE, Exchange, event

__all__ = ["FAULTS", "Fault"]

Player = Callable[[Connection, Exchange], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """A fault and the outcome it must lead to; `streamed` names another outcome for streamed requests."""

    play: Player
    outcome: str
    streamed: str | None = None

    def expected(self, *, streamed: bool) -> str:
        return self.streamed or self.outcome if streamed else self.outcome


def error_body(message: str, kind: str | None = None, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _status(
    status: int,
    outcome: str,
    body: Any,
    *,
    waits: bool = False,
    headers: dict[str, str] | None = None,
) -> Fault:
    """Make a fault that is a plain refusal; with `waits`, the behaviour's Retry-After is sent."""

    async def play(connection: Connection, exchange: Exchange) -> None:
        lines = dict(headers or {})
        if waits and exchange.behaviour.wait is not None:
            lines["retry-after"] = exchange.behaviour.wait
        if isinstance(body, bytes):
            await connection.reply(body, status, "text/html", lines)
        else:
            await connection.json(body, status, lines)

    return Fault(play, outcome)


def _message(outcome: str, **message: Any) -> Fault:
    """Make a fault whose reply is well-formed but says something odd; streamed as one delta."""
    finish = message.pop("finish_reason", "stop")

    async def play(connection: Connection, exchange: Exchange) -> None:
        if exchange.streamed:
            usage = exchange.usage_event(7) if exchange.wants_usage else b""
            await connection.start_stream()
            await connection.send(exchange.chunk({"role": "assistant", **message}))
            await connection.send(exchange.chunk({}, finish) + usage + DONE)
            await connection.end_stream()
        else:
            reply = exchange.whole(**message, finish_reason=finish)
            reply["usage"]["completion_tokens"] = 7
            await connection.json(reply)

    return Fault(play, outcome)


def _stream(outcome: str, build: Callable[[Exchange], list[bytes]], *, plain: str = "ok") -> Fault:
    """Make a fault of streams: the pieces are sent as they are; without a stream the reply is good."""

    async def play(connection: Connection, exchange: Exchange) -> None:
        if not exchange.streamed:
            await connection.json(exchange.whole())
            return
        await connection.start_stream()
        for piece in build(exchange):
            await connection.send(piece)
        await connection.end_stream()

    return Fault(play, plain, streamed=outcome)


def _body_of(exchange: Exchange) -> bytes:
    import json

    return exchange.events() if exchange.streamed else json.dumps(exchange.whole()).encode()


def _kind_of(exchange: Exchange) -> str:
    return "text/event-stream" if exchange.streamed else "application/json"


# ---------------------------------------------------------------- transport


async def _never_reply(connection: Connection, _: Exchange) -> None:
    await connection.until_client_leaves()


async def _rst_at_once(connection: Connection, _: Exchange) -> None:
    connection.reset()


async def _fin_at_once(connection: Connection, _: Exchange) -> None:
    connection.close()


async def _cut(connection: Connection, exchange: Exchange, *, reset: bool) -> None:
    body = _body_of(exchange)
    await connection.head(200, {"Content-Type": _kind_of(exchange), "Content-Length": len(body)})
    await connection.raw(body[: exchange.behaviour.at or len(body) // 2])
    if reset:
        await asyncio.sleep(0.05)
        connection.reset()
    else:
        connection.close()


async def _rst_mid_body(connection: Connection, exchange: Exchange) -> None:
    await _cut(connection, exchange, reset=True)


async def _fin_mid_body(connection: Connection, exchange: Exchange) -> None:
    await _cut(connection, exchange, reset=False)


async def _unterminated_chunk(connection: Connection, exchange: Exchange) -> None:
    body = _body_of(exchange)
    await connection.head(200, {"Content-Type": _kind_of(exchange), "Transfer-Encoding": "chunked"})
    await connection.raw(b"%x\r\n" % len(body) + body[: len(body) // 2])
    connection.close()


async def _drip(connection: Connection, exchange: Exchange) -> None:
    body = _body_of(exchange)
    await connection.head(200, {"Content-Type": _kind_of(exchange), "Content-Length": len(body)})
    pause = 1 / (exchange.behaviour.tokens_per_s or 20)
    for byte in body:
        await connection.raw(bytes([byte]))
        await asyncio.sleep(pause)
        if connection.client_gone:
            return


async def _drip_headers(connection: Connection, exchange: Exchange) -> None:
    pause = 1 / (exchange.behaviour.tokens_per_s or 20)
    await connection.raw(b"HTTP/1.1 200 OK\r\n")
    while not connection.client_gone:
        await connection.raw(b"x-drip: 1\r\n")
        await asyncio.sleep(pause)


async def _gzip_garbage(connection: Connection, exchange: Exchange) -> None:
    body = gzip.compress(_body_of(exchange))[:10] + b"\xff" * 40
    headers = {"Content-Encoding": "gzip"}
    await connection.reply(body, 200, _kind_of(exchange), headers)


async def _gzip_good(connection: Connection, exchange: Exchange) -> None:
    await connection.reply(
        gzip.compress(_body_of(exchange)), 200, _kind_of(exchange), {"Content-Encoding": "gzip"}
    )


async def _json_cut(connection: Connection, exchange: Exchange) -> None:
    if exchange.streamed:
        await connection.start_stream()
        await connection.send(exchange.opening() + exchange.chunk({"content": "half"})[:30] + b"\n\n")
        await connection.end_stream()
        return
    body = _body_of(exchange)
    await connection.reply(body[: exchange.behaviour.at or len(body) // 2])


async def _huge_event(connection: Connection, exchange: Exchange) -> None:
    words = "x" * 10_000_001
    if exchange.streamed:
        await connection.start_stream()
        await connection.send(exchange.chunk({"content": words}))
        await connection.send(exchange.closing())
        await connection.end_stream()
    else:
        await connection.json(exchange.whole(content=words))


async def _redirect(connection: Connection, _: Exchange) -> None:
    await connection.reply(b"", 302, "text/plain", {"Location": "http://127.0.0.1:9/elsewhere"})


# ---------------------------------------------------------------- streams


async def _done_then_hang(connection: Connection, exchange: Exchange) -> None:
    if not exchange.streamed:
        await connection.json(exchange.whole())
        return
    await connection.start_stream()
    await connection.send(exchange.events())
    await connection.until_client_leaves()


async def _endless_comments(connection: Connection, exchange: Exchange) -> None:
    if not exchange.streamed:
        await _never_reply(connection, exchange)
        return
    await connection.start_stream()
    while not connection.client_gone:
        await connection.send(b": PROCESSING\n\n")
        await asyncio.sleep(0.01)


async def _no_choices(connection: Connection, exchange: Exchange) -> None:
    if exchange.streamed:
        await connection.start_stream()
        await connection.send(event({"id": "x", "choices": []}) + DONE)
        await connection.end_stream()
    else:
        await connection.json({"id": "x", "object": "chat.completion", "choices": []})


def _split_utf8(exchange: Exchange) -> list[bytes]:
    data = exchange.opening() + exchange.chunk({"content": "ação 🐎 中文"}) + exchange.closing()
    return [bytes([byte]) for byte in data]


def _multi_line(exchange: Exchange) -> list[bytes]:
    lines = (b'{"choices":[{"index":0,', b'"delta":{"content":"two lines"},', b'"finish_reason":null}]}')
    return [b"".join(b"data: " + line + b"\n" for line in lines) + b"\n", exchange.closing()]


def _ends(newline: bytes) -> Callable[[Exchange], list[bytes]]:
    return lambda exchange: [exchange.events().replace(b"\n", newline)]


def _middle(error: Any) -> Callable[[Exchange], list[bytes]]:
    return lambda exchange: [exchange.opening(), exchange.chunk({"content": "half an "}), event(error)]


_HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>"
_TOOL = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
_RATE = error_body("Rate limit reached for requests", "requests", "rate_limit_exceeded")
_AZURE_FIRST = {
    "id": "",
    "object": "",
    "model": "",
    "choices": [],
    "prompt_filter_results": [{"prompt_index": 0}],
}
_AZURE_FILTER = {
    "error": {
        "message": "The response was filtered due to the prompt triggering the content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
}
_LLAMA_OVERFLOW = {
    "error": {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9000,
        "n_ctx": 4096,
    }
}
_OPENAI_OVERFLOW = error_body(
    "This model's maximum context length is 8192 tokens.", "invalid_request_error", "context_length_exceeded"
)
_ERROR_200 = error_body("The server had an error", "server_error", None)

FAULTS: dict[str, Fault] = {
    # transport
    "never_reply": Fault(_never_reply, "timeout"),
    "rst": Fault(_rst_at_once, "connection"),
    "fin": Fault(_fin_at_once, "connection"),
    "rst_mid_body": Fault(_rst_mid_body, "connection", "stream_truncated"),
    "fin_mid_body": Fault(_fin_mid_body, "connection", "stream_truncated"),
    "unterminated_chunk": Fault(_unterminated_chunk, "connection", "stream_truncated"),
    "drip": Fault(_drip, "timeout"),
    "drip_headers": Fault(_drip_headers, "timeout"),
    "gzip_garbage": Fault(_gzip_garbage, "malformed"),
    "gzip_good": Fault(_gzip_good, "ok"),
    "html_502": _status(502, "server_error", _HTML),
    "html_200": _status(200, "malformed", _HTML),
    "empty_200": _status(200, "malformed", b""),
    "json_cut": Fault(_json_cut, "malformed"),
    "huge_event": Fault(_huge_event, "ok", "malformed"),
    "redirect": Fault(_redirect, "bad_request"),
    # refusals
    "rate_limited": _status(429, "rate_limited", _RATE, waits=True),
    "rate_limited_ms": _status(429, "rate_limited", _RATE, headers={"retry-after-ms": "120"}),
    "rate_limited_reset": _status(
        429,
        "rate_limited",
        _RATE,
        headers={
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "120ms",
            "x-ratelimit-remaining-tokens": "100",
            "x-ratelimit-reset-tokens": "6m0s",
        },
    ),
    "rate_limited_azure": _status(
        429,
        "rate_limited",
        _RATE,
        headers={
            "x-ratelimit-limit-requests": "-1",
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-reset-requests": "0",
        },
    ),
    "quota": _status(
        429,
        "quota",
        error_body("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
    ),
    "payment": _status(
        402, "quota", error_body("Insufficient Balance", "unknown_error", "invalid_request_error")
    ),
    "auth": _status(
        401,
        "auth",
        error_body(
            "Incorrect API key provided: sk-canary-0123456789abcdef.",
            "invalid_request_error",
            "invalid_api_key",
        ),
    ),
    "forbidden": _status(403, "auth", error_body("Country not supported", "request_forbidden")),
    "moderated": _status(
        403,
        "content_filter",
        {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"flagged_input": "x"}}},
    ),
    "not_found": _status(
        404,
        "bad_request",
        error_body("The model `x` does not exist", "invalid_request_error", "model_not_found"),
    ),
    "bad_request": _status(400, "bad_request", error_body("Unknown parameter", "invalid_request_error")),
    "context_length": _status(400, "context_length", _OPENAI_OVERFLOW),
    "context_length_llamacpp": _status(400, "context_length", _LLAMA_OVERFLOW),
    "content_filter_400": _status(400, "content_filter", _AZURE_FILTER),
    "request_timeout": _status(408, "timeout", error_body("Request timeout")),
    "conflict": _status(409, "server_error", error_body("Conflict")),
    "server_error": _status(500, "server_error", error_body("The server had an error", "server_error")),
    "overloaded": _status(
        503, "overloaded", error_body("busy", "server_error", "server_is_overloaded"), waits=True
    ),
    "overloaded_529": _status(529, "overloaded", error_body("Overloaded", "overloaded_error"), waits=True),
    # a 200 that is none
    "error_200": _status(200, "server_error", _ERROR_200),
    "rate_limit_200": _status(200, "rate_limited", error_body("Rate limit exceeded", None, 429)),
    "choices_empty": Fault(_no_choices, "malformed"),
    "content_null": _message("malformed", content=None),
    "content_empty": _message("ok", content=""),
    "tool_calls": _message("malformed", content=None, tool_calls=_TOOL, finish_reason="tool_calls"),
    "function_call": _message(
        "malformed",
        content=None,
        function_call={"name": "f", "arguments": "{}"},
        finish_reason="function_call",
    ),
    "length": _message("length", content="cut off in the", finish_reason="length"),
    "content_filter": _message("content_filter", content="", finish_reason="content_filter"),
    "refusal": _message("refusal", content=None, refusal="I cannot help with that."),
    "unknown_finish": _message("ok", content="fine", finish_reason="eos_token_x"),
    "all_reasoning": _message("length", content="", reasoning_content="hmm, so", finish_reason="length"),
    # streams
    "no_done": _stream("ok", lambda e: [e.events().removesuffix(DONE)]),
    "no_finish": _stream("ok", lambda e: [e.opening(), *e.deltas(), DONE]),
    "clean_close": _stream("stream_truncated", lambda e: [e.opening(), *e.deltas()]),
    "clean_cut": _stream("stream_truncated", lambda e: [e.events()[: e.behaviour.at or 400]]),
    "last_chunk_lost": _stream("ok", lambda e: [e.opening(), *e.deltas(), e.chunk({}, "stop")]),
    "no_usage": _stream("ok", lambda e: [e.opening(), *e.deltas(), e.chunk({}, "stop") + DONE]),
    "done_then_hang": Fault(_done_then_hang, "ok"),
    "endless_comments": Fault(_endless_comments, "timeout"),
    "comments": _stream("ok", lambda e: [b": OPENROUTER PROCESSING\n\n", b":\n", e.events()]),
    "azure_first_chunk": _stream("ok", lambda e: [event(_AZURE_FIRST), e.events()]),
    "cr": _stream("ok", _ends(b"\r")),
    "crlf": _stream("ok", _ends(b"\r\n")),
    "no_space": _stream("ok", lambda e: [e.events().replace(b"data: ", b"data:")]),
    "multi_line": _stream("ok", _multi_line),
    "split_utf8": _stream("ok", _split_utf8),
    "no_blank_line": _stream("ok", lambda e: [e.events().removesuffix(b"\n\n")]),
    "mid_error": _stream("server_error", _middle(_ERROR_200)),
    "mid_overloaded": _stream("overloaded", _middle(error_body("overloaded", "overloaded_error", 503))),
    "mid_error_vllm": _stream("bad_request", _middle({"object": "error", "message": "bad", "code": 400})),
    "mid_bare_json": _stream(
        "server_error", lambda e: [e.opening(), b'{"error": {"message": "gone", "type": "server_error"}}\n']
    ),
}
