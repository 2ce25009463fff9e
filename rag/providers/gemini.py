"""The Gemini wire format: generateContent, and streamGenerateContent as server-sent events.

Written from the API reference (https://ai.google.dev/api/generate-content) and, for the shapes of its errors
(google.rpc.QuotaFailure, google.rpc.RetryInfo), from https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from rag.core import Outcome, Request, TextSink, TokenLogprob, Usage
from rag.providers.failures import error_in
from rag.providers.reply import ReplyReader, count
from rag.providers.transport import Clock
from rag.providers.wire import WireProvider, turns

__all__ = ["GeminiProvider", "GeminiReader", "read_usage"]

_ROLES = {"user": "user", "assistant": "model"}


class GeminiReader(ReplyReader):
    """Reads generated content. A stream is complete once a `finishReason` came or the prompt was blocked.

    Parts marked `thought` are the reasoning. A candidate without any text is `malformed` unless it says why
    it has none. An error of several lines of bare JSON, as this API writes it into a stream, counts as one.
    """

    ending: ClassVar[str] = "a finishReason"
    silent_tokens: ClassVar[int] = -1

    def __init__(self, clock: Clock, on_text: TextSink | None = None) -> None:
        super().__init__(clock, on_text)
        self._prompt_blocked = False

    def take(self, chunk: dict[str, Any]) -> None:
        candidates = chunk.get("candidates")
        if candidates:
            self._candidate(candidates[0])
        elif error := error_in(chunk):
            self.refuse(error)
            return
        else:
            self._blocked(chunk.get("promptFeedback"))
        if self.model is None or self.finish_reason is not None:
            self._about(chunk)

    def take_whole(self, reply: dict[str, Any]) -> None:
        self.take(reply)
        self._about(reply)
        if not self.done and not reply.get("candidates") and self.finish_reason is None:
            self.fail(Outcome.MALFORMED, "the reply holds no candidates")

    def close(self) -> None:
        super().close()
        if self._prompt_blocked:
            self.outcome, self.error = Outcome.CONTENT_FILTER, None

    def _candidate(self, candidate: dict[str, Any]) -> None:
        content = candidate.get("content")
        for part in (content.get("parts") or ()) if content else ():
            text = part.get("text")
            if isinstance(text, str):
                if part.get("thought"):
                    self.think(text)
                else:
                    self.say(text)
            elif "functionCall" in part:
                self._tools = True
        reason = candidate.get("finishReason")
        if reason is not None:
            self.finish_reason = str(reason)
        if "logprobsResult" in candidate:
            self._logprobs(candidate["logprobsResult"])

    def _blocked(self, feedback: Any) -> None:
        """Read why a prompt got no candidates; proxies send an empty reason where nothing was blocked."""
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
        if reason:
            self.finish_reason, self._prompt_blocked = str(reason), True

    def _logprobs(self, found: dict[str, Any]) -> None:
        chosen = found.get("chosenCandidates") or ()
        top = found.get("topCandidates") or [{}] * len(chosen)
        for item, others in zip(chosen, top, strict=False):
            alternatives = tuple(_token(other) for other in others.get("candidates") or ())
            token, logprob = _token(item)
            self.logprobs.append(TokenLogprob(token=token, logprob=logprob, alternatives=alternatives))

    def _about(self, chunk: dict[str, Any]) -> None:
        model, identity, usage = (
            chunk.get("modelVersion"),
            chunk.get("responseId"),
            chunk.get("usageMetadata"),
        )
        if isinstance(model, str) and model:
            self.model = model
        if isinstance(identity, str) and identity:
            self._id = identity
        if isinstance(usage, dict):
            whole = self.finish_reason is not None or not self.streamed
            self.usage = read_usage(usage) if whole else Usage(input_tokens=read_usage(usage).input_tokens)


class GeminiProvider(WireProvider):
    """A model behind `POST {base_url}/models/MODEL:generateContent`, the arguments as of `WireProvider`.

    System messages become the `systemInstruction`, neighbours of one role one turn. Summaries of the model's
    thoughts are asked for only by the quirk `thoughts`, because models that do not think refuse the field;
    thinking is counted in any case.
    """

    auth: ClassVar[str] = "x-goog-api-key"
    version: ClassVar[str] = "/v1beta"
    whole_list: ClassVar[Mapping[str, str]] = {"pageSize": "1000"}
    reader: ClassVar[type[ReplyReader]] = GeminiReader

    def path(self) -> str:
        place = self._model if "/" in self._model else f"models/{self._model}"
        method = "streamGenerateContent?alt=sse" if self._stream else "generateContent"
        return f"/{quote(place)}:{method}"

    def payload(self, request: Request) -> dict[str, Any]:
        system, said = turns(request.messages)
        payload: dict[str, Any] = {
            "contents": [{"role": _ROLES[role], "parts": [{"text": text}]} for role, text in said]
        }
        if system:
            payload["systemInstruction"] = {"parts": [{"text": system}]}
        if config := self._config(request):
            payload["generationConfig"] = config
        return payload

    def _config(self, request: Request) -> dict[str, Any]:
        settings, quirks = request.settings, self._quirks
        config: dict[str, Any] = {
            "temperature": settings.temperature,
            "topP": settings.top_p,
            "maxOutputTokens": settings.max_tokens,
            "stopSequences": list(settings.stop) or None,
            "seed": settings.seed,
            "responseLogprobs": None if settings.top_logprobs is None else True,
            "logprobs": settings.top_logprobs or None,
            "thinkingConfig": {"includeThoughts": True} if quirks.thoughts else None,
        }
        if settings.response_schema is not None and quirks.json_schema:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = settings.response_schema
        return {k: v for k, v in config.items() if v is not None and k not in quirks.omit}


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read a `usageMetadata` object of a whole reply.

    This format's `promptTokenCount` includes cached tokens but not those of tool results, and its
    `candidatesTokenCount` leaves out thoughts; `rag.core.Usage` includes both. Counts of zero are left out on
    the wire, so beside a prompt's count an absent one is 0; without it everything is unknown.
    """
    prompt = count(usage.get("promptTokenCount"))
    if prompt is None:
        return Usage()
    thoughts = count(usage.get("thoughtsTokenCount")) or 0
    return Usage(
        input_tokens=prompt + (count(usage.get("toolUsePromptTokenCount")) or 0),
        cached_input_tokens=count(usage.get("cachedContentTokenCount")) or 0,
        output_tokens=(count(usage.get("candidatesTokenCount")) or 0) + thoughts,
        reasoning_tokens=thoughts,
    )


def _token(item: dict[str, Any]) -> tuple[str, float]:
    return str(item["token"]), float(item["logProbability"])
