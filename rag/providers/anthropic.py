"""The Anthropic wire format: messages, streamed and not.

Written from the API reference at https://platform.claude.com/docs/en: api/messages, api/errors,
build-with-claude/streaming, build-with-claude/handling-stop-reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from rag.core import Request, TextSink, Usage
from rag.providers.reply import ReplyReader, count
from rag.providers.transport import Clock
from rag.providers.wire import WireProvider, turns

__all__ = ["DEFAULT_MAX_TOKENS", "AnthropicProvider", "AnthropicReader", "read_usage"]

DEFAULT_MAX_TOKENS = 4096
"""The output limit where none was asked for: this format requires one, and every model accepts this."""


class AnthropicReader(ReplyReader):
    """Reads messages. A stream is complete once a `stop_reason` came, with which the last counts come too.

    Text blocks are the answer, thinking blocks the reasoning; other blocks and events are passed over.
    """

    ending: ClassVar[str] = "a stop_reason"
    silent_tokens: ClassVar[int] = 3  # documented: an empty turn takes two or three tokens

    def __init__(self, clock: Clock, on_text: TextSink | None = None) -> None:
        super().__init__(clock, on_text)
        self._counts: dict[str, Any] = {}

    def take(self, chunk: dict[str, Any]) -> None:
        kind = chunk.get("type")
        if kind == "content_block_delta":
            delta = chunk["delta"]
            if delta["type"] == "text_delta":
                self.say(_text(delta["text"]))
            elif delta["type"] == "thinking_delta":
                self.think(_text(delta["thinking"]))
        elif kind == "content_block_start":
            self._block(chunk["content_block"])
        elif kind == "message_start":
            self._about(chunk["message"])
            self.usage = replace(self.usage, output_tokens=None, reasoning_tokens=None)  # so far, not in all
        elif kind == "message_delta":
            self._end(chunk["delta"])
            self._count(chunk.get("usage"))
        elif kind == "message_stop":
            self.close()
        elif "error" in chunk:
            self.refuse(chunk["error"])

    def take_whole(self, reply: dict[str, Any]) -> None:
        self._about(reply)
        for block in reply["content"]:
            self._block(block)
        self._end(reply)

    def _block(self, block: dict[str, Any]) -> None:
        kind = block["type"]
        if kind == "text":
            self.say(_text(block["text"]))
        elif kind == "thinking":
            self.think(_text(block["thinking"]))
        elif kind.endswith("tool_use"):
            self._tools = True

    def _about(self, message: dict[str, Any]) -> None:
        model, identity = message.get("model"), message.get("id")
        self.model = model if isinstance(model, str) else None
        self._id = identity if isinstance(identity, str) else None
        self._count(message.get("usage"))

    def _count(self, usage: Any) -> None:
        """Take a usage object; a later one is cumulative and may leave out what has not changed."""
        if isinstance(usage, dict):
            self._counts.update((k, v) for k, v in usage.items() if v is not None)
            self.usage = read_usage(self._counts)

    def _end(self, end: dict[str, Any]) -> None:
        reason, details = end.get("stop_reason"), end.get("stop_details")
        if isinstance(reason, str):
            self.finish_reason = reason
        if isinstance(details, dict) and details.get("explanation"):
            self._refusal.append(_text(details["explanation"]))


class AnthropicProvider(WireProvider):
    """A model behind `POST {base_url}/messages`, the arguments as of `WireProvider`.

    System messages become the `system` text, neighbours of one role one turn. The format has no seed and no
    log probabilities: `seed` and `top_logprobs` are left out, and so are stop sequences of white space alone,
    which it refuses. `max_tokens` is `DEFAULT_MAX_TOKENS` where none is set.
    """

    auth: ClassVar[str] = "x-api-key"
    headers: ClassVar[Mapping[str, str]] = {"anthropic-version": "2023-06-01"}
    version: ClassVar[str] = "/v1"
    whole_list: ClassVar[Mapping[str, str]] = {"limit": "1000"}
    reader: ClassVar[type[ReplyReader]] = AnthropicReader

    def path(self) -> str:
        return "/messages"

    def payload(self, request: Request) -> dict[str, Any]:
        settings, quirks = request.settings, self._quirks
        system, said = turns(request.messages)
        optional: dict[str, Any] = {
            "system": system or None,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "stop_sequences": [stop for stop in settings.stop if stop.strip()] or None,
            "stream": self._stream or None,
        }
        if settings.response_schema is not None and quirks.json_schema:
            schema = {"type": "json_schema", "schema": settings.response_schema}
            optional["output_config"] = {"format": schema}
        return {
            "model": self._model,
            "max_tokens": settings.max_tokens or DEFAULT_MAX_TOKENS,
            "messages": [{"role": role, "content": text} for role, text in said],
            **{k: v for k, v in optional.items() if v is not None and k not in quirks.omit},
        }


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read a `usage` object; what is absent or no whole number is None.

    This format's `input_tokens` leave out what was read from and written to the prompt cache, which
    `rag.core.Usage` includes; its `output_tokens` include thinking.
    """
    written = count(usage.get("cache_creation_input_tokens"))
    cached = count(usage.get("cache_read_input_tokens"))
    fresh = count(usage.get("input_tokens"))
    details = usage.get("output_tokens_details")
    return Usage(
        input_tokens=None if fresh is None else fresh + (written or 0) + (cached or 0),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=count(usage.get("output_tokens")),
        reasoning_tokens=count(details.get("thinking_tokens")) if isinstance(details, dict) else None,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value
