"""The Gemini wire: what is sent, how parts, ends and counts are read, what its refusals mean."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from rag.core import Message, Outcome, Request, Settings, TokenLogprob, Usage
from rag.providers import wire
from rag.providers.catalog import vendors
from rag.providers.failures import classify
from rag.providers.gemini import GeminiProvider, GeminiReader, read_usage
from rag.providers.sse import EventParser
from rag.providers.transport import Clock
from rag.providers.wire import Quirks
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import KEY, ask, provider

CALL = {"functionCall": {"name": "find", "args": {}}}


def whole(candidate: dict[str, Any] | None = None, **reply: Any) -> GeminiReader:
    """Return the reader of a whole reply with this one candidate."""
    reader = GeminiReader(Clock())
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
    body = {"usageMetadata": counts, "modelVersion": "gemini-x", "responseId": "r", **reply}
    if candidate is not None:
        body["candidates"] = [candidate]
    reader.whole(orjson.dumps(body), "application/json")
    return reader


def saying(text: str, finish: str | None = "STOP") -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish, "index": 0}


def test_what_is_sent():
    request = Request(
        messages=(
            Message(role="system", content="be brief"),
            Message(role="user", content="hi"),
            Message(role="assistant", content="yes?"),
            Message(role="user", content="why?"),
            Message(role="user", content="how?"),
        ),
        settings=Settings(
            temperature=0.0,
            top_p=0.9,
            max_tokens=9,
            stop=("END",),
            seed=3,
            top_logprobs=2,
            response_schema={"type": "object"},
        ),
    )
    assert GeminiProvider("v", "gemini-x", "http://x").payload(request) == {
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "yes?"}]},
            {"role": "user", "parts": [{"text": "why?\n\nhow?"}]},
        ],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "generationConfig": {
            "temperature": 0.0,
            "topP": 0.9,
            "maxOutputTokens": 9,
            "stopSequences": ["END"],
            "seed": 3,
            "responseLogprobs": True,
            "logprobs": 2,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object"},
        },
    }
    quirks = Quirks(omit=("temperature", "topP"), json_schema=False, thoughts=True)
    config = GeminiProvider("v", "m", "http://x", quirks=quirks).payload(request)["generationConfig"]
    assert not {"temperature", "topP", "responseMimeType", "responseJsonSchema"} & set(config)
    assert config["thinkingConfig"] == {"includeThoughts": True}
    assert set(GeminiProvider("v", "m", "http://x").payload(ask())) == {"contents"}


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gemini-2.5-flash", True),
        ("gemini-3-pro", True),
        ("gemini-2.5-flash-image", False),
        ("gemma-3", False),
    ],
)
def test_thoughts_are_asked_of_models_that_think(model: str, thinks: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    payload = GeminiProvider.at(vendors()["google"], model, timeout_s=5).payload(ask())
    assert ("generationConfig" in payload) is thinks


@pytest.mark.parametrize(
    ("base_url", "model", "stream", "url"),
    [
        ("http://x", "gemini-x", True, "http://x/v1beta/models/gemini-x:streamGenerateContent?alt=sse"),
        ("http://x/v1beta/", "gemini-x", False, "http://x/v1beta/models/gemini-x:generateContent"),
        ("http://x/v1", "tunedModels/my one", False, "http://x/v1/tunedModels/my%20one:generateContent"),
        ("http://x?key=1", "m", True, "http://x/v1beta/models/m:streamGenerateContent?alt=sse&key=1"),
        ("http://x?key=1", "m", False, "http://x/v1beta/models/m:generateContent?key=1"),
    ],
)
def test_where_it_is_sent(base_url: str, model: str, stream: bool, url: str):
    assert GeminiProvider("v", model, base_url, stream=stream)._url() == url


@pytest.mark.parametrize("stream", [True, False])
async def test_text_thoughts_counts_ids_and_logprobs(server: FakeServer, stream: bool):
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 15,
        "toolUsePromptTokenCount": 5,
        "totalTokenCount": 140,
    }
    server.script(default=Behaviour(text="Olá 🐎", reasoning="well, I think", usage=usage))
    model = provider(server, wire="gemini", stream=stream)
    heard: list[str] = []
    completion = await model.complete(ask(top_logprobs=2), heard.append)
    assert (completion.outcome, completion.text) == (Outcome.OK, "Olá 🐎")
    assert "".join(heard) == completion.text
    assert completion.reasoning == "well, I think"
    assert completion.usage == Usage(
        input_tokens=105, cached_input_tokens=60, output_tokens=35, reasoning_tokens=15
    )
    assert (completion.finish_reason, completion.model_answered) == ("STOP", "mock")
    assert completion.request_id == "resp-fake"
    assert "".join(item.token for item in completion.logprobs) == completion.text
    first = completion.logprobs[0]
    assert first == TokenLogprob(
        token="Olá", logprob=-0.1, alternatives=(("Olá", -0.1), ("Olá1", pytest.approx(-0.7931)))
    )
    timing = completion.timing
    assert timing.sent < timing.first_reasoning <= timing.first_content <= timing.last
    await model.close()


@pytest.mark.parametrize(
    ("candidate", "outcome", "text"),
    [
        (saying("Hi!"), Outcome.OK, "Hi!"),
        (saying("Hi!", "MAX_TOKENS"), Outcome.LENGTH, "Hi!"),
        (saying("Hi!", "SOMETHING_NEW"), Outcome.OK, "Hi!"),
        (saying(""), Outcome.OK, ""),
        (saying("half", "SAFETY"), Outcome.CONTENT_FILTER, "half"),
        ({"finishReason": "SAFETY", "index": 0}, Outcome.CONTENT_FILTER, ""),
        ({"finishReason": "SAFETY", "content": {"parts": [CALL]}}, Outcome.CONTENT_FILTER, ""),
        ({"finishReason": "RECITATION"}, Outcome.CONTENT_FILTER, ""),
        ({"finishReason": "SPII"}, Outcome.CONTENT_FILTER, ""),
        ({"finishReason": "MAX_TOKENS", "content": {"role": "model"}}, Outcome.LENGTH, ""),
        ({"finishReason": "STOP", "content": {"role": "model"}}, Outcome.MALFORMED, ""),
        ({"finishReason": "STOP", "content": {"parts": [CALL]}}, Outcome.MALFORMED, ""),
        ({"finishReason": "MALFORMED_FUNCTION_CALL"}, Outcome.MALFORMED, ""),
        ({"finishReason": "UNEXPECTED_TOOL_CALL"}, Outcome.MALFORMED, ""),
        ({"finishReason": "OTHER"}, Outcome.MALFORMED, ""),
        ({"content": "no object", "finishReason": "STOP"}, Outcome.MALFORMED, ""),
    ],
)
def test_every_end_has_its_outcome(candidate: dict[str, Any], outcome: Outcome, text: str):
    reader = whole(candidate)
    assert (reader.outcome, reader.text) == (outcome, text)
    assert (reader.error is None) == (outcome.answered or outcome is Outcome.CONTENT_FILTER)


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "NEW_REASON"])
def test_a_blocked_prompt_is_filtered(reason: str):
    reader = whole(promptFeedback={"blockReason": reason}, usageMetadata={"promptTokenCount": 9})
    assert (reader.outcome, reader.finish_reason) == (Outcome.CONTENT_FILTER, reason)
    assert reader.usage.output_tokens == 0


def test_an_empty_block_reason_blocks_nothing():
    assert whole(saying("Hi!"), promptFeedback={"blockReason": ""}).outcome is Outcome.OK
    assert whole(promptFeedback={"blockReason": ""}).outcome is Outcome.MALFORMED


BARE = b"""{
  "error": {
    "code": 503,
    "message": "The model is overloaded.",
    "status": "UNAVAILABLE"
  }
}
"""


@pytest.mark.parametrize("error", [BARE, b"[" + BARE.strip() + b"]\n", b"[" + BARE + b"]\n"])
@pytest.mark.parametrize("size", [1, 7, 4000])
def test_an_error_of_bare_lines_in_a_stream(error: bytes, size: int):
    stream = b"data: " + orjson.dumps({"candidates": [saying("half an", None)]}) + b"\r\n\r\n" + error
    reader, parser = GeminiReader(Clock()), EventParser()
    for at in range(0, len(stream), size):
        reader.events(parser.feed(stream[at : at + size]))
    reader.end(parser.finish(), parser.stray)
    assert (reader.outcome, reader.text) == (Outcome.OVERLOADED, "half an")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, Usage()),
        ({"totalTokenCount": 3}, Usage()),
        (
            {"promptTokenCount": 5},
            Usage(input_tokens=5, cached_input_tokens=0, output_tokens=0, reasoning_tokens=0),
        ),
        ({"promptTokenCount": "5"}, Usage()),
    ],
)
def test_usage(usage: dict[str, Any], expected: Usage):
    assert read_usage(usage) == expected


RPC = "type.googleapis.com/google.rpc."
WORDS = "You exceeded your current quota, please check your plan and billing details."


def refusal(code: int, status: str, message: str, *details: Any) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": message, "status": status, "details": details}})


def violation(*ids: str) -> dict[str, Any]:
    return {"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": name} for name in ids]}


DELAY = {"@type": f"{RPC}RetryInfo", "retryDelay": "34.074824224s"}
MINUTE, DAY = "GenerateRequestsPerMinutePerProjectPerModel", "GenerateRequestsPerDayPerProjectPerModel"


@pytest.mark.parametrize(
    ("status", "body", "outcome", "wait"),
    [
        (429, refusal(429, "RESOURCE_EXHAUSTED", WORDS, violation(MINUTE), DELAY), "rate_limited", 34.07),
        (429, refusal(429, "RESOURCE_EXHAUSTED", WORDS, DELAY), "rate_limited", 34.07),
        (429, refusal(429, "RESOURCE_EXHAUSTED", WORDS, violation(MINUTE)), "rate_limited", None),
        (
            429,
            refusal(429, "RESOURCE_EXHAUSTED", f"{WORDS} Please retry in 3.5s.", violation(MINUTE)),
            "rate_limited",
            3.5,
        ),
        (429, refusal(429, "RESOURCE_EXHAUSTED", WORDS, violation(MINUTE, DAY), DELAY), "quota", None),
        (
            429,
            refusal(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
            "rate_limited",
            None,
        ),
        (503, refusal(503, "RESOURCE_EXHAUSTED", "exhausted", DELAY), "overloaded", 34.07),
        (503, refusal(503, "UNAVAILABLE", "overloaded"), "overloaded", None),
        (
            400,
            refusal(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}),
            "auth",
            None,
        ),
        (
            400,
            refusal(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            "auth",
            None,
        ),
        (400, refusal(400, "INVALID_ARGUMENT", "Invalid JSON payload"), "bad_request", None),
        (
            400,
            refusal(
                400,
                "INVALID_ARGUMENT",
                "The input token count (2) exceeds the maximum number of tokens allowed (1).",
            ),
            "context_length",
            None,
        ),
        (403, refusal(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), "auth", None),
        (504, refusal(504, "DEADLINE_EXCEEDED", "Deadline expired"), "timeout", None),
        (429, refusal(429, "RESOURCE_EXHAUSTED", WORDS, "odd", {"violations": "odd"}), "quota", None),
    ],
)
def test_refusals(status: int, body: bytes, outcome: str, wait: float | None):
    for given in (body, b"[" + body + b"]"):
        failure = classify(status, {}, given)
        assert failure.outcome == outcome
        assert failure.retry_after_s == (None if wait is None else pytest.approx(wait, abs=0.01))


async def test_a_finish_reason_in_every_event_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire, "_PATIENCE_S", 0.2)
    event = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}\n\n'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}]}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(6):
            writer.write(event)
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        model = GeminiProvider("g", "m", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        completion = await model.complete(ask())
        await model.close()
    assert (completion.outcome, completion.text) == (Outcome.OK, "a" * 6)
