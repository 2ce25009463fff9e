"""What `eval run --dry-run` says, held against what the run then takes."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

import evals
from rag.errors import MissingKeyError
from tests.evals.runs import records_of, run_config, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.test_cli import in_process

PRICES = [
    {"input_per_mtok": "0.50", "output_per_mtok": "1.50"},
    {"input_per_mtok": "3", "cached_input_per_mtok": "0.30", "output_per_mtok": "15"},
]


def systems(*prices: dict[str, str]) -> list[dict[str, object]]:
    return [
        {"name": f"s{at}", "provider": "lab:mock", "settings": {"max_tokens": 16}, "price": price}
        for at, price in enumerate(prices)
    ]


@pytest.mark.parametrize("tokens", [1, 16, 200])
def test_the_run_costs_what_the_forecast_said(tmp_path: Path, tokens: int) -> None:
    """The fake counts a word as a token: fewer than any model does, and above the low bound all the same."""
    write_questions(tmp_path / "questions.jsonl", 20)
    with FakeServer(default=Behaviour(tokens=tokens)) as server:
        config = run_config(tmp_path, server.base_url, systems=systems(*PRICES), repeats=2)
        forecast = evals.plan(config, limit=10)
        assert server.counters.requests == 0
        evals.run(config, out=tmp_path / "run", limit=10)
        assert server.counters.requests == forecast.calls == 40
    for system in forecast.systems:
        done = [r.completion for (name, *_), r in records_of(tmp_path / "run").items() if name == system.name]
        usage = sum((c.usage for c in done[1:]), start=done[0].usage)
        paid = sum((c.cost for c in done if c.cost is not None), Decimal(0))
        assert len(done) == system.calls == 20
        assert system.input_tokens_low <= usage.input_tokens <= system.input_tokens_high
        assert usage.output_tokens <= system.output_tokens_max == 320
        assert system.cost_low_usd <= paid <= system.cost_high_usd
    assert forecast.cost_low_usd == sum(s.cost_low_usd for s in forecast.systems)
    assert forecast.cost_high_usd == sum(s.cost_high_usd for s in forecast.systems)


def test_what_a_run_would_cost_is_told_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_questions(tmp_path / "questions.jsonl", 3)
    config = run_config(
        tmp_path,
        "http://127.0.0.1:9/v1",
        systems=[{"name": "gpt", "provider": "openai:gpt-4o-mini"}],
        judge={"provider": "openai:gpt-4o"},
        benchmarks=[{"name": "docqa", "data": "questions.jsonl", "metrics": ["judge_rating"]}],
    )
    forecast = evals.plan(config)
    assert [system.model for system in forecast.systems] == ["gpt-4o-mini", "gpt-4o"]
    assert all(system.cost_high_usd for system in forecast.systems)
    assert sum("OPENAI_API_KEY is not set" in warning for warning in forecast.warnings) == 1
    with pytest.raises(MissingKeyError):
        evals.run(config, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_unknown_stays_out_of_the_total_and_is_named(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    given = [
        *systems(PRICES[0]),
        {"name": "unpriced", "provider": "lab:mock"},
        {"name": "hourly", "provider": "extractive", "price": {"usd_per_hour": 0.4}},
    ]
    providers = {"lab": {"base_url": "http://127.0.0.1:9/v1", "models": ["mock"]}}
    forecast = evals.plan(run_config(tmp_path, "", systems=given, providers=providers))
    assert forecast.unknown == ("unpriced", "hourly")
    assert forecast.cost_high_usd == forecast.systems[0].cost_high_usd
    assert forecast.total_cells()[-1].endswith(" and 2 unknown")
    assert any("1,024 tokens of output" in note for note in forecast.notes)
    said = json.loads(json.dumps(forecast.to_json()))
    assert [s["cost_high_usd"] is None for s in said["systems"]] == [False, True, True]
    assert said["unknown"] == ["unpriced", "hourly"]


def test_extractive_takes_no_tokens(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    config = run_config(
        tmp_path, "", systems=[{"name": "extractive", "provider": "extractive"}], providers={}
    )
    forecast = evals.plan(config)
    assert forecast.total_cells() == ("total", "3", "0", "0", "0")
    assert not [
        note for note in forecast.notes if "tokenizer" in note or "tokens of output are taken" in note
    ]


def test_the_low_cost_is_that_of_cached_input(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 1)
    forecast = evals.plan(run_config(tmp_path, "http://127.0.0.1:9/v1", systems=systems(PRICES[1])))
    system = forecast.systems[0]
    rate = Decimal("0.30") / 1_000_000
    assert system.cost_low_usd == system.input_tokens_low * rate + Decimal(15) / 1_000_000


def test_what_costs_little_is_not_shown_as_nothing(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 1)
    cheap = {"input_per_mtok": "0.01", "output_per_mtok": "0.01"}
    config = run_config(tmp_path, "http://127.0.0.1:9/v1", systems=systems(cheap))
    (system,) = evals.plan(config).systems
    assert system.cost_high_usd is not None
    assert 0 < system.cost_high_usd < Decimal("0.00005")
    shown = system.cells()[-1].split(" to ")[1]
    assert Decimal(shown) == pytest.approx(system.cost_high_usd, rel=Decimal("0.06"))


def test_dry_run_prints_a_table_and_json(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    path = tmp_path / "config.yaml"
    config = {
        "providers": {"lab": {"base_url": "http://127.0.0.1:9/v1", "models": ["mock"]}},
        "systems": systems(*PRICES),
        "benchmarks": [{"name": "docqa", "data": "questions.jsonl"}],
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    shown = in_process("eval", "run", str(path), "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert "total" in shown.stdout
    assert "$0.50 in, $1.50 out per million tokens (config)" in " ".join(shown.stdout.split())
    assert max(map(len, shown.stdout.splitlines()[:7])) <= 80
    assert re.search(r" s0 +3 +\d+ ", shown.stdout), "the bounds stand in a line of their own"
    said = json.loads(in_process("eval", "run", str(path), "--dry-run", "--json").stdout)
    assert said["calls"] == 6
    assert Decimal(said["cost_low_usd"]) < Decimal(said["cost_high_usd"])


def test_stored_replies_are_not_taken_off_and_that_is_said(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    config = run_config(tmp_path, "http://127.0.0.1:9/v1", systems=systems(PRICES[0]))
    plain, caching = (evals.plan(config, cache=cache) for cache in (None, True))
    assert caching.calls == plain.calls == 3
    assert [note for note in caching.notes if note not in plain.notes] == [
        "replies that are stored already cost nothing and are not taken off: the run may cost less"
    ]
