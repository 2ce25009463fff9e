"""The OpenAI wire format: chat completions, streamed and not, of any server that speaks it.

Written from the API reference (https://platform.openai.com/docs/api-reference/chat) and from what other
servers make of it; every departure met is a test in tests/rag/providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rag.core import Outcome, Request, TokenLogprob, Usage
from rag.providers.failures import error_in
from rag.providers.reply import ReplyReader, count
from rag.providers.wire import Quirks, WireProvider

__all__ = ["OpenAIProvider", "OpenAIReader", "Quirks", "read_usage"]


class OpenAIReader(ReplyReader):
    """Reads chat completions. A stream is complete once a `finish_reason` or `[DONE]` came."""

    ending: ClassVar[str] = "a finish reason or [DONE]"
    done_mark: ClassVar[bytes | None] = b"[DONE]"
    silent_tokens: ClassVar[int] = 1  # the end token

    def take(self, chunk: dict[str, Any]) -> None:
        choices = chunk.get("choices")
        if choices and not chunk.get("error"):
            choice = choices[0]
            delta = choice.get("delta")
            if delta:
                self._delta(delta)
            if choice.get("finish_reason"):  # some servers write "" until the end
                self.finish_reason = str(choice["finish_reason"])
            if choice.get("logprobs"):
                self._logprobs(choice["logprobs"])
            if self.model is None or chunk.get("usage"):
                self._about(chunk)
        elif error := error_in(chunk):
            self.refuse(error)
        else:
            self._about(chunk)

    def take_whole(self, reply: dict[str, Any]) -> None:
        if not reply["choices"]:
            self.fail(Outcome.MALFORMED, "the reply holds no choices")
            return
        self._about(reply)
        choice = reply["choices"][0]
        self._delta(choice["message"])
        finish = choice.get("finish_reason")
        self.finish_reason = finish if finish and isinstance(finish, str) else None
        if choice.get("logprobs"):
            self._logprobs(choice["logprobs"])

    def _delta(self, delta: dict[str, Any]) -> None:
        content = delta.get("content")
        if content is not None:
            self.say(content if isinstance(content, str) else self._parts(content))
            if len(delta) == 1:
                return
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str):
            self.think(thought)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refusal.append(refusal)
        if delta.get("tool_calls") or delta.get("function_call"):
            self._tools = True

    def _parts(self, content: Any) -> str:
        """Read content given as a list of parts, as Mistral's reasoning models give it."""
        texts = []
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            if part.get("type") == "thinking":
                inner = part.get("thinking")
                self.think(inner if isinstance(inner, str) else self._parts(inner))
            elif isinstance(part.get("text"), str):
                texts.append(part["text"])
        return "".join(texts)

    def _logprobs(self, found: dict[str, Any]) -> None:
        for item in found.get("content") or ():
            others = item.get("top_logprobs") or ()
            self.logprobs.append(
                TokenLogprob(
                    token=str(item["token"]),
                    logprob=float(item["logprob"]),
                    alternatives=tuple((str(o["token"]), float(o["logprob"])) for o in others),
                )
            )

    def _about(self, reply: dict[str, Any]) -> None:
        model, identity, usage = reply.get("model"), reply.get("id"), reply.get("usage")
        if isinstance(model, str) and model:
            self.model = model
        if isinstance(identity, str) and identity:
            self._id = identity
        if isinstance(usage, dict):
            self.usage = read_usage(usage)


class OpenAIProvider(WireProvider):
    """A model behind `POST {base_url}/chat/completions`, the arguments as of `WireProvider`.

    Where the quirks say that the server knows no `json_schema`, a schema for the reply is left out; a tool
    call instead of an answer is `malformed`.
    """

    reader: ClassVar[type[ReplyReader]] = OpenAIReader

    def path(self) -> str:
        return "/chat/completions"

    def payload(self, request: Request) -> dict[str, Any]:
        settings, quirks = request.settings, self._quirks
        optional: dict[str, Any] = {
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            quirks.max_tokens_field: settings.max_tokens,
            "stop": list(settings.stop) or None,
        }
        if quirks.seed_field:
            optional[quirks.seed_field] = settings.seed
        if settings.top_logprobs is not None:
            optional |= {"logprobs": True, "top_logprobs": settings.top_logprobs}
        if settings.response_schema is not None and quirks.json_schema:
            schema = {"name": "reply", "schema": settings.response_schema, "strict": True}
            optional["response_format"] = {"type": "json_schema", "json_schema": schema}
        if self._stream:
            optional["stream"] = True
            if quirks.stream_usage:
                optional["stream_options"] = {"include_usage": True}
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        kept = {k: v for k, v in optional.items() if v is not None and k not in quirks.omit}
        return {"model": self._model, "messages": messages, **kept}


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read a `usage` object; what is absent or no whole number is None.

    This format's `prompt_tokens` include cached ones and `completion_tokens` include reasoning, as in
    `rag.core.Usage`. xAI counts reasoning beside `completion_tokens`, which its `total_tokens` gives away.
    DeepSeek names cached tokens `prompt_cache_hit_tokens`.
    """
    prompt = usage.get("prompt_tokens_details")
    completion = usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = completion if isinstance(completion, dict) else {}
    cached = count(prompt.get("cached_tokens"))
    read, written = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    thoughts = count(completion.get("reasoning_tokens"))
    if written is not None and thoughts is not None:
        beside = usage.get("total_tokens") == (read or 0) + written + thoughts
        written += thoughts if beside or thoughts > written else 0
    return Usage(
        input_tokens=read,
        cached_input_tokens=count(usage.get("prompt_cache_hit_tokens")) if cached is None else cached,
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        output_tokens=written,
        reasoning_tokens=thoughts,
    )
