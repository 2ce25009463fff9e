"""The fault catalogue: how providers misbehave, each fault a function that plays it on a connection.

Named in tests, in scripts and as the model `fault:NAME`. Every entry says what outcome it must lead to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes import play
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

    async def player(connection: Connection, exchange: Exchange) -> None:
        lines = dict(headers or {})
        if waits and exchange.behaviour.wait is not None:
            lines["retry-after"] = exchange.behaviour.wait
        if isinstance(body, bytes):
            await connection.reply(body, status, "text/html", lines)
        else:
            await connection.json(body, status, lines)

    return Fault(player, outcome)


def _message(outcome: str, **message: Any) -> Fault:
    """Make a fault whose reply is well-formed but says something odd; streamed as one delta."""
    finish = message.pop("finish_reason", "stop")

    async def player(connection: Connection, exchange: Exchange) -> None:
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

    return Fault(player, outcome)


def _stream(outcome: str, build: Callable[[Exchange], list[bytes]], *, plain: str = "ok") -> Fault:
    """Make a fault of streams: the pieces are sent as they are; without a stream the reply is good."""

    async def player(connection: Connection, exchange: Exchange) -> None:
        if not exchange.streamed:
            await connection.json(exchange.whole())
            return
        await connection.start_stream()
        for piece in build(exchange):
            await connection.send(piece)
        await connection.end_stream()

    return Fault(player, plain, streamed=outcome)


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
    "never_reply": Fault(play.never_reply, "timeout"),
    "rst": Fault(play.rst_at_once, "connection"),
    "fin": Fault(play.fin_at_once, "connection"),
    "rst_mid_body": Fault(play.rst_mid_body, "connection", "stream_truncated"),
    "fin_mid_body": Fault(play.fin_mid_body, "connection", "stream_truncated"),
    "unterminated_chunk": Fault(play.unterminated_chunk, "connection", "stream_truncated"),
    "drip": Fault(play.drip, "timeout"),
    "drip_headers": Fault(play.drip_headers, "timeout"),
    "gzip_garbage": Fault(play.gzip_garbage, "malformed"),
    "gzip_good": Fault(play.gzip_good, "ok"),
    "html_502": _status(502, "server_error", _HTML),
    "html_200": _status(200, "malformed", _HTML),
    "empty_200": _status(200, "malformed", b""),
    "json_cut": Fault(play.json_cut, "malformed"),
    "huge_event": Fault(play.huge_event, "ok", "malformed"),
    "redirect": Fault(play.redirect, "bad_request"),
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
    "choices_empty": Fault(play.no_choices, "malformed"),
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
    "done_then_hang": Fault(play.done_then_hang, "ok"),
    "endless_comments": Fault(play.endless_comments, "timeout"),
    "comments": _stream("ok", lambda e: [b": OPENROUTER PROCESSING\n\n", b":\n", e.events()]),
    "azure_first_chunk": _stream("ok", lambda e: [event(_AZURE_FIRST), e.events()]),
    "cr": _stream("ok", play.ends(b"\r")),
    "crlf": _stream("ok", play.ends(b"\r\n")),
    "no_space": _stream("ok", lambda e: [e.events().replace(b"data: ", b"data:")]),
    "multi_line": _stream("ok", play.multi_line),
    "split_utf8": _stream("ok", play.split_utf8),
    "no_blank_line": _stream("ok", lambda e: [e.events().removesuffix(b"\n\n")]),
    "mid_error": _stream("server_error", play.middle(_ERROR_200)),
    "mid_overloaded": _stream("overloaded", play.middle(error_body("overloaded", "overloaded_error", 503))),
    "mid_error_vllm": _stream("bad_request", play.middle({"object": "error", "message": "bad", "code": 400})),
    "mid_bare_json": _stream(
        "server_error", lambda e: [e.opening(), b'{"error": {"message": "gone", "type": "server_error"}}\n']
    ),
}
