"""Log likelihood of given continuations by the real SmolLM2, against what the server itself says unforced."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rag.core import Message, Outcome, Request
from rag.providers import llamacpp
from rag.providers.likelihood import LikelihoodWire
from rag.providers.llamacpp import LlamaServer, LocalProvider
from tests.fakes.server import FakeServer

PROMPT = "Question: What is the capital of France?\nAnswer:"


def scoring(*continuations: str) -> Request:
    return Request(messages=(Message(role="user", content=PROMPT),), continuations=continuations)


@pytest.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    made = LocalProvider("smollm2-135m")
    yield made
    await made.close()


def call(server: LlamaServer, path: str, body: dict[str, Any]) -> dict[str, Any]:
    url = server.base_url.removesuffix("/v1") + path
    headers = {"Authorization": f"Bearer {server.api_key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        value: dict[str, Any] = json.loads(reply.read())
    return value


async def test_the_likelihood_is_the_models_own(provider: LocalProvider) -> None:
    reply = await provider.complete(scoring(" Paris", " Paris, the", " Rome"))
    assert (reply.outcome, reply.text, reply.finish_reason) == (Outcome.OK, "Paris", "scored")
    paris, longer, rome = reply.logprobs
    assert paris.token == " Paris"
    assert longer.logprob < paris.logprob
    assert rome.logprob < paris.logprob
    (server,) = llamacpp._servers.values()
    tokens = call(server, "/tokenize", {"content": PROMPT, "add_special": True})["tokens"]
    free = call(server, "/completion", {"prompt": tokens, "n_predict": 1, "n_probs": 50, "temperature": 0})
    said = {item["token"]: item["logprob"] for item in free["completion_probabilities"][0]["top_logprobs"]}
    assert paris.logprob == pytest.approx(said[" Paris"], abs=1e-3)
    assert reply.usage.output_tokens == 0
    assert reply.usage.input_tokens == len(tokens) + 1 + 3 + 1
    assert reply.timing.total_s is not None


async def test_what_adds_no_token_is_not_certain(provider: LocalProvider) -> None:
    reply = await provider.complete(scoring("", " Paris"))
    assert (reply.outcome, reply.logprobs) == (Outcome.BAD_REQUEST, ())
    assert "'' adds no token" in reply.error


async def test_scores_do_not_depend_on_what_was_scored_before(provider: LocalProvider) -> None:
    first = await provider.complete(scoring(" Paris", " a large city in the north"))
    again = await provider.complete(scoring(" a large city in the north", " Paris"))
    for ours, theirs in zip(first.logprobs, reversed(again.logprobs), strict=True):
        assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)


async def test_tokens_that_are_part_of_a_character_are_scored_too(provider: LocalProvider) -> None:
    reply = await provider.complete(scoring(" a Če"))
    assert reply.outcome is Outcome.OK
    (server,) = llamacpp._servers.values()
    start = call(server, "/tokenize", {"content": PROMPT, "add_special": True})["tokens"]
    for item in reply.logprobs:
        whole = call(server, "/tokenize", {"content": PROMPT + item.token, "add_special": True})["tokens"]
        expected = 0.0
        for place in range(len(start), len(whole)):
            body = {"prompt": whole[:place], "n_predict": 1, "n_probs": 10**6, "temperature": 0}
            free = call(server, "/completion", body)["completion_probabilities"][0]
            expected += next(o["logprob"] for o in free["top_logprobs"] if o["id"] == whole[place])
        assert item.logprob == pytest.approx(expected, abs=1e-3)


async def test_a_server_that_cannot_score_is_an_outcome() -> None:
    with FakeServer() as server:
        url = server.base_url.removesuffix("/v1")
        wire = LikelihoodWire("lab", "mock", url, api_key="secret", timeout_s=5)
        reply = await wire.complete(scoring(" a"))
        await wire.close()
    assert reply.outcome is Outcome.NOT_FOUND
    assert reply.error is not None
    assert "secret" not in reply.error
    assert (reply.logprobs, reply.text, reply.usage.input_tokens) == ((), "", None)
    gone = LikelihoodWire("lab", "mock", url, api_key="secret", timeout_s=5)
    assert (await gone.complete(scoring(" a"))).outcome is Outcome.CONNECTION
    await gone.close()
