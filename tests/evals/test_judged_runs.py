"""Runs with a judge: asked after the calls, journalled, priced apart, never asked twice."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from evals.metrics import ragas_metrics
from evals.runner.judges import MAX_TOKENS
from rag.config import load_config
from rag.core import Outcome
from rag.errors import ConfigError, MissingDependencyError, MissingKeyError
from tests.evals.judged import (
    JUDGE,
    judge_replies,
    judged_config,
    metrics,
    said,
    scores_of,
    verdict_lines,
)
from tests.evals.runs import MOCK_PRICE
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer


@pytest.fixture
def server():
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def judge():
    with FakeServer(Behaviour(text=said(7))) as fake:
        yield fake


def test_every_reply_is_judged_once_and_the_score_is_a_tenth(tmp_path: Path, server, judge) -> None:
    config = judged_config(tmp_path, server.base_url, judge.base_url, "a", "b")
    result = evals.run(config, out=tmp_path / "run")
    assert result.exit_code == 0
    # Both systems give the same answers here: what is the same is judged once.
    assert (server.counters.requests, judge.counters.requests) == (8, 4)
    found = scores_of(tmp_path / "run", "judge_rating")
    assert len(found) == 8
    assert {score.value for score in found.values()} == {0.7}
    assert {score.reason for score in found.values()} == {"7 of 10: why"}
    assert {json.dumps(score.by_judge) for score in found.values()} == {json.dumps({JUDGE: 0.7})}
    replies = judge_replies(tmp_path / "run")
    assert {(r.judge, r.metric, r.completion.outcome) for r in replies} == {
        (JUDGE, "judge_rating", Outcome.OK)
    }
    assert all(reply.completion.cost > 0 for reply in replies)


def test_neither_resume_nor_rescore_asks_again(tmp_path: Path, server, judge) -> None:
    config = judged_config(tmp_path, server.base_url, judge.base_url)
    evals.run(config, out=tmp_path / "run")
    before = RunFolder.open(tmp_path / "run").path.joinpath("scores.jsonl").read_bytes()
    assert evals.resume(tmp_path / "run").exit_code == 0
    assert evals.rescore(tmp_path / "run").exit_code == 0
    assert (server.counters.requests, judge.counters.requests) == (4, 4)
    assert RunFolder.open(tmp_path / "run").path.joinpath("scores.jsonl").read_bytes() == before


def test_a_gate_says_that_the_earlier_run_had_another_judge(tmp_path: Path, server, judge) -> None:
    evals.run(judged_config(tmp_path, server.base_url, judge.base_url), out=tmp_path / "old")
    config = judged_config(
        tmp_path,
        server.base_url,
        judge.base_url,
        judge={"provider": "bench:other"},
        gates={f"docqa/{m}": {"no_regression_from": "old"} for m in ("judge_rating", "token_f1")},
    )
    rated, plain = evals.run(config, out=tmp_path / "new").gates
    said_so = "judged by bench:judge before, by bench:other after: judged scores do not compare."
    assert rated.reason.endswith(f"; {said_so}")
    assert "judged" not in plain.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I like it a lot.", "judge: unreadable"),
        ('The answer says {"rating": 10}. Rating: [[10]]', "judge: unreadable"),
        (said(11), "judge: unreadable"),
        (said("8"), "judge: unreadable"),
        (said(None), "judge: unreadable"),
        ('{"explanation": "x", "rating": 2, "rating": 10}', "judge: unreadable"),
        ("", "judge: unreadable"),
        ("[" * 100_000, "judge: unreadable"),
    ],
)
def test_nonsense_is_no_value_with_a_reason_and_counts_as_missing(
    tmp_path: Path, server, judge, text: str, reason: str
) -> None:
    judge.script(default=Behaviour(text=text))
    config = judged_config(tmp_path, server.base_url, judge.base_url, samples=2)
    result = evals.run(config, out=tmp_path / "run")
    assert {(s.value, s.reason, s.error) for s in scores_of(tmp_path / "run", "judge_rating").values()} <= {
        (None, reason, None),
        (None, "judge: no verdict", None),
    }
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    metric = report["systems"][0]["metrics"]["docqa/judge_rating"]
    assert (metric["mean"], metric["n"], metric["total"], metric["mean_if_missing_wrong"]) == (
        None,
        0,
        2,
        0.0,
    )
    if text:
        assert (result.exit_code, metric["reasons"]) == (0, {reason: 2})
        assert evals.resume(tmp_path / "run").exit_code == 0
        assert judge.counters.requests == 2, "what was received is not paid for twice"


def test_a_failing_judge_is_asked_again_by_resume(tmp_path: Path, server, judge) -> None:
    judge.script(*[Behaviour(fault="server_error")] * 3, default=Behaviour(text=said(4)))
    config = judged_config(tmp_path, server.base_url, judge.base_url, limits={"concurrency": 1})
    result = evals.run(config, out=tmp_path / "run")
    assert result.exit_code == 1
    assert "3 verdicts of judges are missing" in " ".join(result.messages)
    found = scores_of(tmp_path / "run", "judge_rating").values()
    assert sorted((s.value or 0, s.reason) for s in found) == [
        *[(0, "judge: no verdict")] * 3,
        (0.4, "4 of 10: why"),
    ]
    assert evals.resume(tmp_path / "run").exit_code == 0
    assert (server.counters.requests, judge.counters.requests) == (4, 7)
    assert {s.value for s in scores_of(tmp_path / "run", "judge_rating").values()} == {0.4}


def test_a_judge_over_budget_stops_the_run_and_resume_goes_on(tmp_path: Path, server, judge) -> None:
    price = {"input_per_mtok": "10", "output_per_mtok": "30"}
    config = judged_config(
        tmp_path, server.base_url, judge.base_url, samples=30, limits={"budget_usd": "0.10"}
    )
    config = config.model_copy(update={"judge": (config.judge[0].model_copy(update={"price": None}),)})
    data = config.model_dump(mode="json", exclude_none=True)
    data["providers"]["bench"]["price"] = price
    (tmp_path / "c.yaml").write_text(json.dumps(data))
    result = evals.run(load_config(tmp_path / "c.yaml"), out=tmp_path / "run")
    assert result.exit_code == 4
    assert result.messages[0].startswith(f"judge {JUDGE} was stopped: the budget of $0.10 is used up")
    state = RunFolder.open(tmp_path / "run").read()
    assert (state["state"], Decimal(state["spent_usd"]) < Decimal("0.10")) == ("stopped", True)
    asked = judge.counters.requests
    assert 0 < asked < 30
    assert evals.resume(tmp_path / "run").exit_code == 4
    assert judge.counters.requests == asked, "what is spent stays spent"
    again = evals.resume(tmp_path / "run", budget=5)
    assert (again.exit_code, judge.counters.requests, server.counters.requests) == (0, 30, 30)


def test_a_judge_without_a_key_is_refused_before_the_first_call(
    tmp_path: Path, server, judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    more = {"judge": {"provider": "openai:gpt-4o-mini"}}
    config = judged_config(tmp_path, server.base_url, judge.base_url, **more)
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        evals.run(config, out=tmp_path / "run")
    assert server.counters.requests == 0
    assert not (tmp_path / "run").exists()


def test_a_judge_whose_key_is_refused_stops_at_once(tmp_path: Path, server, judge) -> None:
    judge.script(default=Behaviour(fault="auth"))
    config = judged_config(tmp_path, server.base_url, judge.base_url, limits={"concurrency": 1})
    result = evals.run(config, out=tmp_path / "run")
    assert (result.exit_code, judge.counters.requests) == (4, 1)
    assert result.messages[0].startswith(f"judge {JUDGE} was stopped: auth: HTTP 401")


def test_a_metric_that_needs_a_judge_says_how_to_name_one(tmp_path: Path, server) -> None:
    config = judged_config(tmp_path, server.base_url, server.base_url, judge=[])
    with pytest.raises(ConfigError, match="'judge_rating' needs a judge: name a model in the config"):
        evals.run(config, out=tmp_path / "run")


def test_ragas_that_is_absent_is_said_before_the_first_call(
    tmp_path: Path, server, judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ragas_metrics._ragas.cache_clear()
    monkeypatch.setitem(sys.modules, "ragas", None)
    names = metrics("faithfulness_ragas")
    config = judged_config(tmp_path, server.base_url, judge.base_url, benchmarks=names)
    with pytest.raises(MissingDependencyError, match=r"'pip install ragas==0\.4\.3'"):
        evals.run(config, out=tmp_path / "run")
    assert server.counters.requests == 0


def test_a_rubric_that_nothing_uses_is_refused(tmp_path: Path, server) -> None:
    config = judged_config(
        tmp_path, server.base_url, server.base_url, benchmarks=metrics("token_f1", rubric="Is it kind?")
    )
    with pytest.raises(ConfigError, match="has a 'rubric' that no metric uses"):
        evals.run(config, out=tmp_path / "run")


def test_two_judges_give_the_mean_and_each_value_is_kept(tmp_path: Path, server, judge) -> None:
    with FakeServer(Behaviour(text=said(9))) as second:
        judges = [{"provider": JUDGE}, {"provider": "third:judge"}]
        config = judged_config(
            tmp_path,
            server.base_url,
            judge.base_url,
            samples=3,
            judge=judges,
            providers={
                "third": {
                    "base_url": second.base_url,
                    "models": ["judge"],
                    "price": {"input_per_mtok": 1, "output_per_mtok": 1},
                }
            },
        )
        assert evals.run(config, out=tmp_path / "run").exit_code == 0
        assert (judge.counters.requests, second.counters.requests) == (3, 3)
    for score in scores_of(tmp_path / "run", "judge_rating").values():
        assert score.value == pytest.approx(0.8)
        assert score.by_judge == {JUDGE: 0.7, "third:judge": 0.9}
        assert score.reason == f"{JUDGE} 0.7; third:judge 0.9"


def test_embedded_judges_are_asked_one_call_at_a_time(
    tmp_path: Path, server, judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.runner.judges.lane_of", lambda _: "local")
    judge.script(default=Behaviour(text=said(7), latency_s=0.03))
    judges = [{"provider": JUDGE}, {"provider": "again:judge"}]
    same = judge.base_url.replace("127.0.0.1", "localhost")  # to a limiter it is another server
    again = {"again": {"base_url": same, "models": ["judge"], "price": MOCK_PRICE}}
    config = judged_config(
        tmp_path, server.base_url, judge.base_url, samples=3, judge=judges, providers=again
    )
    assert evals.run(config, out=tmp_path / "run").exit_code == 0
    assert (judge.counters.requests, judge.counters.max_in_flight) == (6, 1)


def test_pairs_are_judged_in_both_orders_once_for_both_systems(tmp_path: Path, server, judge) -> None:
    judge.script(default=Behaviour(text=json.dumps({"explanation": "", "better": "A"})))
    config = judged_config(
        tmp_path, server.base_url, judge.base_url, "a", "b", "c", benchmarks=metrics("judge_preference")
    )
    server.script(shares=[(0.34, Behaviour(text="one")), (0.33, Behaviour(text="two"))], seed=1)
    assert evals.run(config, out=tmp_path / "run").exit_code == 0
    replies = judge_replies(tmp_path / "run")
    assert len({reply.request_sha256 for reply in replies}) == len(replies) == judge.counters.requests
    # A judge that always prefers the first place contradicts itself in every pair: all are ties.
    assert {s.value for s in scores_of(tmp_path / "run", "judge_preference").values()} == {0.5}


def test_judged_metrics_share_what_they_ask(tmp_path: Path, server, judge) -> None:
    config = judged_config(
        tmp_path, server.base_url, judge.base_url, benchmarks=metrics("judge_rating", "judge_rating_turn_1")
    )
    assert evals.run(config, out=tmp_path / "run").exit_code == 0
    assert judge.counters.requests == 4
    assert {s.reason for s in scores_of(tmp_path / "run", "judge_rating_turn_1").values()} == {"another turn"}


def test_two_runs_ask_the_same(tmp_path: Path, server, judge) -> None:
    for name in ("one", "two"):
        config = judged_config(tmp_path, server.base_url, judge.base_url, "a", "b")
        evals.run(config, out=tmp_path / name)
    assert verdict_lines(tmp_path / "one") == verdict_lines(tmp_path / "two")


def test_the_judge_is_asked_for_json_with_room_to_explain() -> None:
    assert MAX_TOKENS == 1024


def test_the_forecast_counts_and_prices_the_judge_apart(tmp_path: Path, server, judge) -> None:
    every = ("judge_rating", "judge_preference", "factual_correctness_ragas")
    config = judged_config(
        tmp_path, server.base_url, judge.base_url, "a", "b", samples=20, benchmarks=metrics(*every)
    )
    forecast = evals.plan(config)
    assert judge.counters.requests == 0
    systems, row = forecast.systems[:2], forecast.systems[2]
    assert (row.name, row.provider, row.model) == (f"judge {JUDGE}", "bench", "judge")
    # A rating and four ragas calls for each of 40 answers, two calls for each of 20 pairs. ragas splits the
    # accepted answer of both systems alike: once for each of 20 samples.
    assert row.calls == 40 * (1 + 4) + 20 * 2 - 20
    assert forecast.calls == 40 + row.calls
    assert row.output_tokens_max == row.calls * MAX_TOKENS
    judge.script(default=Behaviour())
    evals.run(config, out=tmp_path / "run")
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    (told,) = report["judges"]
    assert told["calls"] == judge.counters.requests
    spent = Decimal(told["cost"]["total_usd"])
    assert spent <= row.cost_high_usd
    assert Decimal(report["systems"][0]["cost"]["total_usd"]) < spent
    assert all(system.cost_high_usd < row.cost_high_usd for system in systems)


def test_the_report_shows_judges_and_their_agreement(tmp_path: Path, server, judge) -> None:
    ratings = (2, 4, 6, 8)
    with FakeServer() as second:
        judge.script(*[Behaviour(text=said(n)) for n in ratings])
        second.script(*[Behaviour(text=said(n)) for n in (3, 4, 5)], default=Behaviour(text="none"))
        config = judged_config(
            tmp_path,
            server.base_url,
            judge.base_url,
            judge=[{"provider": JUDGE}, {"provider": "third:judge"}],
            providers={
                "third": {
                    "base_url": second.base_url,
                    "models": ["judge"],
                    "price": {"input_per_mtok": 1, "output_per_mtok": 1},
                }
            },
            limits={"concurrency": 1},
        )
        assert evals.run(config, out=tmp_path / "run").exit_code == 0
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    first, other = report["judges"]
    assert (first["name"], first["calls"], first["verdicts"], first["unreadable"]) == (JUDGE, 4, 4, 0)
    assert (other["verdicts"], other["unreadable"], other["missing"]) == (3, 1, 0)
    (agreement,) = report["agreement"]
    # By hand, in tenths: units (2, 3), (4, 4), (6, 5): observed 2 * 1 + 2 * 1 over 6 values. Expected over
    # the pairs of 2, 3, 4, 4, 6, 5: twice the sum of their squared differences, 60, over 6 * 5.
    assert agreement == {
        "metric": "docqa/judge_rating",
        "judges": 2,
        "answers": 3,
        "krippendorff_alpha": pytest.approx(1 - (4 / 6) / (2 * 60 / 30)),
    }
    assert any("1 of 4 verdicts cannot be read" in warning for warning in report["warnings"])
    for form in ("table", "md", "html"):
        shown = evals.report(tmp_path / "run", format=form)
        assert "Krippendorff" in shown
        assert "third:judge" in shown
