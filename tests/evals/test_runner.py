"""Runs against the fake server: what is called, what is kept, when a run stops and with which exit code."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from evals.runner import ProgressState, SystemTotals
from rag.core import Outcome
from rag.errors import ConfigError, RunError, UnknownNameError, UsageError
from tests.evals.runs import records_of, run_config, run_data, timeless, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer


def test_a_run_keeps_every_reply_and_scores_it(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 10)
    seen: list[ProgressState] = []
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url, "a", "b", repeats=2)
        result = evals.run(config, out=tmp_path / "run", progress=seen.append)
        assert server.counters.requests == 40
    assert (result.exit_code, result.messages, result.failures) == (0, (), ())
    records = records_of(tmp_path / "run")
    assert len(records) == 40
    one = records["a", "q0003", 1]
    assert one.completion.outcome is Outcome.OK
    assert one.completion.cost is not None
    assert one.prompt_sha256 == records["b", "q0003", 0].prompt_sha256
    assert one.started.endswith("Z")
    folder = RunFolder.open(tmp_path / "run")
    assert folder.read()["state"] == "finished"
    assert {len(scored.scores) for scored in folder.scores()} == {2}
    assert len([*folder.scores()]) == 40
    last = [state for state in seen if state.phase == "calls"][-1]
    assert (last.done, last.total, last.systems["a"].done) == (40, 40, 20)
    # A run that misses nothing needs neither server nor key to be gone on with or scored again.
    assert evals.resume(tmp_path / "run").exit_code == 0
    assert evals.rescore(tmp_path / "run").exit_code == 0


def test_systems_are_interleaved_per_sample_in_seeded_order(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 30)
    orders = []
    with FakeServer() as server:
        for name, seed in (("one", 1), ("again", 1), ("two", 2)):
            limits = {"concurrency": 1, "max_attempts": 1}
            config = run_config(tmp_path, server.base_url, "a", "b", seed=seed, limits=limits)
            evals.run(config, out=tmp_path / name)
            orders.append([(r.sample_id, r.system) for r in RunFolder.open(tmp_path / name).records()])
    assert orders[0] == orders[1] != orders[2]
    for first, second in zip(orders[0][::2], orders[0][1::2], strict=True):
        assert first[0] == second[0]
        assert {first[1], second[1]} == {"a", "b"}
    assert {system for _, system in orders[0][::2]} == {"a", "b"}


def test_concurrency_changes_nothing_but_times(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 60)
    with FakeServer(Behaviour(latency_s=0.005)) as server:
        for width in (1, 64):
            server.script(
                shares=[(0.1, Behaviour(fault="content_filter")), (0.1, Behaviour(fault="length"))], seed=3
            )
            limits = {"concurrency": width, "max_attempts": 1}
            config = run_config(tmp_path, server.base_url, "a", "b", limits=limits)
            evals.run(config, out=tmp_path / str(width))
    assert timeless(tmp_path / "1") == timeless(tmp_path / "64")
    scores = [{s.key: s.scores for s in RunFolder.open(tmp_path / w).scores()} for w in ("1", "64")]
    assert scores[0] == scores[1]


def test_embedded_systems_run_alone_after_the_remote_ones(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    with FakeServer(Behaviour(latency_s=0.01)) as server:
        data = run_data(server.base_url)
        data["systems"].append({"name": "x", "provider": "extractive"})
        config = run_config(tmp_path, server.base_url, systems=data["systems"])
        evals.run(config, out=tmp_path / "run")
    records = [*RunFolder.open(tmp_path / "run").records()]
    assert [r.system for r in records] == ["mock"] * 20 + ["x"] * 20
    assert {r.completion.timing.concurrency for r in records if r.system == "x"} == {1}


@pytest.mark.parametrize(("failing", "too_many"), [(20, False), (21, True)])
def test_a_failure_fails_a_run_and_more_than_ten_percent_are_said_to_be_too_many(
    tmp_path: Path, failing: int, too_many: bool
) -> None:
    write_questions(tmp_path / "questions.jsonl", 200)
    with FakeServer() as server:
        server.script(*[Behaviour(fault="server_error")] * failing)
        config = run_config(tmp_path, server.base_url)
        result = evals.run(config, out=tmp_path / "run")
        assert result.exit_code == 1
        assert ("more than max_error_rate allows" in result.messages[0]) is too_many
        assert len(result.failures) == failing
        assert f"{failing} of 200 samples have no usable reply" in result.messages[0]
        assert f"'ragassay eval resume {result.folder}' asks for what is missing" in result.messages[-1]
        assert "'ragassay providers check lab:mock'" in result.messages[-1]
        again = evals.resume(tmp_path / "run")
        assert (again.exit_code, again.failures) == (0, ())
        assert server.counters.requests == 200 + failing


@pytest.mark.parametrize(("missing", "fails"), [(100, False), (101, True)])
def test_the_error_threshold_is_exact(missing: int, fails: bool) -> None:
    totals = SystemTotals(wanted=1000, outcomes={Outcome.OK: 1000 - missing, Outcome.TIMEOUT: missing})
    assert totals.too_many_missing(0.1) is fails


def test_a_systems_own_failures_do_not_fail_a_run(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 10)
    with FakeServer(Behaviour(fault="content_filter")) as server:
        result = evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "run")
        assert result.exit_code == 0
        evals.resume(tmp_path / "run")
        assert server.counters.requests == 10
    values = {score.value for scored in RunFolder.open(tmp_path / "run").scores() for score in scored.scores}
    assert values == {0.0}


@pytest.mark.parametrize("fault", ["auth", "quota"])
def test_a_refused_key_or_quota_stops_that_system_and_no_other(tmp_path: Path, fault: str) -> None:
    write_questions(tmp_path / "questions.jsonl", 100)
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url, f"fault:{fault}", "good")
        data = config.model_dump(mode="json", exclude_none=True)
        data["systems"][0]["name"] = "bad"
        data["limits"]["concurrency"] = 4
        (tmp_path / "c.yaml").write_text(json.dumps(data))
        result = evals.run(tmp_path / "c.yaml", out=tmp_path / "run")
        assert result.exit_code == 4
        assert server.counters.faults[fault] <= 4
        assert result.messages[0].startswith(f"bad was stopped: {fault}")
        assert result.systems["good"].missing == 0
        assert RunFolder.open(tmp_path / "run").read()["state"] == "stopped"
        before = server.counters.requests
        assert evals.resume(tmp_path / "run").exit_code == 4
        assert server.counters.requests - before <= 4


def test_a_budget_stops_a_run_and_resume_keeps_what_was_spent(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 300)
    cap = Decimal("0.01")
    with FakeServer(Behaviour(latency_s=0.002)) as server:
        result = evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "run", budget=cap)
        assert result.exit_code == 4
        assert "budget" in result.messages[0]
        spent = sum(r.completion.cost or 0 for r in RunFolder.open(tmp_path / "run").replies())
        assert cap * Decimal("0.7") < spent <= cap
        before = server.counters.requests
        assert evals.resume(tmp_path / "run").exit_code == 4
        spent = sum(r.completion.cost or 0 for r in RunFolder.open(tmp_path / "run").replies())
        assert spent <= cap
        assert server.counters.requests - before <= 8
        before, stored = server.counters.requests, len(records_of(tmp_path / "run"))
        assert evals.resume(tmp_path / "run", budget=1).exit_code == 0
        assert server.counters.requests - before == 300 - stored
    state = RunFolder.open(tmp_path / "run").read()
    assert (state["state"], state["stops"], state["limits"]["budget_usd"]) == ("finished", {}, "1")


def test_an_assumed_rate_is_not_spent_from_the_budget(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    systems = [{"name": "x", "provider": "extractive", "price": {"usd_per_hour": 1_000_000}}]
    config = run_config(tmp_path, "", systems=systems)
    assert evals.run(config, out=tmp_path / "run", budget=Decimal("0.001")).exit_code == 0
    (tmp_path / "run" / "journal.jsonl").write_bytes(
        (tmp_path / "run" / "journal.jsonl").read_bytes().split(b"\n", 1)[1]
    )
    assert evals.resume(tmp_path / "run").exit_code == 0
    assert RunFolder.open(tmp_path / "run").read()["spent_usd"] == "0"


def test_resume_of_a_whole_run_says_that_it_is_finished(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    with FakeServer() as server:
        evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    folder.update(state="interrupted", exit_code=130, stops={"mock": {"reason": "x", "exit_code": 4}})
    assert evals.resume(tmp_path / "run").exit_code == 0
    state = folder.read()
    assert (state["state"], state["exit_code"], state["stops"]) == ("finished", 0, {})
    assert evals.rescore(tmp_path / "run").exit_code == 0


def test_an_endpoint_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 200)
    with FakeServer() as server:
        gone = server.base_url
    result = evals.run(run_config(tmp_path, gone), out=tmp_path / "run")
    assert result.exit_code == 1
    assert "none of the first 20 calls got through" in result.messages[0]
    assert len(records_of(tmp_path / "run")) < 40


def test_unknown_usage_and_price_stay_unknown(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 5)
    with FakeServer() as server:
        data = run_data(server.base_url, "fault:no_usage", "unpriced")
        evals.run(run_config(tmp_path, server.base_url, "fault:no_usage"), out=tmp_path / "usage")
        data["providers"]["lab"].pop("price")
        config = run_config(
            tmp_path, server.base_url, providers=data["providers"], systems=data["systems"][1:]
        )
        evals.run(config, out=tmp_path / "price")
    for folder in ("usage", "price"):
        assert {r.completion.cost for r in records_of(tmp_path / folder).values()} == {None}


def test_resume_follows_the_run_and_not_the_edited_config(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 10)
    with FakeServer() as server:
        server.script(*[Behaviour(fault="server_error")] * 4)
        path = tmp_path / "c.yaml"
        path.write_text(json.dumps(run_data(server.base_url)))
        evals.run(path, out=tmp_path / "run")
        assert (tmp_path / "run" / "spec.yaml").read_text() == path.read_text()
        path.write_text("systems: []")
        (tmp_path / "questions.jsonl").write_text("")
        result = evals.resume(tmp_path / "run")
        assert (result.exit_code, result.systems["mock"].missing) == (0, 0)
        assert server.counters.requests == 14


def test_a_lost_context_or_score_is_no_loss(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 5)
    with FakeServer() as server:
        evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "run")
    scores = (tmp_path / "run" / "scores.jsonl").read_bytes()
    (tmp_path / "run" / "scores.jsonl").unlink()
    evals.rescore(tmp_path / "run")
    assert (tmp_path / "run" / "scores.jsonl").read_bytes() == scores


def test_a_damaged_line_is_reported_and_asked_again(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 5)
    with FakeServer() as server:
        evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "run")
        journal = tmp_path / "run" / "journal.jsonl"
        data = bytearray(journal.read_bytes())
        data[300] ^= 1
        journal.write_bytes(data)
        result = evals.rescore(tmp_path / "run")
        assert "journal.jsonl line 1 is damaged" in result.messages[-1]
        assert result.exit_code == 1  # one of five samples is missing
        assert evals.resume(tmp_path / "run").exit_code == 0
        assert server.counters.requests == 6


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"systems": []}, ConfigError, "names no systems"),
        ({"benchmarks": []}, ConfigError, "names no benchmarks"),
        ({"gates": {"docqa/token_f2": {"min": 0.3}}}, UnknownNameError, "did you mean 'docqa/token_f1'"),
        (
            {"gates": {"docqa/token_f1": {"min": 0.3, "system": "mok"}}},
            UnknownNameError,
            "did you mean 'mock'",
        ),
        ({"gates": {"docqa/token_f1": {"no_regression_from": "gone"}}}, RunError, "not a run folder"),
        ({"systems": [{"name": "x", "provider": "lba:mock"}]}, UnknownNameError, "did you mean 'lab'"),
        ({"systems": [{"name": "x", "provider": "lab:mok"}]}, UnknownNameError, "did you mean 'mock'"),
        ({"systems": [{"name": "x", "recorded": "gone.jsonl"}]}, ConfigError, "gone.jsonl"),
        ({"systems": [{"name": "x", "runnable": "json:dumps"}]}, ConfigError, "RunnableLambda"),
        ({"systems": [{"name": "x", "runnable": "nowhere_at_all:chain"}]}, UsageError, "nowhere_at_all"),
        (
            {"systems": [{"name": "x", "provider": "extractive", "rag": {"collection": "handbok"}}]},
            UnknownNameError,
            "handbok",
        ),
        ({"benchmarks": [{"name": "mmluu"}]}, UnknownNameError, "did you mean 'mmlu'"),
        ({"benchmarks": [{"name": "docqa", "data": "gone.jsonl"}]}, ConfigError, "gone.jsonl"),
        (
            {"benchmarks": [{"name": "docqa", "data": "questions.jsonl", "metrics": ["token_f2"]}]},
            UnknownNameError,
            "did you mean 'token_f1'",
        ),
        (
            {"benchmarks": [{"name": "docqa", "data": "questions.jsonl", "shots": 3}]},
            ConfigError,
            "does not use 'shots'",
        ),
    ],
)
def test_what_is_wrong_is_said_before_any_call(
    tmp_path: Path, change: dict[str, object], error: type, message: str
) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url, **change)
        with pytest.raises(error, match=message):
            evals.run(config, out=tmp_path / "run")
        with pytest.raises(error, match=message):
            evals.plan(config)
        assert server.counters.requests == 0
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_overwrite_another(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 2)
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url)
        evals.run(config, out=tmp_path / "run")
        with pytest.raises(RunError, match="eval resume"):
            evals.run(config, out=tmp_path / "run")
        with pytest.raises(RunError, match="not a run"):
            evals.run(config, out=tmp_path)
        assert evals.run(config).folder.parent == config.home_dir() / "runs"
        assert server.counters.requests == 4


def test_the_forecast_bounds_what_the_run_costs(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url, repeats=2)
        forecast = evals.plan(config, limit=10)
        assert server.counters.requests == 0
        evals.run(config, out=tmp_path / "run", limit=10)
    system = forecast.systems[0]
    assert (forecast.calls, system.calls) == (20, 20)
    assert system.cost_low_usd is not None
    assert system.cost_high_usd is not None
    assert system.cost_low_usd < system.cost_high_usd
    paid = sum(r.completion.cost or 0 for r in records_of(tmp_path / "run").values())
    assert paid <= system.cost_high_usd
    assert json.dumps(forecast.to_json())


def test_the_forecast_of_an_unpriced_system_is_unknown(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    systems = [
        {"name": "hourly", "provider": "extractive", "price": {"usd_per_hour": 0.4}},
        {"name": "unpriced", "provider": "lab:mock"},
    ]
    providers = {"lab": {"base_url": "http://127.0.0.1:9/v1", "models": ["mock"]}}
    forecast = evals.plan(run_config(tmp_path, "", systems=systems, providers=providers))
    assert [s.cost_high_usd for s in forecast.systems] == [None, None]
    assert forecast.systems[0].cells()[-1] == "$0.4 per busy hour (assumed)"
    assert forecast.systems[1].cells()[-1] == "price unknown"
    assert forecast.cost_high_usd is None
