"""Log likelihood of given continuations, token by token, from a llama.cpp server.

Nothing of the wire formats tells it: `echo` returns no log probabilities of the prompt, and a grammar that
allows one text alone may spell it with other tokens. So each token of a continuation is forced in a call of
its own, by a bias, unless it was among the likeliest alternatives to another; the log probability that comes
back is the model's own, before the bias. The server keeps the prompt's state between the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from rag.core import Completion, Outcome, Request, TokenLogprob, Usage
from rag.providers.failures import classify, one_line
from rag.providers.transport import Clock, Transport, WireError

__all__ = ["LikelihoodWire"]

_FORCE = 10_000.0
_LIKELIEST = 256  # told at no cost: the letters of a question are mostly among them
_ALL = 1_000_000  # more than any vocabulary

# Log probabilities by the tokens before, then by token: options begin alike.
_Known = dict[tuple[int, ...], dict[int, float]]


class LikelihoodWire:
    """Answers a request by the log likelihood of each of its `continuations` after the last message.

    The `Completion.logprobs` are one entry for each continuation, in order: its text, and the sum over its
    tokens. Its `text` is the likeliest. Tokens are those that the continuation has when it is written right
    after the prompt, as lm-evaluation-harness counts them (Gao et al. 2021).

    Args:
        name: the provider's name in Completions.
        model: the model's name there.
        url: the server's address, without a path.
        api_key: sent as a bearer token.
        timeout_s: bound of the whole request, all its calls together.
    """

    def __init__(self, name: str, model: str, url: str, *, api_key: str, timeout_s: float) -> None:
        self._name = name
        self._model = model
        self._url = url
        self._key = api_key
        self._timeout_s = timeout_s
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
        self._transport = Transport(headers=headers)

    async def complete(self, request: Request) -> Completion:
        """Score `request.continuations`; what goes wrong becomes the Completion's outcome."""
        clock = Clock()
        found: list[TokenLogprob] = []
        known: _Known = {}
        tokens = 0
        outcome, error = Outcome.OK, None
        try:
            async with asyncio.timeout(self._timeout_s):
                prompt = request.messages[-1].content
                start = await self._tokens(prompt, clock)
                tokens = len(start)
                for text in request.continuations:
                    ids = await self._continuation(prompt, start, text, clock)
                    total = 0.0
                    for place, token in enumerate(ids):
                        total += await self._logprob([*start, *ids[:place]], token, clock, known)
                    found.append(TokenLogprob(token=text, logprob=total))
                    tokens += len(ids)
        except TimeoutError:
            outcome, error = Outcome.TIMEOUT, f"no end within {self._timeout_s:g} s"
        except WireError as exc:
            outcome, error = exc.outcome, one_line(str(exc), secret=self._key)
        whole = outcome is Outcome.OK
        best = max(found, key=lambda item: item.logprob, default=None)
        return Completion(
            text=best.token.strip() if whole and best else "",
            outcome=outcome,
            provider=self._name,
            model=self._model,
            model_answered=self._model,
            finish_reason="scored" if whole else None,
            timing=clock.timing(streamed=False),
            usage=Usage(input_tokens=tokens, output_tokens=0) if whole else Usage(),
            logprobs=tuple(found) if whole else (),
            error=error,
        )

    async def close(self) -> None:
        """Close the connections; harmless when called twice."""
        await self._transport.close()

    async def _tokens(self, text: str, clock: Clock) -> list[int]:
        reply = await self._post("/tokenize", {"content": text, "add_special": True}, clock)
        return [int(token) for token in reply["tokens"]]

    async def _continuation(self, prompt: str, start: Sequence[int], text: str, clock: Clock) -> list[int]:
        """Return the tokens that `text` adds to those of `prompt`; none would be a probability of one."""
        added = (await self._tokens(prompt + text, clock))[len(start) :]
        if not added:
            raise WireError(Outcome.BAD_REQUEST, f"the continuation {text!r} adds no token to the prompt")
        return added

    async def _logprob(self, before: Sequence[int], token: int, clock: Clock, known: _Known) -> float:
        told = known.setdefault(tuple(before), {})
        if token not in told:
            told.update(await self._forced(before, token, clock, n_probs=_LIKELIEST))
        if token not in told:
            # The token ends inside a character, of which the server tells nothing: it is looked up among all
            # the alternatives to a token that it does tell of.
            told.update(await self._forced(before, before[0], clock, n_probs=_ALL))
        if token not in told:
            raise WireError(Outcome.MALFORMED, f"the server did not tell the probability of token {token}")
        return told[token]

    async def _forced(
        self, before: Sequence[int], token: int, clock: Clock, *, n_probs: int
    ) -> dict[int, float]:
        """Return what is told of the token that the server was made to write, and of the likeliest ones."""
        body = {
            "prompt": before,
            "n_predict": 1,
            "n_probs": n_probs,
            "cache_prompt": True,
            "samplers": [],
            "logit_bias": [[token, _FORCE]],
            "response_fields": ["completion_probabilities"],
        }
        reply = await self._post("/completion", body, clock)
        told = reply.get("completion_probabilities") or []
        return {item["id"]: float(item["logprob"]) for own in told for item in (own, *own["top_logprobs"])}

    async def _post(self, path: str, body: dict[str, Any], clock: Clock) -> dict[str, Any]:
        """Return the JSON of a reply; `clock.sent` stays that of the first call.

        Raises:
            WireError: the call failed, or its reply is not what the server's version promises.
        """
        own = Clock()
        async with self._transport.post(f"{self._url}{path}", orjson.dumps(body), own) as reply:
            content = await reply.body()
            clock.sent = clock.sent if clock.sent is not None else own.sent
            clock.headers = clock.headers if clock.headers is not None else own.headers
            clock.last = own.last
            if reply.status != 200:
                failure = classify(reply.status, reply.headers, content, secret=self._key)
                raise WireError(failure.outcome, failure.message, failure.retry_after_s)
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError as exc:
            raise WireError(Outcome.MALFORMED, "the reply is not JSON") from exc
        if not isinstance(value, dict):
            raise WireError(Outcome.MALFORMED, f"the reply is a JSON {type(value).__name__}, not an object")
        return value
