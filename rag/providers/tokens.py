"""How many tokens a request has before it is sent: counted by the model's own tokenizer, or estimated.

Providers keep their tokenizers to themselves, so most counts are estimates. They go by the script of the
text, because that is what moves the number: four letters of English make a token, one of Chinese does. The
bounds hold the tokenizers of GPT-2 (SmolLM2's), GPT-4o, Llama 3, Mistral, Gemini and Claude on ordinary text;
the tests hold them against real ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from rag.core import Request

__all__ = ["ESTIMATE", "TokenCount", "count_tokens", "estimate_tokens"]

ESTIMATE = "estimated from length and alphabet"

# Tokens a character, low, likely and high, by kind of character; the first kind that fits counts.
_KINDS = (
    (re.compile(r"[A-Za-z ]"), (0.18, 0.22, 0.34)),
    (re.compile(r"[0-9]"), (0.33, 0.5, 1.1)),
    (re.compile(r"\s"), (0.1, 0.4, 1.0)),
    (re.compile(r"[!-/:-@\[-`{-~]"), (0.25, 0.6, 1.0)),
    (re.compile(r"[À-ɏ]"), (0.2, 0.4, 1.2)),
    (re.compile(r"[Ͱ-῿]"), (0.2, 0.35, 1.2)),
    (re.compile(r"[぀-ヿ㐀-鿿가-힯豈-﫿]"), (0.5, 0.8, 2.0)),
    (re.compile(r"."), (0.3, 1.2, 4.0)),
)
# What a chat format wraps around each message: role, separators, the opening of the reply.
_PER_MESSAGE = (3, 5, 16)
# Counting takes milliseconds a request; beyond this many an estimate has to do.
_COUNTED_AT_MOST = 300
_LOCAL = "local"
_TIMEOUT_S = 30.0

Tokenizer = Callable[[Request], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCount:
    """Tokens of a text, between `low` and `high`; one number thrice where the model's tokenizer `counted`."""

    low: int
    likely: int
    high: int
    counted: bool = False

    def __add__(self, other: TokenCount) -> TokenCount:
        return TokenCount(
            low=self.low + other.low,
            likely=self.likely + other.likely,
            high=self.high + other.high,
            counted=self.counted and other.counted,
        )

    def times(self, factor: int) -> TokenCount:
        """Return the count of `factor` such texts."""
        return TokenCount(
            low=self.low * factor, likely=self.likely * factor, high=self.high * factor, counted=self.counted
        )


NO_TOKENS = TokenCount(low=0, likely=0, high=0, counted=True)


def estimate_tokens(text: str) -> TokenCount:
    """Estimate how many tokens a model makes of `text`."""
    sums = [0.0, 0.0, 0.0]
    rest = text
    for kind, rates in _KINDS:
        if not rest:
            break
        rest, found = kind.subn("", rest) if kind.pattern != "." else ("", len(rest))
        sums = [total + found * rate for total, rate in zip(sums, rates, strict=True)]
    low, likely, high = sums
    return TokenCount(low=int(low), likely=round(likely), high=int(high) + 1 if text else 0)


def count_tokens(vendor: str, model: str, requests: Sequence[Request]) -> list[TokenCount]:
    """Return the tokens that each request has at `model`, its chat format included.

    A local model that is here counts with its own tokenizer (llama.cpp is started for that); nothing is
    fetched, and every other count is an estimate.
    """
    with _tokenizer(vendor, model) as counted:
        return [
            _exactly(counted(request)) if counted and at < _COUNTED_AT_MOST else _estimated(request)
            for at, request in enumerate(requests)
        ]


def _exactly(tokens: int) -> TokenCount:
    return TokenCount(low=tokens, likely=tokens, high=tokens, counted=True)


def _estimated(request: Request) -> TokenCount:
    total = NO_TOKENS
    for message in request.messages:
        total += estimate_tokens(message.content)
    low, likely, high = (len(request.messages) * wrapping for wrapping in _PER_MESSAGE)
    return total + TokenCount(low=low, likely=likely, high=high)


@contextmanager
def _tokenizer(vendor: str, model: str) -> Iterator[Tokenizer | None]:
    path = _file(model) if vendor == _LOCAL else None
    if path is None:
        yield None
        return
    from rag.errors import ProviderFailedError
    from rag.providers.llamacpp import LlamaServer

    server = LlamaServer(model, path, n_ctx=512)
    try:
        url = server.start().removesuffix("/v1")
    except ProviderFailedError:  # it will be said when the model is asked
        yield None
        return

    def post(route: str, body: object) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"}
        with urlopen(  # noqa: S310 - our own child, on loopback
            HttpRequest(f"{url}{route}", data=json.dumps(body).encode(), headers=headers),  # noqa: S310
            timeout=_TIMEOUT_S,
        ) as reply:
            found: dict[str, object] = json.load(reply)
            return found

    def count(request: Request) -> int:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        prompt = post("/apply-template", {"messages": messages})["prompt"]
        tokens = post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
        assert isinstance(tokens, list)
        return len(tokens)

    try:
        yield count
    finally:
        server.stop()


def _file(model: str) -> Path | None:
    from rag.models import model_status

    if model.endswith(".gguf"):
        path = Path(model).expanduser()
        return path if path.is_file() else None
    return next((row.path for row in model_status() if row.name == model and row.present), None)
