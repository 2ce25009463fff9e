"""The embedded language model: the real SmolLM2 in its child process, short calls, and its end."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rag.core import Message, Outcome, Provider, Request, Settings
from rag.errors import ModelFileError, ProviderFailedError, UnknownNameError
from rag.models import LOCAL_MODELS, model_path
from rag.providers import cpu, llamacpp, transport
from rag.providers.llamacpp import LlamaServer, LocalProvider
from tests.conftest import REPO

MODEL = "smollm2-135m"


def ask(text: str, **settings: object) -> Request:
    given = Settings(temperature=0.0, **{"max_tokens": 6, **settings})
    return Request(messages=(Message(role="user", content=text),), settings=given)


@pytest.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    made = LocalProvider(MODEL)
    yield made
    await made.close()


async def test_calls_wait_for_their_turn_outside_the_clock(provider: LocalProvider) -> None:
    assert isinstance(provider, Provider)
    assert (provider.name, provider.model) == ("local", MODEL)
    heard: list[str] = []
    first, second = await asyncio.gather(
        provider.complete(ask("Name a colour."), heard.append), provider.complete(ask("Name a colour."))
    )
    assert first.outcome is Outcome.LENGTH
    assert first.text == second.text == "".join(heard) != ""
    assert first.model_answered == MODEL
    assert first.usage.output_tokens == 6
    assert first.usage.input_tokens is not None
    assert first.usage.input_tokens > 6
    assert first.timing.last is not None
    assert second.timing.sent >= first.timing.last


async def test_a_schema_makes_valid_json_and_a_long_prompt_is_typed(provider: LocalProvider) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    reply = await provider.complete(ask("Is water wet?", max_tokens=24, response_schema=schema))
    assert json.loads(reply.text)["ok"] in (True, False)
    long = await provider.complete(ask("word " * 9000))
    assert long.outcome is Outcome.CONTEXT_LENGTH


async def test_providers_of_a_model_share_a_server_until_the_last_closes() -> None:
    one, other = LocalProvider(MODEL), LocalProvider(MODEL)
    first, _ = await one.complete(ask("Hi")), await other.complete(ask("Hi"))
    assert first.outcome.answered
    (server,) = llamacpp._servers.values()
    pid = server.pid
    assert pid is not None
    await one.close()
    await one.close()
    assert server.pid == pid
    os.kill(pid, signal.SIGKILL)  # a crash between calls: the next call starts another
    await asyncio.to_thread(wait_until, lambda: not server.running)
    again = await other.complete(ask("Hi"))
    assert again.outcome.answered
    assert server.pid not in {None, pid}
    await other.close()
    assert not server.running
    assert llamacpp._servers == {}


def test_the_server_needs_its_key_and_gives_no_page() -> None:
    server = LlamaServer(MODEL, model_path(MODEL))
    try:
        url = server.start()
        assert server.start() == url
        assert url.startswith("http://127.0.0.1:")
        for path in ("/chat/completions", "/completions"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(url + path, data=b"{}", timeout=5)
        told = http.client.HTTPConnection(url.split("/")[2], timeout=5)
        told.request("GET", "/health")
        announced = told.getresponse().headers["Keep-Alive"]  # such as "timeout=5, max=100"
        told.close()
        # What the server closes while a request is on its way to it has failed for nothing.
        assert int(announced.partition("timeout=")[2].partition(",")[0]) > transport._IDLE_CONNECTION_S
        environment = Path(f"/proc/{server.pid}/environ")
        if environment.exists():
            assert b"RAGASSAY_HOME" not in environment.read_bytes()
    finally:
        server.stop()
        server.stop()
    assert not server.running


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_dies_with_its_parent(blow: signal.Signals) -> None:
    script = (
        "import time\n"
        "from rag.models import model_path\n"
        "from rag.providers.llamacpp import LlamaServer\n"
        f"server = LlamaServer({MODEL!r}, model_path({MODEL!r}))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=REPO, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(blow)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(child))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_a_file_that_is_no_model_is_said_plainly(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 1000)
    provider = LocalProvider(str(broken))
    with pytest.raises(ProviderFailedError, match=r"failed to load model.*is it a whole GGUF file\?"):
        await provider.complete(ask("Hi"))
    await provider.close()


def test_names_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{MODEL}'"):
        LocalProvider("smollm-135m")
    with pytest.raises(UnknownNameError, match=r"\.gguf"):
        LocalProvider(next(name for name, model in LOCAL_MODELS.items() if model.kind == "embedding"))
    with pytest.raises(ModelFileError, match="there is no model file"):
        LocalProvider(str(tmp_path / "absent.gguf"))


def test_a_quota_bounds_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = cpu.usable_cores()
    assert 1 <= cores <= (os.cpu_count() or 1)
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cpu, "_QUOTA", quota)
    for text, expected in (("100000 100000", 1), ("50000 100000", 1), ("max 100000", cores)):
        quota.write_text(text)
        assert cpu.usable_cores() == expected
