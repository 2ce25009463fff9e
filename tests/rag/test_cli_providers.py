"""`ragassay providers`: the list, the check with each way it fails, the price of one job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from rag.config import parse_config
from rag.errors import ConfigError, LoadError, UnknownNameError
from rag.job import WELL_KNOWN, default_refs, document_of, job_prices, price_of
from rag.providers.catalog import vendors
from tests.conftest import assert_golden
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.test_cli import in_process

KEY = "sk-canary-cli-0123456789abcdef"
WIDTH = 80


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    for vendor in vendors().values():
        for name in vendor.key_env:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(default=Behaviour(text="ready")) as running:
        yield running


@pytest.fixture
def config(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config with a provider at the fake server, whose key is set."""
    monkeypatch.setenv("LAB_KEY", KEY)
    entry = {
        "base_url": server.base_url,
        "api_key_env": "LAB_KEY",
        "price": {"input_per_mtok": "0.50", "output_per_mtok": "1.50", "as_of": "2026-11-01"},
    }
    plain = {"base_url": server.base_url, "models": ["mock"]}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"providers": {"lab": entry, "plain": plain}}), encoding="utf-8")
    return path


def golden(name: str, text: str) -> None:
    text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= WIDTH
    assert_golden(name, text)


# ---------------------------------------------------------------- list


def test_the_list_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    done = in_process("providers", "list")
    assert done.exit_code == 0, done.stderr
    assert KEY not in done.stdout
    golden("providers_list.txt", done.stdout)


def test_the_list_as_json(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    done = in_process("providers", "list", "--json", "--config", str(config))
    listed = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert {"extractive", "local", "langchain", "lab", *vendors()} <= listed.keys()
    assert (listed["google"]["key_env"], listed["google"]["key_set"]) == ("GOOGLE_API_KEY", True)
    assert listed["openai"]["price"]["input_per_mtok"] == "0.15"
    assert listed["lab"]["configured"]
    assert listed["ollama"]["price"]["kind"] == "free"
    assert not listed["jan"]["key_needed"]
    assert KEY not in done.stdout


# ---------------------------------------------------------------- check


def check(config: Path, ref: str) -> tuple[int, dict[str, object]]:
    done = in_process("providers", "check", ref, "--json", "--config", str(config))
    assert KEY not in done.stdout + done.stderr
    return done.exit_code, json.loads(done.stdout)


def test_a_check_shows_time_tokens_and_cost(config: Path) -> None:
    done = in_process("providers", "check", "lab:mock", "--config", str(config))
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "ok  lab:mock: answered 'ready'" in done.stdout
    for expected in ("first token after", "tokens", "cost      $0.0000", "as of 2026-11-01"):
        assert expected in done.stdout
    code, found = check(config, "lab:mock")
    assert (code, found["ok"], found["streamed"]) == (0, True, True)
    assert found["timing"]["ttft_ms"] > 0
    used = found["usage"]
    paid = (used["input_tokens"] * Decimal("0.5") + used["output_tokens"] * Decimal("1.5")) / 1_000_000
    assert Decimal(found["cost_usd"]) == paid


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("auth", 4, "the key in LAB_KEY was refused"),
        ("quota", 4, "add credit"),
        ("rate_limited", 1, "its rate is used up"),
        ("server_error", 1, "the trouble is the provider's"),
        ("html_200", 1, "speak the openai wire format?"),
    ],
)
def test_each_failure_has_its_diagnosis(config: Path, fault: str, code: int, said: str) -> None:
    found_code, found = check(config, f"lab:fault:{fault}")
    assert (found_code, found["ok"]) == (code, False)
    assert said in found["failure"]
    shown = in_process("providers", "check", f"lab:fault:{fault}", "--config", str(config))
    assert shown.exit_code == code
    assert shown.stdout.startswith("!!  lab:fault:")
    assert len(shown.stdout.splitlines()) == 1


def test_a_refusal_that_asks_to_wait_is_told_at_once(config: Path, server: FakeServer) -> None:
    server.script(default=Behaviour(fault="rate_limited", wait="0.2"))
    code, shown = check(config, "lab:mock")
    assert (code, shown["outcome"], server.counters.requests) == (1, "rate_limited", 1)


def test_an_unknown_model_is_told_those_there_are(config: Path) -> None:
    code, found = check(config, "lab:fault:not_found")
    assert (code, found["outcome"], found["models"]) == (1, "not_found", ["mock"])
    assert "the endpoint lists 1 model; mock" in found["failure"]


def test_what_is_missing_is_a_flaw(config: Path, server: FakeServer) -> None:
    code, found = check(config, "lab:fault:no_usage")
    assert (code, found["flaws"], found["cost_usd"]) == (
        1,
        ["no usage in the reply; tokens and cost stay unknown"],
        None,
    )


def test_a_server_that_is_down_is_named_with_its_switch(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, found = check(config, "lmstudio:some-model")
    assert code == 1
    assert "is LM Studio's server switched on?" in found["failure"]
    assert found["failure"].endswith("port 1234.")
    done = in_process("providers", "check", "lmstudio")
    assert done.exit_code == 2
    assert "port 1234" in done.stderr


def test_what_is_wrong_before_a_call_costs_a_line(config: Path) -> None:
    for ref, said in (
        ("openai", "run 'export OPENAI_API_KEY=...'"),
        ("opnai:gpt-4o", "did you mean 'openai'?"),
        ("azure", "does not list them; write azure:MODEL"),
        ("azure:chat", "AZURE_OPENAI_ENDPOINT"),
    ):
        done = in_process("providers", "check", ref)
        assert (done.exit_code, done.stdout) == (2, ""), ref
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_model_is_taken_where_there_is_but_one(config: Path, server: FakeServer) -> None:
    assert check(config, "lab")[1]["ref"] == "lab:mock"
    code, found = check(config, "plain")
    assert (code, found["model"], found["cost_usd"]) == (0, "mock", None)
    assert "the price is unknown" in found["notes"][0]


def test_embedded_answerers_are_checked_too(config: Path) -> None:
    code, found = check(config, "extractive")
    assert (code, found["ok"], found["cost_usd"]) == (0, True, "0")


# ---------------------------------------------------------------- the price of one job


@pytest.fixture
def article(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "article.md").write_text("# Speed\n\n" + "Tokens per second matter to a person. " * 200)
    return Path("article.md")


def test_the_price_of_a_job_fits_80_columns(article: Path) -> None:
    refs = (
        "groq:openai/gpt-oss-120b",
        "anthropic:claude-opus-5",
        "azure:my-deployment",
        "ollama:llama3.2:3b",
    )
    done = in_process("providers", "price", str(article), *(word for ref in refs for word in ("-p", ref)))
    assert done.exit_code == 0, done.stderr
    golden("providers_price.txt", done.stdout)


def test_the_price_of_a_job_is_sorted_and_bounded(article: Path) -> None:
    done = in_process("providers", "price", str(article), "--json", "--output-tokens", "500")
    found = json.loads(done.stdout)
    rows = found["prices"]
    known = [Decimal(row["cost_usd"]) for row in rows if row["cost_usd"] is not None]
    assert {row["ref"] for row in rows} == set(default_refs())
    assert known == sorted(known)
    assert len(known) > 15
    for row in rows:
        if row["cost_usd"] is not None:
            low, likely, high = (Decimal(row[f"cost_{name}usd"]) for name in ("low_", "", "high_"))
            assert low < likely < high
            assert row["price"]["as_of"]
            assert row["price"]["source"]
    opus = next(row for row in rows if row["ref"] == "anthropic:claude-opus-5")
    assert Decimal(opus["cost_usd"]) == (opus["input_tokens"] * Decimal(5) + 500 * Decimal(25)) / 1_000_000


def test_every_well_known_model_has_a_price() -> None:
    config = parse_config({}, folder=Path())
    assert [ref for ref in WELL_KNOWN if price_of(ref, config) is None] == []


def test_prices_of_the_config_and_of_the_hour(tmp_path: Path) -> None:
    lab = {"base_url": "http://127.0.0.1:9/v1", "models": ["m"]}
    priced = {**lab, "price": {"input_per_mtok": 1, "output_per_mtok": 2}}
    config = parse_config({"providers": {"a": priced, "b": lab}}, folder=tmp_path)
    rows = job_prices("word " * 100, ["b", "a", "a"], config, output_tokens=10)
    assert [(row.ref, row.likely_usd is None) for row in rows] == [("a", False), ("b", True)]
    night, day = (
        job_prices(
            "word " * 100,
            ["deepseek:deepseek-flash"],
            config,
            output_tokens=10,
            when=datetime(2026, 11, 21, hour, tzinfo=UTC),
        )[0].likely_usd
        for hour in (2, 12)
    )
    assert night == 2 * day


def test_a_job_that_cannot_be_priced_is_said(tmp_path: Path) -> None:
    config = parse_config({}, folder=tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        document_of(tmp_path / "none.pdf")
    with pytest.raises(UnknownNameError, match="did you mean 'groq'"):
        price_of("grok:x", config)
    with pytest.raises(ConfigError, match="lacks its model"):
        price_of("openai", config)
    several = tmp_path / "rows.jsonl"
    several.write_text('{"id": "1", "text": "one"}\n{"id": "2", "text": "two"}\n', encoding="utf-8")
    with pytest.raises(LoadError, match="holds 2 documents"):
        document_of(several)
