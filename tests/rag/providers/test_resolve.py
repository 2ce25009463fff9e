"""REFs to providers: the grammar, the catalog, keys from the environment only, messages that cure."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from rag.config import Config, parse_config
from rag.core import Outcome, Provider
from rag.errors import ConfigError, MissingKeyError, UnknownNameError
from rag.providers import provider_refs, resolve, resolve_with_fallback, split_ref
from rag.providers.budget import Budget
from rag.providers.fallback import Fallback
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import KEY, ask


def lab(server_url: str = "http://127.0.0.1:9/v1", **more: object) -> Config:
    given = {"wire": "openai", "base_url": server_url, "api_key_env": "LAB_KEY", "models": ["mock"], **more}
    return parse_config({"providers": {"lab": given}}, folder=Path())


def test_the_vendor_ends_at_the_first_colon():
    assert split_ref("ollama:llama3.2:3b") == ("ollama", "llama3.2:3b")
    assert resolve("ollama:llama3.2:3b", Config()).model == "llama3.2:3b"
    assert resolve("extractive", Config()).name == "extractive"
    with pytest.raises(ConfigError):
        split_ref("  ")


def test_a_model_file_of_ones_own(tmp_path: Path):
    file = tmp_path / "own.gguf"
    file.write_bytes(b"GGUF")
    assert resolve(f"local:{file}", Config()).model == str(file)
    keeping = Config(cache=tmp_path / "replies.sqlite3")
    before, again = (resolve(f"local:{file}", keeping)._key(ask()) for _ in range(2))
    file.write_bytes(b"GGUF of another model")
    assert before == again != resolve(f"local:{file}", keeping)._key(ask())


@pytest.mark.parametrize(
    ("ref", "error", "words"),
    [
        ("gorq:llama", UnknownNameError, "did you mean 'groq'"),
        ("lab:mok", UnknownNameError, "did you mean 'mock'"),
        ("openai:gpt-4o-mini", MissingKeyError, "OPENAI_API_KEY"),
        ("groq", ConfigError, "write groq:MODEL"),
        ("local", ConfigError, "local:smollm2-135m"),
        ("langchain", ConfigError, "langchain_openai"),
        ("langchain:json:dumps", ConfigError, "not a LangChain chat model"),
        ("lab", MissingKeyError, "LAB_KEY"),
    ],
)
def test_mistakes_name_their_cure(ref: str, error: type[Exception], words: str, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("LAB_KEY", raising=False)
    with pytest.raises(error) as caught:
        resolve(ref, lab())
    assert words in str(caught.value)


def test_a_key_that_no_header_can_hold_is_refused_by_its_name(monkeypatch):
    monkeypatch.setenv("LAB_KEY", "sk-first-half\nsecond-half")
    with pytest.raises(ConfigError, match=r"LAB_KEY holds a line break") as caught:
        resolve("lab", lab())
    assert "half" not in str(caught.value)


async def test_a_configured_provider_answers_and_has_its_price(server: FakeServer, monkeypatch):
    monkeypatch.setenv("LAB_KEY", KEY)
    config = lab(
        server.base_url, price={"input_per_mtok": 0.5, "output_per_mtok": 1.5, "as_of": "2026-11-01"}
    )
    model = resolve("lab", config)
    completion = await model.complete(ask())
    used = completion.usage
    assert completion.outcome is Outcome.OK
    assert (completion.provider, completion.model) == ("lab", "mock")
    assert (
        completion.cost == (used.input_tokens * Decimal("0.5") + used.output_tokens * Decimal("1.5")) / 10**6
    )
    assert KEY not in repr(model)
    await model.close()


def test_a_budget_needs_a_price(monkeypatch):
    monkeypatch.setenv("LAB_KEY", KEY)
    with pytest.raises(ConfigError, match="price of 'lab:mock' is unknown"):
        resolve("lab:mock", lab(), budget=Budget(Decimal(1)))
    assert resolve("extractive", Config(), budget=Budget(Decimal(1))).name == "extractive"


async def test_fallback_for_ask_and_serve(server: FakeServer, monkeypatch):
    monkeypatch.setenv("LAB_KEY", KEY)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    server.script(Behaviour(fault="fin"))
    config = lab(server.base_url).model_copy(update={"fallback": ("groq:x", "lab", "extractive")})
    chain = resolve_with_fallback("lab", config)
    assert isinstance(chain, Fallback)
    assert repr(chain).count("lab:mock") == 1
    assert resolve_with_fallback("extractive", Config()).name == "extractive"
    await chain.close()


def test_the_list_shows_keys_by_name_only(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    listed = {ref.name: ref for ref in provider_refs(lab())}
    assert listed["lab"].configured
    assert listed["groq"].key_set
    assert listed["groq"].key_env == "GROQ_API_KEY"
    assert KEY not in repr(listed)


def test_resolving_loads_nothing_heavy():
    code = (
        "import sys; from rag.providers import resolve, provider_refs; from rag.config import Config;"
        "provider_refs(Config());"
        "heavy = {'torch', 'langchain_core', 'aiohttp', 'genai_prices', 'xllamacpp'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_providers_are_providers(monkeypatch):
    monkeypatch.setenv("LAB_KEY", KEY)
    assert isinstance(resolve("lab", lab()), Provider)
