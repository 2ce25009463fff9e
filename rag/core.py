"""The words of the project: frozen values and the Protocols its parts meet at.

Every offset is in characters of `Document.text`; every clock reading is in seconds of a monotonic clock;
every amount of money is a `Decimal` in USD. `None` means unknown, never zero.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]

__all__ = [
    "Answer",
    "Chunk",
    "Citation",
    "Completion",
    "Document",
    "Embedder",
    "Hit",
    "Match",
    "Message",
    "Metadata",
    "Mode",
    "Outcome",
    "Page",
    "Provider",
    "RateLimits",
    "Request",
    "Role",
    "SearchResult",
    "SearchTiming",
    "Section",
    "Settings",
    "TextSink",
    "Timing",
    "TokenLogprob",
    "Usage",
    "chunk_id",
]

Metadata: TypeAlias = Mapping[str, str | int | float | bool]
Mode: TypeAlias = Literal["hybrid", "dense", "lexical"]
Role: TypeAlias = Literal["system", "user", "assistant"]
Match: TypeAlias = Literal["exact", "near", "aligned", "none"]
TextSink: TypeAlias = Callable[[str], None]


# ---------------------------------------------------------------- documents


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page of a paginated document: `text[start:end]` of its document, numbered from 1."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and the text under it up to the next heading of any level; `level` counts from 1."""

    title: str
    level: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A loaded document: its extracted text and where pages and sections lie in it.

    `source` is the path relative to the SOURCE that was given, a whole URL, or `file#id` for a row of a
    JSONL file. `pages` and `sections` are ordered and do not overlap; both may be empty. `language` is an
    ISO 639-1 code or None.
    """

    id: str
    source: str
    title: str
    media_type: str
    text: str
    pages: tuple[Page, ...] = ()
    sections: tuple[Section, ...] = ()
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A passage of a document; `document.text[start:end] == text` always.

    `page` is the page where the passage starts (None where the format has none), `section` the path of
    headings above it, such as `"Prices / Batch"`.
    """

    id: str
    document_id: str
    source: str
    title: str
    text: str
    start: int
    end: int
    page: int | None = None
    section: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)


def chunk_id(source: str, start: int, end: int, text: str) -> str:
    """Return the stable id of a passage: 24 hexadecimal digits of SHA-256 over its place and text."""
    key = f"{source}\0{start}\0{end}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(key).hexdigest()[:24]


# ---------------------------------------------------------------- retrieval


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A retrieved passage. Ranks count from 1; None where that retriever did not return it."""

    chunk: Chunk
    score: float
    dense_rank: int | None = None
    lexical_rank: int | None = None
    rerank_score: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchTiming:
    """Seconds spent in each part of a search; None where the mode has no such part."""

    embed_s: float | None
    dense_s: float | None
    lexical_s: float | None
    total_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """What a search returned, best first."""

    query: str
    collection: str
    mode: Mode
    hits: tuple[Hit, ...]
    timing: SearchTiming


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """A mark such as `[2]` in an answer, bound to words of a retrieved passage.

    `marker` is the number shown; `start` and `end` are offsets in the document, None when nothing matched.
    `verified` is True only for `match == "exact"`: the quote stands in the cited passage word for word,
    after normalising Unicode, white space and hyphenation. `near` is similar words, `aligned` the best
    supporting span for a mark without a quote, `none` no support found; all three are unverified.
    """

    marker: int
    chunk_id: str | None
    source: str | None
    page: int | None
    start: int | None
    end: int | None
    quote: str
    verified: bool
    match: Match


# ---------------------------------------------------------------- calls


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Sampling settings of a call; None leaves the provider's default.

    `top_logprobs` asks for the log probability of each token written, and of so many alternatives (0: of
    none), where the wire format has them.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_schema: Mapping[str, object] | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a provider is asked.

    `messages` is all that goes over a wire. `question`, `passages` and `choices` are the parts the prompt
    was made of, for providers that are not language models (`extractive`). `repeat` counts the times the same
    is asked on purpose: a reply that was stored for one is not given for another.

    With `continuations` no reply is asked for, but the log likelihood of each of them after the last message,
    taken as raw text: `Completion.logprobs` then has an entry for each. Only embedded models (`local:`) can.
    """

    messages: tuple[Message, ...]
    settings: Settings = Settings()
    question: str = ""
    passages: tuple[Chunk, ...] = ()
    choices: tuple[str, ...] = ()
    repeat: int = 0
    continuations: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens of a call, each None when unknown.

    `input_tokens` includes `cached_input_tokens` (read from the provider's prompt cache) and
    `cache_write_tokens`; `output_tokens` includes `reasoning_tokens`. Wire formats that count otherwise are
    normalised to this. Adding an unknown to a known gives unknown.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=_sum(self.input_tokens, other.input_tokens),
            cached_input_tokens=_sum(self.cached_input_tokens, other.cached_input_tokens),
            cache_write_tokens=_sum(self.cache_write_tokens, other.cache_write_tokens),
            output_tokens=_sum(self.output_tokens, other.output_tokens),
            reasoning_tokens=_sum(self.reasoning_tokens, other.reasoning_tokens),
        )


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Clock readings of one attempt, in seconds of `time.perf_counter()`; None where it never came.

    `sent` is stamped just before the request's first byte is written, the others as bytes are received,
    before they are parsed. `streamed` says whether the reply came piece by piece: without that a time to
    first token has no meaning and is None. `concurrency` is the number of calls in flight when it was sent.
    """

    sent: float
    headers: float | None = None
    first_reasoning: float | None = None
    first_content: float | None = None
    last: float | None = None
    streamed: bool = True
    concurrency: int = 1

    @property
    def ttft_s(self) -> float | None:
        """Time to first token: from sending to the first reasoning or content token."""
        firsts = [t for t in (self.first_reasoning, self.first_content) if t is not None]
        return min(firsts) - self.sent if firsts and self.streamed else None

    @property
    def total_s(self) -> float | None:
        """From sending to the last byte of the reply."""
        return None if self.last is None else self.last - self.sent

    def output_tokens_per_s(self, usage: Usage) -> float | None:
        """Decoding speed: tokens after the first one that came, over the time after it.

        Reasoning that was not shown was over by then, so its tokens do not count.
        """
        if usage.output_tokens is None or self.ttft_s is None or self.total_s is None:
            return None
        hidden = 0 if self.first_reasoning is not None else usage.reasoning_tokens or 0
        after_first = usage.output_tokens - hidden - 1
        decoding = self.total_s - self.ttft_s
        return after_first / decoding if after_first > 0 and decoding > 0 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimits:
    """What the headers of a reply say about the pace: each None where they say nothing that makes sense.

    `*_limit` and `*_remaining` are requests or tokens of the provider's window, `*_reset_s` the seconds from
    the reply's headers until the window starts afresh. `should_retry` is the server's own word on whether
    another attempt can help (`x-should-retry`).
    """

    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None
    should_retry: bool | None = None


class Outcome(StrEnum):
    """How a call ended. Failure is data: every outcome is counted and shown beside the scores.

    `not_found` is a model or address that does not exist there (404): a mistake in the config, not one of
    the system's answers, so it is not scored 0.
    """

    OK = "ok"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    MALFORMED = "malformed"
    STREAM_TRUNCATED = "stream_truncated"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    CANCELLED = "cancelled"

    @property
    def answered(self) -> bool:
        """True where the text is scored as it stands."""
        return self in {Outcome.OK, Outcome.LENGTH, Outcome.REFUSAL}

    @property
    def own_failure(self) -> bool:
        """True where the system itself failed: scored 0."""
        return self in {Outcome.CONTENT_FILTER, Outcome.CONTEXT_LENGTH, Outcome.BAD_REQUEST}

    @property
    def infrastructure(self) -> bool:
        """True where nothing was learnt about the system: unscored, tried again by `resume`."""
        return not self.answered and not self.own_failure

    @property
    def terminal(self) -> bool:
        """True where asking again cannot help until a person acts: stops that system at once."""
        return self in {Outcome.AUTH, Outcome.QUOTA, Outcome.NOT_FOUND}


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenLogprob:
    """A token of a reply with its natural log probability, and the likeliest tokens in its place."""

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """The reply to one request, whatever became of it.

    `provider` is the vendor or configured name, `model` the model asked for, `model_answered` the one the
    reply names. `attempts` counts requests sent: 0 where the call was held back, which `error` explains.
    `error` says in one line what went wrong, `retry_after_s` is the wait the provider asked for,
    `rate_limits` what its headers say about the pace. `cached` marks a stored reply: it took no time to
    speak of and cost nothing, and `original_cost` is what it cost when it was asked.
    """

    text: str
    outcome: Outcome
    provider: str
    model: str
    timing: Timing
    usage: Usage = Usage()
    reasoning: str = ""
    finish_reason: str | None = None
    cost: Decimal | None = None
    model_answered: str | None = None
    request_id: str | None = None
    attempts: int = 1
    error: str | None = None
    retry_after_s: float | None = None
    rate_limits: RateLimits | None = None
    logprobs: tuple[TokenLogprob, ...] = ()
    cached: bool = False
    original_cost: Decimal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer over a collection: the text shown, its checked citations and where it came from."""

    question: str
    text: str
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    refused: bool
    completion: Completion
    retrieval_s: float


# ---------------------------------------------------------------- Protocols


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors. Thread-safe; plain synchronous code.

    `fingerprint` changes whenever the vectors could: model, weights, pooling, prompts (not the runtime, whose
    vectors agree to cosine 0.9999).
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit rows of shape (len(texts), dimension)."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """Return one float32 unit vector of shape (dimension,)."""
        ...

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Return the (start, end) character offsets of each token of `text`, special tokens left out."""
        ...


@runtime_checkable
class Provider(Protocol):
    """A model that answers: a wire format at a base URL, an embedded model, or a rule.

    `complete` makes exactly one attempt and never raises for what a provider does: every end is an
    `Outcome`. Retries, limits and prices are added around it by `rag.providers.limits`.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    async def complete(self, request: Request, on_text: TextSink | None = None) -> Completion:
        """Answer `request`; with `on_text`, each piece of visible text is passed on as it arrives."""
        ...

    async def close(self) -> None:
        """Release connections and child processes; harmless when called twice."""
        ...
