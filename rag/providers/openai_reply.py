"""Reading a chat completion, whole or event by event, into text, outcome, usage and clock readings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rag.core import Outcome, TextSink, Usage
from rag.providers.failures import classify_inside, error_in
from rag.providers.transport import Clock, WireError

__all__ = ["FINISHES", "ReplyReader", "read_usage"]

FINISHES = {
    "length": Outcome.LENGTH,
    "max_tokens": Outcome.LENGTH,
    "model_length": Outcome.LENGTH,
    "content_filter": Outcome.CONTENT_FILTER,
    "refusal": Outcome.REFUSAL,
    "error": Outcome.SERVER_ERROR,
    "insufficient_system_resource": Outcome.OVERLOADED,
}


class ReplyReader:
    """Collects one reply. `done` turns True when nothing more can follow.

    A stream is complete once a `finish_reason` or `[DONE]` came; one that ends without either is
    `stream_truncated`, however cleanly the connection was closed.
    """

    def __init__(self, clock: Clock, on_text: TextSink | None = None) -> None:
        self.clock = clock
        self.headers: Mapping[str, str] = {}
        self.streamed = False
        self.done = False
        self.outcome = Outcome.OK
        self.error: str | None = None
        self.retry_after_s: float | None = None
        self.finish_reason: str | None = None
        self.usage = Usage()
        self.model: str | None = None
        self._id: str | None = None
        self._on_text = on_text
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._tools = False
        self._spoke = False

    @property
    def text(self) -> str:
        """The visible text; a refusal's own words where the model gave no other."""
        return "".join(self._text) or "".join(self._refusal)

    @property
    def reasoning(self) -> str:
        """What the model thought aloud, where the provider shows it."""
        return "".join(self._reasoning)

    @property
    def request_id(self) -> str | None:
        """The id a provider's support asks for: the header's, else the body's."""
        for name in ("x-request-id", "request-id"):
            if name in self.headers:
                return self.headers[name]
        return self._id

    def fail(self, outcome: Outcome, error: str, retry_after_s: float | None = None) -> None:
        """End the reply with a failure."""
        self.done = True
        self.outcome, self.error, self.retry_after_s = outcome, error, retry_after_s

    def time_out(self, timeout_s: float) -> None:
        """End the reply because time is up: complete if its finish was seen, else `timeout`."""
        if self.finish_reason is not None and not self.done:
            self._close()
        elif not self.done:
            self.fail(Outcome.TIMEOUT, f"no complete reply within {timeout_s:g} s")

    def break_off(self, events: list[bytes], reason: WireError) -> None:
        """End a stream whose connection broke: complete if its finish was seen, else truncated."""
        self._last_events(events)
        if self.done:
            return
        if self.finish_reason is not None:
            self._close()
        elif reason.outcome is Outcome.CONNECTION:
            self.fail(Outcome.STREAM_TRUNCATED, "the connection broke off in the middle of the stream")
        else:
            self.fail(reason.outcome, str(reason))

    def end(self, events: list[bytes], stray: bytes) -> None:
        """End a stream that was closed cleanly."""
        self._last_events(events)
        if self.done:
            return
        if self.finish_reason is not None:
            self._close()
            return
        error = error_in(_loads(stray)) if stray else None
        if error:
            self._refused(error)
        else:
            self.fail(Outcome.STREAM_TRUNCATED, "the stream ended without a finish reason or [DONE]")

    def events(self, events: list[bytes]) -> None:
        """Take the events of one received piece, whose arrival is `clock.last`."""
        for data in events:
            if self.done:
                return
            if data[:1] != b"{":
                if data.strip() == b"[DONE]":
                    self._close()
                    return
                if not data.strip():
                    continue
            try:
                chunk = orjson.loads(data)
            except orjson.JSONDecodeError:
                self.fail(Outcome.MALFORMED, "an event of the stream is not JSON")
                return
            self._chunk(chunk)

    def whole(self, body: bytes, media_type: str) -> None:
        """Read a reply that came in one piece."""
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:
            kind = (
                "an HTML page" if media_type == "text/html" or body[:200].lstrip()[:1] == b"<" else "not JSON"
            )
            self.fail(Outcome.MALFORMED, f"the reply is {kind}" if body.strip() else "the reply is empty")
            return
        error = error_in(reply)
        if error:
            self._refused(error)
            return
        choices = reply.get("choices") if isinstance(reply, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            self.fail(Outcome.MALFORMED, "the reply holds no choices")
            return
        self._about(reply)
        message = choices[0].get("message")
        if not isinstance(message, dict):
            self.fail(Outcome.MALFORMED, "the reply's choice holds no message")
            return
        self._delta(message)
        finish = choices[0].get("finish_reason")
        self.finish_reason = finish if isinstance(finish, str) else None
        self._close()

    def _last_events(self, events: list[bytes]) -> None:
        """Take what the end of the stream cut loose; half an event is not a malformed one."""
        for data in events:
            if data.strip() == b"[DONE]" or _loads(data) is not None:
                self.events([data])

    def _chunk(self, chunk: Any) -> None:
        if not isinstance(chunk, dict):
            self.fail(Outcome.MALFORMED, "an event of the stream is not an object")
            return
        choices = chunk.get("choices")
        if choices and not chunk.get("error"):
            choice = choices[0]
            delta = choice.get("delta")
            if delta:
                self._delta(delta)
            if choice.get("finish_reason") is not None:
                self.finish_reason = str(choice["finish_reason"])
            if self.model is None or chunk.get("usage"):
                self._about(chunk)
        elif error := error_in(chunk):
            self._refused(error)
        else:
            self._about(chunk)

    def _delta(self, delta: dict[str, Any]) -> None:
        content = delta.get("content")
        if content is not None:
            self._spoke = True
            self._say(content if isinstance(content, str) else self._parts(content))
            if len(delta) == 1:
                return
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str):
            self._think(thought)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refusal.append(refusal)
        if delta.get("tool_calls") or delta.get("function_call"):
            self._tools = True

    def _say(self, words: str) -> None:
        if not words:
            return
        if self.clock.first_content is None:
            self.clock.first_content = self.clock.last
        self._text.append(words)
        if self._on_text is not None:
            self._on_text(words)

    def _parts(self, content: Any) -> str:
        """Read content given as a list of parts, as Mistral's reasoning models give it."""
        texts = []
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                self._think(inner if isinstance(inner, str) else self._parts(inner))
            elif isinstance(part.get("text"), str):
                texts.append(part["text"])
        return "".join(texts)

    def _think(self, thought: str) -> None:
        if not thought:
            return
        if self.clock.first_reasoning is None:
            self.clock.first_reasoning = self.clock.last
        self._reasoning.append(thought)

    def _about(self, reply: dict[str, Any]) -> None:
        model, identity, usage = reply.get("model"), reply.get("id"), reply.get("usage")
        if isinstance(model, str) and model:
            self.model = model
        if isinstance(identity, str) and identity:
            self._id = identity
        if isinstance(usage, dict):
            self.usage = read_usage(usage)

    def _refused(self, error: Any) -> None:
        failure = classify_inside(error, self.headers)
        self.fail(failure.outcome, failure.message, failure.retry_after_s)

    def _close(self) -> None:
        """Settle the outcome of a reply that came to its end."""
        self.done = True
        self.outcome = FINISHES.get(self.finish_reason or "", Outcome.OK)
        if self.outcome.infrastructure:
            self.error = f"the provider ended the reply with {self.finish_reason!r}"
        elif self._refusal:
            self.outcome = Outcome.REFUSAL
        elif self.outcome is Outcome.OK and not self._text and not self._spoke:
            self._explain_silence()

    def _explain_silence(self) -> None:
        if self._tools:
            self.fail(Outcome.MALFORMED, "the model called a tool instead of answering")
        elif self.usage.output_tokens is None or self.usage.output_tokens > 1:
            # One token is the end token: then an empty answer is what the model said.
            self.fail(Outcome.MALFORMED, "the reply holds no text (content is null)")


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read a `usage` object; what is absent or no whole number is None.

    This format's `prompt_tokens` include cached ones and `completion_tokens` include reasoning, as in
    `rag.core.Usage`. DeepSeek names cached tokens `prompt_cache_hit_tokens`.
    """
    prompt = usage.get("prompt_tokens_details")
    completion = usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = completion if isinstance(completion, dict) else {}
    cached = _count(prompt.get("cached_tokens"))
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        cached_input_tokens=_count(usage.get("prompt_cache_hit_tokens")) if cached is None else cached,
        cache_write_tokens=_count(prompt.get("cache_write_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_count(completion.get("reasoning_tokens")),
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
