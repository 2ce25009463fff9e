"""A fake server per test, and providers that talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.core import Message, Request, Settings
from rag.providers.openai import OpenAIProvider
from tests.fakes.server import FakeServer

KEY = "sk-canary-0123456789abcdef"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


def ask(text: str = "Hi there", **settings: object) -> Request:
    return Request(messages=(Message(role="user", content=text),), settings=Settings(**settings))


def provider(
    server: FakeServer, *, stream: bool = True, timeout_s: float = 5.0, **options: object
) -> OpenAIProvider:
    return OpenAIProvider(
        "fake", "mock", server.base_url, api_key=KEY, stream=stream, timeout_s=timeout_s, **options
    )
