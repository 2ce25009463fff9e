"""The OpenAI wire against the fake server: every cut, the clock, the usage, what is sent."""

from __future__ import annotations

import asyncio
import time

import orjson
import pytest

from rag.core import Message, Outcome, Request, Timing, Usage
from rag.errors import ConfigError
from rag.providers.catalog import vendors
from rag.providers.openai import OpenAIProvider, OpenAIReader, Quirks, read_usage
from rag.providers.sse import EventParser
from rag.providers.transport import Clock
from tests.fakes.openai_wire import OpenAIExchange
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import KEY, ask, provider


@pytest.mark.parametrize("fault", ["clean_cut", "fin_mid_body"])
async def test_a_cut_stream_is_complete_or_truncated_and_nothing_else(server: FakeServer, fault: str):
    text = "Ação: 60 cents 🐎."
    model = provider(server)
    server.script(Behaviour(text=text))
    whole = await model.complete(ask())
    exchange = OpenAIExchange(
        body={"model": "mock", "stream": True, "stream_options": {"include_usage": True}},
        body_hash="",
        behaviour=Behaviour(text=text),
        received=0,
    )
    seen = set()
    for at in range(1, len(exchange.events())):
        server.script(Behaviour(text=text, fault=fault, at=at))
        completion = await model.complete(ask())
        seen.add(completion.outcome)
        if completion.outcome is Outcome.OK:
            assert completion.text == text
        else:
            assert completion.outcome is Outcome.STREAM_TRUNCATED, at
            assert text.startswith(completion.text)
    assert seen == {Outcome.OK, Outcome.STREAM_TRUNCATED}
    assert whole.text == text
    await model.close()


async def test_a_drip_does_not_outlast_the_deadline(server: FakeServer):
    server.script(Behaviour(fault="drip", tokens_per_s=50))
    model = provider(server, timeout_s=0.5)
    started = time.perf_counter()
    completion = await model.complete(ask())
    assert completion.outcome is Outcome.TIMEOUT
    assert time.perf_counter() - started == pytest.approx(0.5, abs=0.2)
    await model.close()


async def test_the_clock(server: FakeServer):
    server.script(default=Behaviour(latency_s=0.1, tokens=21, tokens_per_s=100))
    model = provider(server)
    heard: list[str] = []
    timing = (await model.complete(ask(), heard.append)).timing
    assert len(heard) > 10
    assert timing.streamed
    assert timing.sent < timing.headers <= timing.first_content < timing.last
    assert timing.ttft_s == pytest.approx(0.1, abs=0.06)
    assert timing.total_s == pytest.approx(0.3, abs=0.1)
    assert timing.output_tokens_per_s(Usage(output_tokens=21)) == pytest.approx(100, rel=0.3)
    await model.close()


def test_reasoning_that_was_not_shown_is_no_speed_of_what_was():
    usage = Usage(output_tokens=2101, reasoning_tokens=2000)
    hidden = Timing(sent=0.0, first_content=20.0, last=21.0)
    shown = Timing(sent=0.0, first_reasoning=1.0, first_content=20.0, last=22.0)
    assert hidden.output_tokens_per_s(usage) == 100
    assert shown.output_tokens_per_s(usage) == 100
    assert hidden.output_tokens_per_s(Usage(output_tokens=2000, reasoning_tokens=2000)) is None


async def test_a_reply_in_one_piece_has_no_time_to_first_token(server: FakeServer):
    model = provider(server, stream=False)
    heard: list[str] = []
    completion = await model.complete(ask(), heard.append)
    assert heard == [completion.text]
    assert completion.timing.ttft_s is None
    assert completion.timing.total_s > 0
    await model.close()


async def test_reasoning_is_kept_apart(server: FakeServer):
    server.script(default=Behaviour(text="yes", reasoning="well, I think"))
    for stream in (True, False):
        model = provider(server, stream=stream)
        completion = await model.complete(ask())
        assert (completion.text, completion.reasoning) == ("yes", "well, I think")
        assert completion.usage.output_tokens == 4
        assert completion.usage.reasoning_tokens == 3
        assert completion.model_answered == "mock"
        assert completion.request_id == "req_fake_1"
        await model.close()


async def test_cancelling_is_not_swallowed_and_the_server_notices(server: FakeServer):
    server.script(default=Behaviour(tokens=2000, tokens_per_s=100))
    model = provider(server)
    task = asyncio.create_task(model.complete(ask()))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.3)
    assert server.counters.in_flight == 0
    assert server.counters.after_leaving < 4000
    await model.close()


async def test_connection_refused_names_the_place_and_nothing_secret():
    model = OpenAIProvider("lab", "m", "http://127.0.0.1:9/v1/hunter22", api_key=KEY)
    completion = await model.complete(ask())
    assert completion.outcome is Outcome.CONNECTION
    assert "http://127.0.0.1:9" in completion.error
    assert "hunter22" not in completion.error
    await model.close()


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://h/v1", "http://", "http://[::1/v1", "https://me:hunter22@host/v1"]
)
def test_an_unusable_base_url_is_refused_without_its_secret(url: str):
    with pytest.raises(ConfigError) as caught:
        OpenAIProvider("lab", "m", url)
    assert "hunter22" not in str(caught.value)


async def test_lone_surrogates_are_sent_as_replacements(server: FakeServer):
    model = provider(server)
    assert (await model.complete(ask("bad \udcff name"))).outcome is Outcome.OK
    await model.close()


def test_what_is_sent():
    request = Request(
        messages=(Message(role="system", content="be brief"), Message(role="user", content="hi")),
        settings=ask(
            temperature=0.0, max_tokens=9, stop=("END",), seed=3, response_schema={"type": "object"}
        ).settings,
    )
    body = OpenAIProvider("v", "m", "http://x/v1").payload(request)
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "temperature": 0.0,
        "max_tokens": 9,
        "stop": ["END"],
        "seed": 3,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": {"type": "object"}, "strict": True},
        },
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    quirks = Quirks(
        max_tokens_field="max_completion_tokens",
        seed_field="random_seed",
        stream_usage=False,
        json_schema=False,
    )
    odd = OpenAIProvider("v", "m", "http://x/v1", quirks=quirks).payload(request)
    assert odd["max_completion_tokens"] == 9
    assert odd["random_seed"] == 3
    assert not {"max_tokens", "seed", "stream_options", "response_format"} & set(odd)
    plain = OpenAIProvider("v", "m", "http://x/v1", stream=False).payload(ask())
    assert set(plain) == {"model", "messages"}


@pytest.mark.parametrize(
    ("given_usage", "expected"),
    [
        ({}, Usage()),
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(input_tokens=5, output_tokens=2)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
            Usage(
                input_tokens=100,
                cached_input_tokens=60,
                cache_write_tokens=10,
                output_tokens=20,
                reasoning_tokens=15,
            ),
        ),
        (  # xAI's own example: what was thought is counted beside what was written
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input_tokens=32, output_tokens=103, reasoning_tokens=94),
        ),
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 100,
                "total_tokens": 132,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            Usage(input_tokens=32, output_tokens=100, reasoning_tokens=94),
        ),
        (
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 94}},
            Usage(output_tokens=103, reasoning_tokens=94),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, Usage(input_tokens=9, cached_input_tokens=4)),
        ({"prompt_tokens": "9", "completion_tokens": -1, "prompt_tokens_details": None}, Usage()),
    ],
)
def test_usage(given_usage: dict[str, object], expected: Usage):
    assert read_usage(given_usage) == expected


def test_an_empty_finish_reason_ends_nothing():
    reader = OpenAIReader(Clock())
    reader.events([b'{"choices":[{"delta":{"content":"half"},"finish_reason":""}]}'])
    reader.end([])
    assert reader.outcome is Outcome.STREAM_TRUNCATED


@pytest.mark.parametrize("option", [0, orjson.OPT_INDENT_2])
def test_a_whole_reply_that_is_not_called_json_is_not_asked_for_again(option: int):
    reader, parser = OpenAIReader(Clock()), EventParser()
    reader.streamed = True
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    reader.events(parser.feed(orjson.dumps({"choices": [choice], "usage": usage}, option=option)))
    reader.end(parser.finish(), parser.stray)
    assert (reader.outcome, reader.text, reader.streamed) == (Outcome.OK, "yes", False)
    assert reader.usage == Usage(input_tokens=9, output_tokens=1)


async def test_a_refusal_whose_explanation_never_ends_is_a_refusal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rag.providers.wire._PATIENCE_S", 0.1)
    over = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\n{")
        await over.wait()
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    model = OpenAIProvider("lab", "m", f"http://127.0.0.1:{port}/v1", timeout_s=2)
    completion = await model.complete(ask())
    over.set()
    await model.close()
    listening.close()
    assert (completion.outcome, completion.retry_after_s) == (Outcome.RATE_LIMITED, 7)


@pytest.mark.parametrize("end", ["cut", "late", "refused"])
def test_tokens_counted_so_far_are_not_those_of_a_reply_that_broke_off(end: str):
    reader = OpenAIReader(Clock())
    reader.streamed = True
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    reader.events([orjson.dumps({"choices": [{"delta": {"content": "half"}}], "usage": usage})])
    if end == "cut":
        reader.end([])
    elif end == "late":
        reader.time_out(1.0)
    else:
        reader.events([b'{"error":{"message":"overloaded"}}'])
    assert reader.outcome.infrastructure
    assert reader.usage == Usage(input_tokens=9)


async def test_a_missing_usage_is_unknown(server: FakeServer):
    server.script(Behaviour(fault="no_usage"))
    model = provider(server)
    assert (await model.complete(ask())).usage == Usage()
    await model.close()


async def test_a_silent_model_that_ended_at_once_has_answered_nothing(server: FakeServer):
    server.script(Behaviour(text="", usage={"prompt_tokens": 3, "completion_tokens": 1}))
    model = provider(server)
    completion = await model.complete(ask())
    assert (completion.outcome, completion.text) == (Outcome.OK, "")
    await model.close()


def test_a_field_that_a_model_refuses_is_left_out():
    quirks = Quirks(omit=("temperature", "stop"))
    payload = OpenAIProvider("v", "m", "http://x/v1", quirks=quirks).payload(
        ask(temperature=0.0, stop=("E",))
    )
    assert not {"temperature", "stop"} & set(payload)


async def test_azure_by_deployment_version_and_its_own_header(server: FakeServer, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{server.root_url}/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    for stream in (True, False):
        model = OpenAIProvider.at(vendors()["azure"], "my deployment", timeout_s=5, stream=stream)
        assert model._url() == (
            f"{server.root_url}/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21"
        )
        completion = await model.complete(ask())
        assert completion.outcome is Outcome.OK, completion.error
        await model.close()


@pytest.mark.parametrize("stream", [True, False])
async def test_log_probabilities_where_they_are_asked_for(server: FakeServer, stream: bool):
    server.script(default=Behaviour(text="Olá 🐎"))
    model = provider(server, stream=stream)
    assert (await model.complete(ask())).logprobs == ()
    found = (await model.complete(ask(top_logprobs=2))).logprobs
    assert "".join(item.token for item in found) == "Olá 🐎"
    assert found[0].logprob == pytest.approx(-0.1)
    assert [token for token, _ in found[0].alternatives] == ["Olá", "Olá1"]
    await model.close()


def test_a_key_at_the_edge_of_a_message_is_blanked_before_the_message_is_cut():
    text = "x" * 170 + f" {KEY} is not a key"
    reader = OpenAIReader(Clock())
    reader.secret = KEY
    reader.whole(orjson.dumps({"error": {"message": text}}), "application/json")
    assert reader.outcome is Outcome.SERVER_ERROR
    assert KEY[:12] not in reader.error
