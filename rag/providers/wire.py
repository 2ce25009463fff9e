"""One attempt at a provider over HTTP: what every wire format shares.

A wire format is a `WireProvider`, which says what to post and where, and a `ReplyReader` for what comes back.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from urllib.parse import urlencode

import orjson

from rag.core import Completion, Message, Outcome, Request, TextSink
from rag.providers.catalog import Vendor
from rag.providers.failures import classify, one_line
from rag.providers.rates import read_rate_limits
from rag.providers.reply import ReplyReader
from rag.providers.sse import EventParser
from rag.providers.transport import Clock, Reply, Transport, WireError, checked_base_url, is_loopback

__all__ = ["Quirks", "WireProvider", "turns"]

_PATIENCE_S = 5.0  # for what comes after all that counts
_WHOLE = frozenset({"application/json", "text/html"})
_VERSION = re.compile(r"/v\d+\w*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Quirks:
    """Where a server or a model departs from its wire format.

    `stream` is False where a stream is refused, `json_schema` where a schema for the reply is. `omit` names
    fields of the request that are refused, such as `temperature` of reasoning models: they are left out, and
    the default holds. `thoughts` asks Gemini for summaries of the model's thoughts.

    Of the OpenAI format: `max_tokens_field` is the name of the output limit, `stream_usage` whether
    `stream_options.include_usage` is known, `seed_field` the name of the seed (`random_seed` at Mistral),
    None where none is taken.
    """

    stream: bool = True
    json_schema: bool = True
    omit: tuple[str, ...] = ()
    thoughts: bool = False
    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    seed_field: str | None = "seed"


class WireProvider(ABC):
    """A model behind an HTTP API. One call of `complete` is one attempt.

    Args:
        name: the vendor or configured name, for records.
        model: what the server calls the model.
        base_url: up to and with the version, such as `https://api.openai.com/v1`; a query in it is kept.
        api_key: kept out of every message and repr.
        auth_header: the header that carries the key, `bearer` for a bearer token; None: the format's own.
        quirks: where the server departs from the format.
        timeout_s: bound of one attempt in wall time, however the bytes trickle.
        stream: ask for a stream (the time to the first token is known only then).

    Raises:
        ConfigError: `base_url` cannot be used.
    """

    auth: ClassVar[str] = "bearer"
    """The header of this format that carries the key."""
    headers: ClassVar[Mapping[str, str]] = {}
    """Headers that this format wants with every request."""
    version: ClassVar[str] = ""
    """What is added to a base URL that names no version."""
    whole_list: ClassVar[Mapping[str, str]] = {}
    """The query that has a list of models in one page."""
    reader: ClassVar[type[ReplyReader]]
    """Reads this format's replies."""

    def __init__(
        self,
        name: str,
        model: str,
        base_url: str,
        *,
        api_key: str | None = None,
        auth_header: str | None = None,
        quirks: Quirks = Quirks(),
        timeout_s: float = 60.0,
        stream: bool = True,
    ) -> None:
        self._name = name
        self._model = model
        address, _, self._query = base_url.partition("?")
        self._base_url = self.versioned(checked_base_url(address))
        self._key = api_key
        self._quirks = quirks
        self._timeout_s = timeout_s
        self._stream = stream and quirks.stream
        headers = {"Content-Type": "application/json", **self.credentials(api_key, auth_header)}
        self._transport = Transport(headers=headers, proxies=not is_loopback(self._base_url))

    @classmethod
    def at(cls, vendor: Vendor, model: str, *, timeout_s: float, stream: bool = True) -> Self:
        """Return the provider of `model` at a vendor of the catalog or the config.

        Raises:
            ConfigError: the vendor's address needs a variable that the environment lacks.
            MissingKeyError: the vendor needs a key and the environment holds none.
        """
        query = urlencode(vendor.parameters())
        return cls(
            vendor.name,
            model,
            vendor.url(model) + (f"?{query}" if query else ""),
            api_key=vendor.key(),
            auth_header=vendor.auth_header,
            quirks=Quirks(**vendor.quirks_of(model)),
            timeout_s=timeout_s,
            stream=stream,
        )

    @classmethod
    def versioned(cls, address: str) -> str:
        """Return a base URL with the version of this format, unless it names one."""
        return address if _VERSION.search(address) else address + cls.version

    @classmethod
    def credentials(cls, key: str | None, auth_header: str | None = None) -> dict[str, str]:
        """Return the headers that show who asks, and in which version of the format."""
        if not key:
            return dict(cls.headers)
        header = auth_header or cls.auth
        bearer = header == "bearer"
        return {**cls.headers, "Authorization" if bearer else header: f"Bearer {key}" if bearer else key}

    @property
    def name(self) -> str:
        return self._name

    @property
    def model(self) -> str:
        return self._model

    @property
    def base_url(self) -> str:
        return self._base_url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name}:{self._model})"

    @abstractmethod
    def path(self) -> str:
        """Return what follows the base URL, from its slash on; it may hold a query."""

    @abstractmethod
    def payload(self, request: Request) -> dict[str, Any]:
        """Return the body of the POST for `request`."""

    async def complete(self, request: Request, on_text: TextSink | None = None) -> Completion:
        """Answer `request` in one attempt; what goes wrong becomes the Completion's outcome.

        Text received before a failure is kept. Cancelling the task closes the connection and is not
        swallowed.
        """
        clock = Clock()
        reader = self.reader(clock, on_text)
        reader.secret = self._key
        try:
            body = _dumps(self.payload(request))
            async with asyncio.timeout(self._timeout_s) as limit:
                await self._attempt(body, reader, limit)
        except TimeoutError:
            reader.time_out(self._timeout_s)
        except WireError as exc:
            reader.fail(exc.outcome, str(exc), exc.retry_after_s)
        return self._completion(reader)

    async def close(self) -> None:
        await self._transport.close()

    async def _attempt(self, body: bytes, reader: ReplyReader, limit: asyncio.Timeout) -> None:
        async with self._transport.post(self._url(), body, reader.clock) as reply:
            reader.headers = reply.headers
            if reply.status != 200:
                body = await _whatever_comes(reply)
                failure = classify(reply.status, reply.headers, body, secret=self._key)
                reader.fail(failure.outcome, failure.message, failure.retry_after_s)
            elif reply.media_type == "text/event-stream" or (self._stream and reply.media_type not in _WHOLE):
                reader.streamed = True
                await self._follow(reply, reader, limit)
            else:
                reader.whole(await reply.body(), reply.media_type)

    async def _follow(self, reply: Reply, reader: ReplyReader, limit: asyncio.Timeout) -> None:
        parser = EventParser()
        deadline = limit.when() or math.inf
        while not reader.done:
            try:
                piece = await reply.piece()
            except WireError as exc:
                reader.end(parser.finish(), parser.stray, broken=exc)
                return
            if not piece:
                reader.end(parser.finish(), parser.stray)
                return
            events = parser.feed(piece)
            reader.events(events)
            if parser.overflow:
                reader.fail(Outcome.MALFORMED, "one event of the stream exceeds 10 MB")
                return
            if events and reader.finish_reason is not None:
                # The text is complete; usage and the last event follow at once or, from some servers, never.
                limit.reschedule(min(deadline, asyncio.get_running_loop().time() + _PATIENCE_S))

    def _url(self) -> str:
        path = self.path()
        joint = "&" if "?" in path else "?"
        return f"{self._base_url}{path}{joint}{self._query}" if self._query else f"{self._base_url}{path}"

    def _completion(self, reader: ReplyReader) -> Completion:
        return Completion(
            text=reader.text,
            outcome=reader.outcome,
            provider=self._name,
            model=self._model,
            timing=reader.clock.timing(streamed=reader.streamed),
            usage=reader.usage,
            reasoning=reader.reasoning,
            finish_reason=reader.finish_reason,
            model_answered=reader.model,
            request_id=reader.request_id,
            error=None if reader.error is None else one_line(reader.error, secret=self._key),
            retry_after_s=reader.retry_after_s,
            rate_limits=read_rate_limits(reader.headers),
            logprobs=tuple(reader.logprobs),
        )


def turns(messages: Iterable[Message]) -> tuple[str, list[tuple[str, str]]]:
    """Return the system text and the turns (role, text) in strict alternation, for formats that want that.

    System messages come before everything else, wherever they stood; neighbours of one role are joined by an
    empty line. Where there is nothing but system text, it is the user's turn.
    """
    system: list[str] = []
    taken: list[tuple[str, str]] = []
    for message in messages:
        if message.role == "system":
            system.append(message.content)
        elif taken and taken[-1][0] == message.role:
            taken[-1] = (message.role, f"{taken[-1][1]}\n\n{message.content}")
        else:
            taken.append((message.role, message.content))
    text = "\n\n".join(system)
    return (text, taken) if taken else ("", [("user", text)])


async def _whatever_comes(reply: Reply) -> bytes:
    """Read the body of a refusal: the status counts even where its explanation breaks off or never ends."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await reply.body()
    except (WireError, TimeoutError):
        return b""


def _dumps(payload: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(payload)
    except TypeError:
        pass
    try:
        # Lone surrogates, from file names or broken extractions, have no UTF-8 form.
        return json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
    except (TypeError, ValueError) as exc:
        raise WireError(Outcome.BAD_REQUEST, f"the request cannot be written as JSON: {exc}") from exc
