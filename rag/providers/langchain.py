"""Any LangChain chat model as a Provider: `langchain:module:Class[:model]`.

Its timings carry LangChain's own overhead (several times the true ones under concurrency), which is why its
completions name `langchain` as their provider. What LangChain hides stays hidden: a stream that was cut
looks like one that ended.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from rag.core import Completion, Message, Outcome, Request, TextSink, Usage
from rag.errors import ConfigError
from rag.providers.failures import classify, one_line
from rag.providers.reply import FINISHES
from rag.providers.transport import Clock
from rag.registry import load_attribute

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

__all__ = ["LangChainProvider"]

_FINISH_NAMES = ("finish_reason", "stop_reason", "done_reason")


class LangChainProvider:
    """Calls a LangChain chat model's `astream`, once per attempt.

    Args:
        chat: the model; its own retries should be off, they would hide calls and time.
        model: its name in records; read from the model where None.
        timeout_s: bound of one attempt in wall time.
    """

    def __init__(self, chat: BaseChatModel, *, model: str | None = None, timeout_s: float = 60.0) -> None:
        self._chat = chat
        self._model = model or _name_of(chat)
        self._timeout_s = timeout_s

    @classmethod
    def load(cls, path: str, *, timeout_s: float = 60.0) -> Self:
        """Return the provider for `module:Class`, `module:Class:model` or `module:instance`.

        A class is called with its model, without retries of its own and with streaming usage, as far as it
        knows these options.

        Raises:
            ConfigError: the path leads to no chat model, or the class cannot be constructed.
            MissingDependencyError: the module is not installed.
        """
        from langchain_core.language_models import BaseChatModel

        module, _, rest = path.partition(":")
        attribute, _, model = rest.partition(":")
        target = load_attribute(f"{module}:{attribute}")
        if isinstance(target, type) and issubclass(target, BaseChatModel):
            target = _construct(target, model)
        if not isinstance(target, BaseChatModel):
            raise ConfigError(f"langchain:{path} is a {type(target).__name__}, not a LangChain chat model.")
        return cls(target, model=model or None, timeout_s=timeout_s)

    @property
    def name(self) -> str:
        return "langchain"

    @property
    def model(self) -> str:
        return self._model

    def __repr__(self) -> str:
        return f"LangChainProvider({type(self._chat).__name__}:{self._model})"

    async def complete(self, request: Request, on_text: TextSink | None = None) -> Completion:
        """Answer `request` in one attempt; the library's exceptions become outcomes."""
        reading = _Reading(on_text)
        try:
            async with asyncio.timeout(self._timeout_s):
                await reading.follow(self._chat, request)
        except TimeoutError:
            reading.outcome = Outcome.TIMEOUT
            reading.error = f"no complete reply within {self._timeout_s:g} s"
        except Exception as exc:  # noqa: BLE001 - whatever a library raises is this attempt's end
            reading.fail(exc)
        return reading.completion(self._model)

    async def close(self) -> None:
        """Do nothing: a LangChain model owns its connections."""


class _Reading:
    """One reply while it is collected."""

    def __init__(self, on_text: TextSink | None) -> None:
        self.clock = Clock()
        self.outcome = Outcome.OK
        self.error: str | None = None
        self.wait: float | None = None
        self._on_text = on_text
        self._text: list[str] = []
        self._whole: Any = None
        self._streamed = True
        self._ended = False

    async def follow(self, chat: BaseChatModel, request: Request) -> None:
        from langchain_core.messages import AIMessageChunk

        self.clock.sent = time.perf_counter()
        async for chunk in chat.astream(_messages(request.messages), **_options(request)):
            self.clock.last = time.perf_counter()
            # A model that cannot stream gives its whole reply, which is no chunk.
            self._streamed = isinstance(chunk, AIMessageChunk)
            self._whole = chunk if self._whole is None else self._whole + chunk
            if text := str(chunk.text):
                if self.clock.first_content is None:
                    self.clock.first_content = self.clock.last
                self._text.append(text)
                if self._on_text is not None:
                    self._on_text(text)
        self._ended = True
        self.outcome = FINISHES.get(self._finish or "", Outcome.OK)
        if not self._text and getattr(self._whole, "tool_calls", None):
            self.outcome, self.error = Outcome.MALFORMED, "the model called a tool instead of answering"

    def fail(self, exc: Exception) -> None:
        """Read an exception: by its HTTP status where it has one, else by the name of its type."""
        status = getattr(exc, "status_code", None) or getattr(exc, "code", None)
        if isinstance(status, int) and 400 <= status < 600:
            response = getattr(exc, "response", None)
            failure = classify(status, getattr(response, "headers", None) or {}, _body_of(response, exc))
            self.outcome, self.error, self.wait = failure.outcome, failure.message, failure.retry_after_s
            return
        self.outcome = _by_type(exc)
        if self.outcome is Outcome.CONNECTION and self._text:
            self.outcome = Outcome.STREAM_TRUNCATED
        self.error = one_line(f"{type(exc).__name__}: {exc}")

    def completion(self, model: str) -> Completion:
        about = getattr(self._whole, "response_metadata", None) or {}
        answered = about.get("model_name") or about.get("model")
        usage = _usage(getattr(self._whole, "usage_metadata", None))
        if not self._ended:  # counted so far, not in all
            usage = replace(usage, output_tokens=None, reasoning_tokens=None)
        return Completion(
            text="".join(self._text),
            outcome=self.outcome,
            provider="langchain",
            model=model,
            timing=self.clock.timing(streamed=self._streamed),
            usage=usage,
            finish_reason=self._finish,
            model_answered=answered if isinstance(answered, str) else None,
            request_id=getattr(self._whole, "id", None),
            error=self.error,
            retry_after_s=self.wait,
        )

    @property
    def _finish(self) -> str | None:
        about = getattr(self._whole, "response_metadata", None) or {}
        return next((str(about[name]) for name in _FINISH_NAMES if about.get(name)), None)


def _messages(messages: tuple[Message, ...]) -> list[BaseMessage]:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    # Lone surrogates, from file names or broken extractions, have no UTF-8 form: clients fail on them.
    texts = [message.content.encode("utf-8", "replace").decode() for message in messages]
    return [kinds[message.role](content=text) for message, text in zip(messages, texts, strict=True)]


def _options(request: Request) -> dict[str, Any]:
    settings = request.settings
    options: dict[str, Any] = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "top_p": settings.top_p,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    if settings.response_schema is not None:
        schema = {"name": "reply", "schema": settings.response_schema, "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    return {name: value for name, value in options.items() if value is not None}


def _construct(kind: type[BaseChatModel], model: str) -> BaseChatModel:
    fields = kind.model_fields
    known = {*fields, *(field.alias for field in fields.values())}
    wanted: dict[str, Any] = {"max_retries": 0, "stream_usage": True}
    if model:
        wanted["model"] = model
    try:
        return kind(**{name: value for name, value in wanted.items() if name in known})
    except Exception as exc:
        raise ConfigError(f"cannot construct {kind.__name__}: {one_line(str(exc))}.") from exc


def _name_of(chat: BaseChatModel) -> str:
    for attribute in ("model_name", "model"):
        value = getattr(chat, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(chat).__name__


def _usage(counts: Any) -> Usage:
    """Read LangChain's usage_metadata, whose input includes cache reads and output includes reasoning."""
    if not counts:
        return Usage()
    read, written = counts.get("input_token_details") or {}, counts.get("output_token_details") or {}
    return Usage(
        input_tokens=counts.get("input_tokens"),
        cached_input_tokens=read.get("cache_read"),
        cache_write_tokens=read.get("cache_creation"),
        output_tokens=counts.get("output_tokens"),
        reasoning_tokens=written.get("reasoning"),
    )


def _body_of(response: Any, exc: Exception) -> bytes:
    content = getattr(response, "content", None)
    return content if isinstance(content, bytes) and content else str(exc).encode()


def _by_type(exc: Exception) -> Outcome:
    names = " ".join(kind.__name__.lower() for kind in type(exc).__mro__)
    if "timeout" in names:
        return Outcome.TIMEOUT
    if "connect" in names or "remoteprotocol" in names or "readerror" in names:
        return Outcome.CONNECTION
    if isinstance(exc, (TypeError, ValueError, NotImplementedError)):
        return Outcome.BAD_REQUEST
    return Outcome.SERVER_ERROR
