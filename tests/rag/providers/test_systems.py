"""The table of the systems that work: each vendor of the catalog, resolved and called as a user would.

`tests/golden/systems.md` is made here. Every row comes from two real calls, streamed and not, at the vendor's
own path, of which only scheme, host and port are exchanged for the fake server's. Run with UPDATE_GOLDEN=1 to
write it anew. `pytest -m live tests/rag/providers/test_systems.py` makes the same calls at the real endpoints
whose keys are set (local servers: those that are reachable) and notes the day in
`tests/golden/systems_live.json`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import pytest

from rag.config import Config
from rag.core import Completion, Outcome
from rag.errors import UsageError
from rag.pricing import cost
from rag.providers import catalog, resolve
from rag.providers.catalog import Vendor
from rag.providers.check import check_provider
from tests.conftest import GOLDEN, assert_golden
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import ask

LIVE = GOLDEN / "systems_live.json"
KEY = "sk-canary-systems-0123456789"
SAID = "All systems are ready."
# What HANDBOOK.md names under "The systems that must work", and how the catalog calls them.
SYSTEMS = {
    "OpenAI": "openai",
    "Anthropic": "anthropic",
    "Google Gemini": "google",
    "Groq": "groq",
    "xAI Grok": "xai",
    "Mistral": "mistral",
    "DeepInfra": "deepinfra",
    "Microsoft Azure OpenAI": "azure",
    "Hugging Face router": "huggingface",
    "Together": "together",
    "Fireworks": "fireworks",
    "OpenRouter": "openrouter",
    "DeepSeek": "deepseek",
    "Cerebras": "cerebras",
    "LM Studio": "lmstudio",
    "Jan": "jan",
    "GPT4All": "gpt4all",
    "Ollama": "ollama",
    "llama.cpp": "llamacpp",
    "vLLM": "vllm",
}
HEAD = """# The systems that work

Written by `tests/rag/providers/test_systems.py` from real calls, streamed and plain, at each vendor's own
path. *Played* calls went to the fake provider server of `tests/fakes`, which speaks the vendor's wire format
on real sockets. *Seen live* is the day on which `pytest -m live` made the same calls at the real endpoint; it
is empty until somebody with a key runs it. *Price* is the day and the source of the model's price.

| system | REF | wire | streaming | usage | price | played by the fake server | seen live, on |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What two calls of a system showed."""

    streamed: Completion
    plain: Completion
    price: str


def redirected(vendor: Vendor, server: FakeServer) -> Vendor:
    """Return the vendor at the fake server: same path, another host. Azure's host is the environment's."""
    if "{AZURE" in vendor.base_url:
        return vendor
    parts = urlsplit(vendor.base_url)
    return replace(vendor, base_url=urlunsplit(("http", f"127.0.0.1:{server.port}", parts.path, "", "")))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """The fake server in the place of every vendor, with a key for each."""
    known = catalog.vendors()
    for vendor in known.values():
        for name in vendor.key_env:
            monkeypatch.delenv(name, raising=False)
        if vendor.key_env:
            monkeypatch.setenv(vendor.key_env[0], KEY)
    with FakeServer(default=Behaviour(text=SAID)) as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"http://127.0.0.1:{server.port}")
        table = {name: redirected(vendor, server) for name, vendor in known.items()}
        monkeypatch.setattr(catalog, "vendors", lambda: table)
        yield server


def habits(name: str) -> Behaviour:
    """Return how the fake plays a vendor: Mistral's streams carry usage that nobody asked for."""
    unasked = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return Behaviour(text=SAID, usage=unasked if name == "mistral" else None)


def model_of(vendor: Vendor) -> str:
    """Return the model asked for: the small one, a deployment at Azure, the fake's own at local servers."""
    return vendor.small_model or ("gpt-4o-mini" if vendor.name == "azure" else "mock")


async def call(ref: str) -> Seen:
    completions = []
    for stream in (True, False):
        provider = resolve(ref, Config(), stream=stream)
        try:
            completions.append(await provider.complete(ask("Are all systems ready?", max_tokens=32)))
        finally:
            await provider.close()
    price = provider.price
    if price is None:
        said = "unknown"
    elif price.kind == "free":
        said = "free, it runs on this machine"
    else:
        said = f"{price.as_of}, {price.source}"
    for completion in completions:
        assert completion.cost == cost(price, completion.usage, None)
    return Seen(streamed=completions[0], plain=completions[1], price=said)


def row(system: str, vendor: Vendor, seen: Seen, live: Mapping[str, str]) -> str:
    streaming = "yes" if seen.streamed.timing.streamed else "no: the server refuses it"
    usage = {True: "yes", False: "no"}[seen.streamed.usage.output_tokens is not None]
    cells = (
        system,
        f"`{vendor.name}:{model_of(vendor)}`",
        vendor.wire,
        streaming,
        usage,
        seen.price,
        "streamed, plain" if seen.streamed.timing.streamed else "plain",
        live.get(vendor.name, ""),
    )
    return f"| {' | '.join(cells)} |\n"


def live_days() -> dict[str, str]:
    return json.loads(LIVE.read_text(encoding="utf-8")) if LIVE.exists() else {}


async def test_the_table_of_systems(played: FakeServer) -> None:
    assert set(SYSTEMS.values()) == set(catalog.vendors())
    rows = []
    for system, name in SYSTEMS.items():
        vendor = catalog.vendors()[name]
        played.script(default=habits(name))
        seen = await call(f"{name}:{model_of(vendor)}")
        for completion in (seen.streamed, seen.plain):
            assert completion.outcome is Outcome.OK, f"{name}: {completion.error}"
            assert completion.text == SAID
            assert completion.usage.input_tokens
            assert completion.usage.output_tokens
        assert not seen.plain.timing.streamed
        assert (seen.streamed.timing.ttft_s is not None) == vendor.quirks.get("stream", True)
        rows.append(row(system, vendor, seen, live_days()))
    assert played.counters.requests == 2 * len(SYSTEMS)
    assert_golden("systems.md", HEAD + "".join(rows))


@pytest.mark.parametrize("name", [n for n in SYSTEMS.values() if n != "azure"])
async def test_check_passes_for_every_vendor(played: FakeServer, name: str) -> None:
    """A local server is asked for the model that it lists."""
    played.script(default=habits(name))
    found = await check_provider(name, Config())
    assert found.ok, (found.failure, found.flaws)
    assert found.exit_code == 0
    assert found.completion.model == (catalog.vendors()[name].small_model or "mock")


async def test_check_passes_for_a_deployment(played: FakeServer) -> None:
    assert (await check_provider("azure:gpt-4o-mini", Config())).ok


# ---------------------------------------------------------------- the real ones


def reachable(vendor: Vendor) -> bool:
    if not vendor.local:
        return any(os.environ.get(name) for name in vendor.key_env)
    parts = urlsplit(vendor.base_url)
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((parts.hostname, parts.port)) == 0


@pytest.mark.live
@pytest.mark.parametrize("name", SYSTEMS.values())
def test_live(name: str) -> None:
    vendor = catalog.vendors()[name]
    if not reachable(vendor):
        pytest.skip(f"{name}: no key is set" if vendor.key_env else f"{name}: nothing listens there")
    try:
        ref = asyncio.run(check_provider(name, Config())).ref
    except UsageError as error:
        pytest.skip(str(error))  # several models, or a variable of the address is not set
    seen = asyncio.run(call(ref))
    for completion in (seen.streamed, seen.plain):
        assert completion.outcome.answered, completion.error
        assert completion.usage.output_tokens
    days = {**live_days(), name: datetime.now(tz=UTC).date().isoformat()}
    LIVE.write_text(json.dumps(days, indent=2, sort_keys=True) + "\n", encoding="utf-8")
