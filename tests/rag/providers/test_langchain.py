"""LangChain chat models as providers: text, usage, outcomes, no retries of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rag.core import Outcome, Usage
from rag.errors import ConfigError, MissingDependencyError
from rag.providers.langchain import LangChainProvider
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import KEY, ask


@asynccontextmanager
async def chat_openai(server: FakeServer, *, timeout_s: float) -> AsyncIterator[LangChainProvider]:
    """langchain-openai keeps HTTP clients by URL for the life of the process, beyond their event loop; a test
    whose server got the port of an earlier one would be given a dead connection."""
    from langchain_openai.chat_models import _client_utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        patch.setenv("OPENAI_BASE_URL", server.base_url)
        _client_utils._cached_async_httpx_client.cache_clear()
        provider = LangChainProvider.load("langchain_openai:ChatOpenAI:mock", timeout_s=timeout_s)
        yield provider
        await provider._chat.root_async_client.close()


@pytest.fixture
async def chat(server: FakeServer) -> AsyncIterator[LangChainProvider]:
    async with chat_openai(server, timeout_s=5) as provider:
        yield provider


async def test_text_usage_and_settings(chat: LangChainProvider, server: FakeServer):
    server.script(default=Behaviour(text="one two three four", latency_s=0.05))
    heard: list[str] = []
    completion = await chat.complete(ask(max_tokens=3, temperature=0.0, seed=1), heard.append)
    assert (completion.text, completion.outcome) == ("one two three", Outcome.LENGTH)
    assert "".join(heard) == completion.text
    assert (completion.usage.input_tokens, completion.usage.output_tokens) == (6, 3)
    assert (completion.provider, completion.model) == ("langchain", "mock")
    assert completion.timing.ttft_s >= 0.04


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("rate_limited", Outcome.RATE_LIMITED),
        ("quota", Outcome.QUOTA),
        ("auth", Outcome.AUTH),
        ("server_error", Outcome.SERVER_ERROR),
        ("context_length", Outcome.CONTEXT_LENGTH),
        ("not_found", Outcome.NOT_FOUND),
        ("fin", Outcome.CONNECTION),
        ("tool_calls", Outcome.MALFORMED),
    ],
)
async def test_exceptions_become_outcomes_without_hidden_retries(
    chat: LangChainProvider, server: FakeServer, fault: str, outcome: Outcome
):
    server.script(default=Behaviour(fault=fault, wait="2"))
    completion = await chat.complete(ask())
    assert completion.outcome is outcome
    assert server.counters.requests == 1
    assert KEY not in repr(completion)
    assert completion.retry_after_s == (2 if fault == "rate_limited" else None)


async def test_the_timeout_is_ours(server: FakeServer):
    server.script(default=Behaviour(fault="never_reply"))
    async with chat_openai(server, timeout_s=0.3) as chat:
        assert (await chat.complete(ask())).outcome is Outcome.TIMEOUT


async def test_only_a_model_that_streams_has_a_time_to_first_token():
    from langchain_core.language_models import FakeListChatModel

    streaming = FakeListChatModel(responses=["hello"])
    whole = FakeListChatModel(responses=["hello"], disable_streaming=True)
    timing = (await LangChainProvider(streaming).complete(ask())).timing
    assert timing.streamed
    assert timing.ttft_s is not None
    timing = (await LangChainProvider(whole).complete(ask())).timing
    assert not timing.streamed
    assert timing.ttft_s is None
    assert timing.total_s is not None


async def test_tokens_counted_before_a_stream_broke_off_are_not_those_of_the_reply():
    from langchain_core.language_models import FakeListChatModel
    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatGenerationChunk

    class Broken(FakeListChatModel):
        async def _astream(self, *_: object, **__: object) -> AsyncIterator[ChatGenerationChunk]:
            counted = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
            yield ChatGenerationChunk(message=AIMessageChunk(content="half", usage_metadata=counted))
            raise ConnectionError("gone")

    completion = await LangChainProvider(Broken(responses=[])).complete(ask())
    assert (completion.outcome, completion.text) == (Outcome.STREAM_TRUNCATED, "half")
    assert completion.usage == Usage(input_tokens=9)


async def test_an_instance_without_usage():
    from langchain_core.language_models import FakeListChatModel

    chat = LangChainProvider(FakeListChatModel(responses=["hello"]))
    completion = await chat.complete(ask())
    assert (completion.text, completion.outcome) == ("hello", Outcome.OK)
    assert completion.usage.output_tokens is None
    assert completion.model == "FakeListChatModel"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("langchain_core.language_models:FakeListChatModel", ConfigError),
        ("langchain_core.language_models:Nothing", ConfigError),
        ("no_such_module:Chat", MissingDependencyError),
        ("langchain_openai", ConfigError),
    ],
)
def test_paths_that_lead_nowhere(path: str, error: type[Exception]):
    with pytest.raises(error):
        LangChainProvider.load(path)
