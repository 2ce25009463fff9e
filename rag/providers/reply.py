"""Reading a reply, whole or event by event: what every wire format shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson

from rag.core import Outcome, TextSink, TokenLogprob, Usage
from rag.providers.failures import classify_inside, error_in
from rag.providers.transport import Clock, WireError

__all__ = ["FINISHES", "ReplyReader", "count"]

FINISHES = {
    # OpenAI and those who speak its format
    "length": Outcome.LENGTH,
    "model_length": Outcome.LENGTH,
    "content_filter": Outcome.CONTENT_FILTER,
    "error": Outcome.SERVER_ERROR,
    "insufficient_system_resource": Outcome.OVERLOADED,
    # Anthropic
    "max_tokens": Outcome.LENGTH,
    "model_context_window_exceeded": Outcome.LENGTH,
    "pause_turn": Outcome.LENGTH,
    "refusal": Outcome.REFUSAL,
    # Gemini: of a candidate, and why a prompt was blocked
    "MAX_TOKENS": Outcome.LENGTH,
    "CONTINUATION": Outcome.LENGTH,
    "SAFETY": Outcome.CONTENT_FILTER,
    "RECITATION": Outcome.CONTENT_FILTER,
    "LANGUAGE": Outcome.CONTENT_FILTER,
    "BLOCKLIST": Outcome.CONTENT_FILTER,
    "PROHIBITED_CONTENT": Outcome.CONTENT_FILTER,
    "SPII": Outcome.CONTENT_FILTER,
    "MODEL_ARMOR": Outcome.CONTENT_FILTER,
    "JAILBREAK": Outcome.CONTENT_FILTER,
    "IMAGE_SAFETY": Outcome.CONTENT_FILTER,
    "OTHER": Outcome.MALFORMED,
    "MALFORMED_FUNCTION_CALL": Outcome.MALFORMED,
    "UNEXPECTED_TOOL_CALL": Outcome.MALFORMED,
    "TOO_MANY_TOOL_CALLS": Outcome.MALFORMED,
}
"""What the reason a provider gives for the end of a reply means; a reason that is not here means `ok`."""

_SHAPES = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_ID_HEADERS = ("request-id", "x-request-id", "apim-request-id")


class ReplyReader(ABC):
    """Collects one reply. `done` turns True when nothing more can follow.

    A wire format says what its events and its whole replies hold, in `take` and `take_whole`; they may index
    and call `get` freely, because a reply of an unexpected shape ends as `malformed` here. A stream that ends
    before its finish reason, or whatever else completes it, is `stream_truncated`, however cleanly the
    connection was closed; a complete one need not be followed to its last event.
    """

    ending: ClassVar[str]
    """What completes a stream of this format, for messages."""
    done_mark: ClassVar[bytes | None] = None
    """The data of an event, not JSON, that completes a stream."""
    silent_tokens: ClassVar[int] = 0
    """With no content at all, up to so many output tokens are a model's choice to say nothing."""

    def __init__(self, clock: Clock, on_text: TextSink | None = None) -> None:
        self.clock = clock
        self.headers: Mapping[str, str] = {}
        self.secret: str | None = None
        self.streamed = False
        self.done = False
        self.outcome = Outcome.OK
        self.error: str | None = None
        self.retry_after_s: float | None = None
        self.finish_reason: str | None = None
        self.usage = Usage()
        self.model: str | None = None
        self.logprobs: list[TokenLogprob] = []
        self._id: str | None = None
        self._on_text = on_text
        self._passed_on = 0
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._tools = False
        self._spoke = False

    @abstractmethod
    def take(self, chunk: dict[str, Any]) -> None:
        """Read one event of a stream."""

    @abstractmethod
    def take_whole(self, reply: dict[str, Any]) -> None:
        """Read a reply that came in one piece and reports no error."""

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
        return next((self.headers[name] for name in _ID_HEADERS if name in self.headers), self._id)

    def events(self, events: list[bytes]) -> None:
        """Take the events of one received piece, whose arrival is `clock.last`."""
        try:
            for data in events:
                if self.done:
                    break
                if data[:1] == b"{":
                    self.take(orjson.loads(data))
                else:
                    self._odd(data.strip())
        except orjson.JSONDecodeError:
            self.fail(Outcome.MALFORMED, "an event of the stream is not JSON")
        except _SHAPES:
            self.fail(Outcome.MALFORMED, "an event of the stream has an unexpected shape")
        if self._on_text is not None:
            self._pass_on(self._on_text)

    def whole(self, body: bytes, media_type: str) -> None:
        """Read a reply that came in one piece."""
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:
            page = media_type == "text/html" or body[:200].lstrip()[:1] == b"<"
            kind = "an HTML page" if page else "not JSON"
            self.fail(Outcome.MALFORMED, f"the reply is {kind}" if body.strip() else "the reply is empty")
            return
        if error := error_in(reply):
            self.refuse(error)
            return
        try:
            self.take_whole(reply)
            if not self.done:
                self.close()
        except _SHAPES:
            self.fail(Outcome.MALFORMED, "the reply has an unexpected shape")
        if self._on_text is not None:
            self._pass_on(self._on_text)

    def end(self, events: list[bytes], stray: bytes = b"", *, broken: WireError | None = None) -> None:
        """End a stream, closed cleanly or broken off for the reason given.

        Args:
            events: what the end cut loose; half an event is not a malformed one.
            stray: lines that were no events; a bare JSON error counts, and so does a whole reply, which some
                servers send without calling it JSON.
            broken: why no more could be read.
        """
        for data in events:
            if data.strip() == self.done_mark or _loads(data) is not None:
                self.events([data])
        if self.done:
            return
        bare = _loads(stray)
        if self.finish_reason is not None:
            self.close()
        elif error := error_in(bare):
            self.refuse(error)
        elif isinstance(bare, dict) and not self._spoke:
            self.streamed = False
            self.whole(stray, "")
        elif broken is None:
            self.fail(Outcome.STREAM_TRUNCATED, f"the stream ended without {self.ending}")
        elif broken.outcome is Outcome.CONNECTION:
            self.fail(Outcome.STREAM_TRUNCATED, "the connection broke off in the middle of the stream")
        else:
            self.fail(broken.outcome, str(broken))

    def time_out(self, timeout_s: float) -> None:
        """End the reply because time is up: complete if its end was seen, else `timeout`."""
        if self.done:
            return
        if self.finish_reason is not None:
            self.close()
        else:
            self.fail(Outcome.TIMEOUT, f"no complete reply within {timeout_s:g} s")

    def fail(self, outcome: Outcome, error: str, retry_after_s: float | None = None) -> None:
        """End the reply with a failure."""
        if self.streamed and not self.done and self.finish_reason is None:
            # Some servers count in every event: so far, not in all.
            self.usage = replace(self.usage, output_tokens=None, reasoning_tokens=None)
        self.done = True
        self.outcome, self.error, self.retry_after_s = outcome, error, retry_after_s

    def refuse(self, error: Any) -> None:
        """End the reply with an error that came inside it."""
        failure = classify_inside(error, self.headers, secret=self.secret)
        self.fail(failure.outcome, failure.message, failure.retry_after_s)

    def close(self) -> None:
        """Settle the outcome of a reply that came to its end."""
        self.done = True
        self.outcome = FINISHES.get(self.finish_reason or "", Outcome.OK)
        if self.outcome.infrastructure:
            self.error = f"the provider ended the reply with {self.finish_reason!r}"
        elif self._refusal:
            self.outcome = Outcome.REFUSAL
        elif self.outcome is Outcome.OK and not self._text and (self._tools or not self._spoke):
            self._explain_silence()

    def say(self, words: str) -> None:
        """Keep visible text; the first stamps the clock."""
        self._spoke = True
        if not words:
            return
        if self.clock.first_content is None:
            self.clock.first_content = self.clock.last
        self._text.append(words)

    def think(self, thought: str) -> None:
        """Keep reasoning; the first stamps the clock."""
        if not thought:
            return
        if self.clock.first_reasoning is None:
            self.clock.first_reasoning = self.clock.last
        self._reasoning.append(thought)

    def _odd(self, data: bytes) -> None:
        """Read an event that does not start as an object does."""
        if not data:
            return
        if data == self.done_mark:
            self.close()
            return
        chunk = orjson.loads(data)
        if isinstance(chunk, dict):
            self.take(chunk)
        elif error := error_in(chunk):
            self.refuse(error)
        else:
            self.fail(Outcome.MALFORMED, "an event of the stream is not an object")

    def _pass_on(self, on_text: TextSink) -> None:
        fresh = self._text[self._passed_on :]
        self._passed_on += len(fresh)
        for words in fresh:
            on_text(words)

    def _explain_silence(self) -> None:
        if self._tools:
            self.fail(Outcome.MALFORMED, "the model called a tool instead of answering")
        elif self.usage.output_tokens is None or self.usage.output_tokens > self.silent_tokens:
            self.fail(Outcome.MALFORMED, "the reply holds no text")


def count(value: Any) -> int | None:
    """Return `value` where it is a whole number that is not negative, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
