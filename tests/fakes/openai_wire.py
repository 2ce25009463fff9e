"""Good replies in the OpenAI wire format: chat completions whole and as events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.answers import answer, pieces
from tests.fakes.script import Behaviour

__all__ = ["DONE", "Exchange", "event"]

DONE = b"data: [DONE]\n\n"


def event(data: Any) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and how it is to be served: what replies and faults are built from."""

    body: Mapping[str, Any]
    body_hash: str
    behaviour: Behaviour
    received: float

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def wants_usage(self) -> bool:
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    def words(self) -> list[str]:
        """Return the pieces of the reply, a token each."""
        behaviour = self.behaviour
        if behaviour.tokens:
            found = [f"w{i} " for i in range(behaviour.tokens)]
        else:
            found = pieces(answer(self.body) if behaviour.text is None else behaviour.text)
        limit = self.limit
        return found if limit is None else found[:limit]

    @property
    def limit(self) -> int | None:
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens")

    @property
    def finish(self) -> str:
        """`length` where the limit cut the reply."""
        return "length" if self.limit is not None and len(self.words()) >= self.limit else "stop"

    def usage(self, words: int) -> dict[str, Any]:
        if self.behaviour.usage is not None:
            return dict(self.behaviour.usage)
        prompt = sum(len(str(m.get("content") or "").split()) + 4 for m in self.body.get("messages", ()))
        thoughts = len(pieces(self.behaviour.reasoning))
        return {
            "prompt_tokens": prompt,
            "completion_tokens": words + thoughts,
            "total_tokens": prompt + words + thoughts,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": thoughts},
        }

    def whole(self, **message: Any) -> dict[str, Any]:
        """Return a whole reply; `message` overrides fields of its message, `finish_reason` its own."""
        words = self.words()
        finish = message.pop("finish_reason", self.finish)
        said: dict[str, Any] = {"role": "assistant", "content": "".join(words), "refusal": None}
        if self.behaviour.reasoning:
            said["reasoning_content"] = self.behaviour.reasoning
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": self.body.get("model", "mock"),
            "choices": [
                {"index": 0, "message": {**said, **message}, "logprobs": None, "finish_reason": finish}
            ],
            "usage": self.usage(len(words)),
        }

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        """Return one event of a streamed reply."""
        data = self._envelope([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])
        if self.wants_usage:
            data["usage"] = None
        return event(data)

    def usage_event(self, words: int) -> bytes:
        return event({**self._envelope([]), "usage": self.usage(words)})

    def opening(self) -> bytes:
        return self.chunk({"role": "assistant", "content": ""})

    def deltas(self) -> list[bytes]:
        """Return the events that carry reasoning and text, one token each."""
        thoughts = [self.chunk({"reasoning_content": word}) for word in pieces(self.behaviour.reasoning)]
        return thoughts + [self.chunk({"content": word}) for word in self.words()]

    def closing(self) -> bytes:
        """Return the last events: finish reason, usage where it was asked for, [DONE]."""
        usage = self.usage_event(len(self.words())) if self.wants_usage else b""
        return self.chunk({}, self.finish) + usage + DONE

    def events(self) -> bytes:
        """Return the whole stream."""
        return self.opening() + b"".join(self.deltas()) + self.closing()

    def _envelope(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": self.body.get("model", "mock"),
            "choices": choices,
        }
