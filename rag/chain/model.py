"""Any provider as a LangChain chat model."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import fields
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr, model_validator
from typing_extensions import override

from rag.chain.calls import Calls
from rag.chain.retriever import chunk_of
from rag.config import Config, load_config
from rag.core import Completion, Message, Request, Role, Settings, Usage
from rag.errors import ProviderFailedError, StoppedError, UsageError
from rag.providers import resolve_with_fallback

__all__ = ["PARTS", "RagassayChatModel"]

# The key of a message's additional_kwargs that carries what its prompt was made of: `question`, and
# `passages` as Documents. A provider that is no language model answers from these; they go over no wire.
PARTS = "ragassay"

_SETTINGS = frozenset(f.name for f in fields(Settings))
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


class RagassayChatModel(BaseChatModel):
    """A provider as a LangChain chat model: our wire, clock, retries, price and limits behind its interface.

    The reply's `usage_metadata` is None where tokens are unknown. Its `response_metadata` holds `model_name`
    (the one that answered), `model_provider`, `finish_reason`, `outcome`, `cost_usd` (a decimal string, None
    where unknown), `attempts`, `request_id`, `ttft_ms` and `total_ms`. Settings can be bound or given with a
    call, as in `model.bind(temperature=0.2, max_tokens=64)`.

    A call that ends without an answer raises ProviderFailedError, or StoppedError where asking again cannot
    help until a person acts (key, quota, budget). Retries happen below, so `with_retry` would multiply them.

    Args:
        model: a REF such as `"groq:llama-3.3-70b-versatile"`; by default the config's `default_provider`. The
            config's `fallback` applies.
        temperature: of the sampling; None leaves the provider's default, here and below.
        max_tokens: the most tokens of the answer.
        top_p: nucleus sampling.
        stop: texts that end the answer.
        seed: of the sampling, where the provider has one.
        timeout: seconds for one attempt; by default `limits.timeout_s` of the config.
        max_retries: attempts after the first; by default `limits.max_attempts` of the config less one.
        config: the config; by default the file that RAGASSAY_CONFIG names, else the defaults.

    Raises:
        UnknownNameError: no such provider or model.
        MissingKeyError: the provider's key is not in the environment.
    """

    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    timeout: float | None = None
    max_retries: int | None = None
    config: Config | None = Field(default=None, exclude=True, repr=False)
    _calls: Calls = PrivateAttr()

    @model_validator(mode="after")
    def _resolve(self) -> Self:
        config = self.config or load_config()
        self.model = self.model or config.default_provider
        bounds: dict[str, Any] = {}
        if self.timeout is not None:
            bounds["timeout_s"] = self.timeout
        if self.max_retries is not None:
            bounds["max_attempts"] = self.max_retries + 1
        limits = config.limits.model_copy(update=bounds)
        self._calls = Calls(resolve_with_fallback(self.model, config, limits=limits))
        return self

    @property
    def _llm_type(self) -> str:
        return "ragassay"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("model", "temperature", "max_tokens", "top_p", "stop", "seed")
        return {name: getattr(self, name) for name in names}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        params["ls_provider"] = self._calls.provider.name
        params["ls_model_name"] = self._calls.provider.model
        return params

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _result(self._calls.complete(self._request(messages, stop, kwargs)))

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _result(await self._calls.acomplete(self._request(messages, stop, kwargs)))

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self._calls.stream(self._request(messages, stop, kwargs)):
            yield _chunk(piece)

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for piece in self._calls.astream(self._request(messages, stop, kwargs)):
            yield _chunk(piece)

    def _request(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Request:
        parts = _parts(messages)
        return Request(
            messages=tuple(_message(message) for message in messages),
            settings=self._settings(stop, given),
            question=parts["question"],
            passages=tuple(chunk_of(document) for document in parts["passages"]),
        )

    def _settings(self, stop: list[str] | None, given: dict[str, Any]) -> Settings:
        # LangChain's own switch between its two ways in; it says nothing about sampling.
        given = {name: value for name, value in given.items() if name != "stream"}
        unknown = sorted(given.keys() - _SETTINGS)
        if unknown:
            near = difflib.get_close_matches(unknown[0], _SETTINGS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(sorted(_SETTINGS))}."
            raise UsageError(f"RagassayChatModel takes no setting {unknown[0]!r}; {hint}")
        own = {name: getattr(self, name) for name in ("temperature", "max_tokens", "top_p", "seed")}
        stops = stop if stop is not None else given.pop("stop", self.stop)
        return Settings(**{**own, **given, "stop": tuple(stops or ())})


def _parts(messages: Sequence[BaseMessage]) -> dict[str, Any]:
    last = next((m for m in reversed(messages) if isinstance(m, HumanMessage)), None)
    if last is None:
        return {"question": "", "passages": ()}
    carried: dict[str, Any] = last.additional_kwargs.get(PARTS) or {}
    return {"question": str(last.text), "passages": (), **carried}


def _message(message: BaseMessage) -> Message:
    named = message.role if isinstance(message, ChatMessage) else message.type
    role = "system" if isinstance(message, SystemMessage) else _ROLES.get(named.lower())
    if role is None:
        raise UsageError(f"a message of type {named!r} cannot be sent; give system, human and ai messages.")
    blocks = message.content if isinstance(message.content, list) else []
    other = next((b["type"] for b in blocks if isinstance(b, dict) and b.get("type") != "text"), None)
    if other is not None:
        raise UsageError(f"a message holds a block of type {other!r}; only text can be sent.")
    return Message(role=role, content=str(message.text))


def _result(completion: Completion) -> ChatResult:
    _check(completion)
    message = AIMessage(
        content=completion.text,
        usage_metadata=_usage(completion.usage),
        response_metadata=_metadata(completion),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunk(piece: str | Completion) -> ChatGenerationChunk:
    if isinstance(piece, str):
        return ChatGenerationChunk(message=AIMessageChunk(content=piece))
    _check(piece)
    last = AIMessageChunk(
        content="",
        usage_metadata=_usage(piece.usage),
        response_metadata=_metadata(piece),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=last)


def _check(completion: Completion) -> None:
    """Raise where a call ended without an answer."""
    if completion.outcome.answered:
        return
    system, outcome = f"{completion.provider}:{completion.model}", completion.outcome
    message = f"{system} gave no answer ({outcome.value}): {completion.error or 'no reason given'}"
    raise StoppedError(message) if outcome.terminal else ProviderFailedError(message)


def _usage(usage: Usage) -> UsageMetadata | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    read = InputTokenDetails()
    if usage.cached_input_tokens is not None:
        read["cache_read"] = usage.cached_input_tokens
    if usage.cache_write_tokens is not None:
        read["cache_creation"] = usage.cache_write_tokens
    written = OutputTokenDetails()
    if usage.reasoning_tokens is not None:
        written["reasoning"] = usage.reasoning_tokens
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=read,
        output_token_details=written,
    )


def _metadata(completion: Completion) -> dict[str, Any]:
    timing = completion.timing
    return {
        "model_name": completion.model_answered or completion.model,
        "model_provider": completion.provider,
        "finish_reason": completion.finish_reason,
        "outcome": completion.outcome.value,
        "cost_usd": None if completion.cost is None else format(completion.cost, "f"),
        "attempts": completion.attempts,
        "request_id": completion.request_id,
        "ttft_ms": _ms(timing.ttft_s),
        "total_ms": _ms(timing.total_s),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
