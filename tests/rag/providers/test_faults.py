"""Every fault of the catalogue through the product: its outcome, in bounded time, and no secret told."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
import zlib
from collections.abc import Iterator

import pytest

from rag.config import Config, LimitsConfig, ProviderConfig
from rag.core import Completion, Message, Outcome, Provider, Request
from rag.providers import resolve
from rag.providers.anthropic import AnthropicProvider
from rag.providers.gemini import GeminiProvider
from rag.providers.openai import OpenAIProvider
from rag.providers.wire import WireProvider
from tests.fakes.faults import FAULTS
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

WIRES: dict[str, type[WireProvider]] = {
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "gemini": GeminiProvider,
}
SLOW = {"never_reply", "drip", "drip_headers", "endless_comments", "done_then_hang"}
VERSIONS = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
SAID = {"should_retry_true": False, "should_retry_false": True}
"""Where the reply itself says whether to ask again."""
EVERY = [(wire, name) for wire, faults in FAULTS.items() for name in sorted(faults)]

KEYS = {
    "openai": "sk-proj-Canary0123456789abcdefCanary0123456789",
    "anthropic": "sk-ant-api03-Canary0123456789-abcdef_Canary-AA",
    "gemini": "AIzaSyCanary0123456789abcdefCanary01234",
    "azure": "c0ffee00canary00c0ffee00c0ffee00",
    "token": "eyJjYW5hcnkiOjF9.eyJjYW5hcnkiOjJ9.Y2FuYXJ5",
}
"""Keys in the shapes that providers give out; none may be seen again, whole or in part."""


@pytest.fixture(scope="module")
def faulty() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


def ask(text: str = "Hi there") -> Request:
    return Request(messages=(Message(role="user", content=text),))


def provider(server: FakeServer, wire: str, model: str, *, key: str, stream: bool) -> WireProvider:
    slow = model.rpartition(":")[2] in SLOW
    return WIRES[wire](
        "fake", model, server.base_url, api_key=key, stream=stream, timeout_s=0.3 if slow else 5.0
    )


def shows(key: str, *places: object) -> bool:
    """Whether any eight neighbouring characters of a key are seen, its common prefix left out."""
    seen = " ".join(str(place) for place in places)
    return any(key[at : at + 8] in seen for at in range(8, len(key) - 7))


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("wire", "name"), EVERY)
async def test_each_fault_has_its_outcome(
    faulty: FakeServer, wire: str, name: str, stream: bool, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    fault, key = FAULTS[wire][name], KEYS[wire]
    faulty.reset()
    model = provider(faulty, wire, f"fault:{name}", key=key, stream=stream)
    started = time.perf_counter()
    completion = await model.complete(ask())
    assert time.perf_counter() - started < 2
    assert completion.outcome == fault.expected(streamed=stream), completion
    assert faulty.counters.requests == 1
    assert bool(completion.error) == explained(completion)
    assert not shows(key, repr(completion), repr(model), caplog.text, *map(repr, caplog.records))
    if fault.wait_s is not None:
        assert completion.retry_after_s == pytest.approx(fault.wait_s, abs=1.1 if fault.wait_s == 1 else 0.01)
    await model.close()


def explained(completion: Completion) -> bool:
    """Whether a completion needs an error: not where the model's own end of its text says it all."""
    if completion.outcome.answered:
        return False
    return completion.outcome is not Outcome.CONTENT_FILTER or completion.finish_reason is None


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("shape", KEYS)
async def test_no_shape_of_key_is_repeated(
    faulty: FakeServer, wire: str, shape: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    key = KEYS[shape]
    for name in ("auth", "auth_long", "server_error", "html_502", "error_200", "mid_error", "redirect"):
        model = provider(faulty, wire, f"fault:{name}", key=key, stream=True)
        completion = await model.complete(ask())
        assert not completion.outcome.answered
        assert not shows(key, repr(completion), repr(model), caplog.text), (name, completion.error)
        await model.close()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_closed_port_is_a_failed_connection(wire: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = WIRES[wire]("fake", "mock", f"http://127.0.0.1:{port}", api_key=KEYS[wire])
    completion = await model.complete(ask())
    assert completion.outcome is Outcome.CONNECTION
    assert str(port) in completion.error
    assert not shows(KEYS[wire], repr(completion))
    await model.close()


def resolved(server: FakeServer, wire: str, model: str, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """Return the provider as users get it, limits and retries around it, with a key of its own."""
    variable = f"KEY_{zlib.crc32(model.encode())}_{wire.upper()}"
    monkeypatch.setenv(variable, KEYS[wire])
    lab = ProviderConfig(wire=wire, base_url=server.root_url + VERSIONS[wire], api_key_env=variable)
    limits = LimitsConfig(timeout_s=0.5, deadline_s=15, max_attempts=3, concurrency=64)
    return resolve(f"lab:{model}", Config(providers={"lab": lab}, limits=limits))


def settled(name: str, outcome: str) -> bool:
    """Whether asking again cannot help, or the reply says so itself."""
    kind = Outcome(outcome)
    return SAID.get(name, kind.answered or kind.own_failure or kind.terminal)


def streamed_faults(wire: str) -> dict[str, bool]:
    """Return which faults of a stream are settled, by name; those that take long to show are left out."""
    return {
        name: settled(name, fault.expected(streamed=True))
        for name, fault in sorted(FAULTS[wire].items())
        if name != "done_then_hang" and (fault.wait_s or 0) < 0.5
    }


@pytest.mark.parametrize("wire", WIRES)
async def test_a_reply_that_came_is_never_asked_for_again(
    faulty: FakeServer, wire: str, monkeypatch: pytest.MonkeyPatch
):
    """One request each for what was answered, refused for good, or the system's own failure."""
    final = [name for name, is_settled in streamed_faults(wire).items() if is_settled]
    assert len(final) > 25
    for name in final:
        faulty.reset()
        model = resolved(faulty, wire, f"fault:{name}", monkeypatch)
        completion = await model.complete(ask())
        assert (faulty.counters.requests, completion.attempts) == (1, 1), name
        await model.close()


@pytest.mark.parametrize("wire", WIRES)
async def test_what_passes_is_tried_again_and_answered_once(
    faulty: FakeServer, wire: str, monkeypatch: pytest.MonkeyPatch
):
    passing = [name for name, is_settled in streamed_faults(wire).items() if not is_settled]
    assert len(passing) > 20
    faulty.reset()

    async def one(name: str) -> Completion:
        model = resolved(faulty, wire, f"fault-once:{name}", monkeypatch)
        completion = await model.complete(ask(f"Hi {name}"))
        await model.close()
        return completion

    for name, completion in zip(passing, await asyncio.gather(*map(one, passing)), strict=True):
        assert (completion.outcome, completion.attempts) == (Outcome.OK, 2), (name, completion)
    seen = faulty.counters
    assert seen.requests == 2 * len(passing)
    for _ in range(500):  # a reply is counted after its last byte is written
        if len(seen.answers) == len(passing):
            break
        await asyncio.sleep(0.01)
    assert set(seen.answers.values()) == {1}
    assert len(seen.answers) == len(passing)
    assert seen.early == 0


@pytest.mark.parametrize("wire", WIRES)
async def test_a_storm_is_waited_out(faulty: FakeServer, wire: str, monkeypatch: pytest.MonkeyPatch):
    """Half of all tries are refused with a wait: none returns early, none is answered twice."""
    faulty.reset()
    faulty.script(shares=[(0.5, Behaviour(fault="rate_limited", wait="0.1"))], seed=3)
    model = resolved(faulty, wire, "mock", monkeypatch)
    completions = await asyncio.gather(*(model.complete(ask(f"Hi {n}")) for n in range(24)))
    faulty.script()
    assert {completion.outcome for completion in completions} == {Outcome.OK}
    seen = faulty.counters
    assert seen.early == 0
    assert seen.waits_kept > 5
    assert seen.shortest_wait_s >= 0.1
    assert seen.shortest_margin_s >= 0
    assert set(seen.answers.values()) == {1}
    await model.close()


def test_the_catalogue_is_in_words_that_exist():
    for wire, name in EVERY:
        for streamed in (True, False):
            assert Outcome(FAULTS[wire][name].expected(streamed=streamed)), name
