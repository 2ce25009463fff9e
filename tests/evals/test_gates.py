"""Gates from the config to the exit code and the JUnit file, against the fake server."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

import evals
import evals.cli
from evals.runner.gates import GateVerdict
from evals.runner.junit import junit_xml
from rag.cli.app import app
from rag.errors import ConfigError
from tests.evals.runs import run_config, run_data, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

assert evals.cli.COMMAND_MODULES


def _cases(folder: Path) -> dict[str, str | None]:
    """The failure message of each case, None where it passed."""
    root = ET.parse(folder / "junit.xml").getroot()
    cases = {}
    for case in root.iter("testcase"):
        failure = case.find("failure")
        cases[f"{case.get('classname')} {case.get('name')}"] = (
            None if failure is None else failure.get("message")
        )
    assert root.get("tests") == str(len(cases))
    assert root.get("failures") == str(sum(message is not None for message in cases.values()))
    return cases


def _write(folder: Path, base_url: str, gates: dict[str, Any], *models: str) -> Path:
    write_questions(folder / "questions.jsonl", 20)
    path = folder / "c.yaml"
    path.write_text(json.dumps(run_data(base_url, *models, gates=gates)))
    return path


def test_a_gate_that_fails_exits_3_and_tells_ci(tmp_path: Path) -> None:
    gates = {"docqa/token_f1": {"min": 0.5, "max": 0.9, "system": "mock"}, "docqa/exact_match": {"max": 1}}
    with FakeServer() as server:
        path = _write(tmp_path, server.base_url, gates, "mock", "other")
        done = CliRunner().invoke(app, ["eval", "run", str(path), "--out", str(tmp_path / "r")])
    assert done.exit_code == 3, done.output
    assert "ragassay: gate failed: mock, docqa/token_f1: 0, below 0.5" in done.stderr
    assert "gates:      3 of 4 kept" in done.stdout
    assert _cases(tmp_path / "r") == {
        "docqa/token_f1 mock: min 0.5": "0, below 0.5",
        "docqa/token_f1 mock: max 0.9": None,
        "docqa/exact_match mock: max 1": None,
        "docqa/exact_match other: max 1": None,
    }
    state = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (state["exit_code"], [gate["passed"] for gate in state["gates"]]) == (3, [False, True, True, True])
    again = CliRunner().invoke(app, ["eval", "rescore", str(tmp_path / "r"), "--json"])
    assert again.exit_code == 3
    assert json.loads(again.stdout)["gates"][0]["bound"] == "min 0.5"


def test_gates_that_hold_exit_0(tmp_path: Path) -> None:
    with FakeServer() as server:
        path = _write(tmp_path, server.base_url, {"docqa/token_f1": {"min": 0}})
        result = evals.run(path, out=tmp_path / "r")
    assert (result.exit_code, [v.reason for v in result.gates]) == (0, ["0, at least 0"])


def test_a_value_just_below_is_told_from_its_bound(tmp_path: Path) -> None:
    """Two of three are right; the bound is that share, rounded up in the fifth place."""
    write_questions(tmp_path / "questions.jsonl", 3)
    rows = [{"id": f"q{n:04}", "answer": str(n if n < 2 else -1)} for n in range(3)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = run_config(
        tmp_path,
        "http://127.0.0.1:9",
        systems=[{"name": "given", "recorded": "answers.jsonl"}],
        gates={"docqa/exact_match": {"min": 0.6667}},
    )
    (verdict,) = evals.run(config, out=tmp_path / "r").gates
    assert verdict.reason == "0.6666666666666666, below 0.6667"


def test_what_is_missing_counts_as_wrong(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 10)
    with FakeServer() as server:
        server.script(*[Behaviour(fault="server_error")] * 4)
        config = run_config(tmp_path, server.base_url, gates={"docqa/token_f1": {"min": 0.01}})
        result = evals.run(config, out=tmp_path / "r")
    assert result.exit_code == 3
    assert result.gates[0].reason == "0, if the 4 missing of 10 were wrong, below 0.01"


def test_nothing_scored_keeps_no_gate(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    with FakeServer() as server:
        config = run_config(
            tmp_path, server.base_url, "fault:server_error", gates={"docqa/token_f1": {"max": 1}}
        )
        result = evals.run(config, out=tmp_path / "r")
    assert result.exit_code == 3
    assert result.gates[0].reason == "nothing was scored: server_error 3"


def test_a_gate_says_why_nothing_was_scored(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 3)
    gates = {"docqa/token_f1": {"min": 0, "no_regression_from": "good"}}
    with FakeServer() as server:
        evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "good")
        limits = {"concurrency": 1, "max_attempts": 1}
        systems = [{"name": "mock", "provider": "lab:fault:auth"}]
        config = run_config(
            tmp_path, server.base_url, "fault:auth", gates=gates, limits=limits, systems=systems
        )
        refused = evals.run(config, out=tmp_path / "refused")
        limits["budget_usd"] = "0.0000001"
        unasked = evals.run(
            run_config(tmp_path, server.base_url, gates=gates, limits=limits), out=tmp_path / "unasked"
        )
    assert refused.gates[0].reason == "nothing was scored: auth 1"
    assert [verdict.reason for verdict in unasked.gates] == ["nothing was scored: no reply"] * 2


def test_a_run_that_can_go_on_says_so_first(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 10)
    limits = {"concurrency": 1, "max_attempts": 1, "budget_usd": "0.0001"}
    with FakeServer() as server:
        config = run_config(tmp_path, server.base_url, gates={"docqa/token_f1": {"min": 0.5}}, limits=limits)
        result = evals.run(config, out=tmp_path / "r")
    assert result.exit_code == 4
    assert not result.gates[0].passed


def test_no_regression_from_an_earlier_run(tmp_path: Path) -> None:
    """The answers of the second run are right, then wrong again in the third."""
    write_questions(tmp_path / "questions.jsonl", 20)
    answers = tmp_path / "answers.jsonl"
    gate = {"docqa/exact_match": {"no_regression_from": "good"}}

    def given(name: str, right: int, *, answered: int = 20, **more: Any) -> evals.RunResult:
        rows = [{"id": f"q{n:04}", "answer": str(n if n < right else -1)} for n in range(answered)]
        answers.write_text("".join(json.dumps(row) + "\n" for row in rows))
        systems = [{"name": "prod", "recorded": "answers.jsonl"}, *more.pop("also", ())]
        config = run_config(tmp_path, "http://127.0.0.1:9", systems=systems, **more)
        return evals.run(config, out=tmp_path / name)

    assert given("good", 20).exit_code == 0
    within = given("within", 17, gates=gate)
    assert within.exit_code == 0
    assert within.gates[0].reason.startswith("not worse beyond chance: −0.150 (")
    worse = given("worse", 5, gates=gate, also=[{"name": "new", "recorded": "answers.jsonl"}])
    assert worse.exit_code == 3
    assert worse.gates[0].bound == "no regression from good"
    assert worse.gates[0].reason.startswith("worse beyond chance: −0.750 (")
    assert worse.gates[1].reason == "new: the earlier run lacks it"
    silent = given("silent", 20, answered=8, gates=gate)
    assert silent.gates[0].reason.startswith("worse beyond chance: −0.600 (")
    assert silent.gates[0].reason.endswith("on 20 samples, if the 12 missing of 20 were wrong, p < 0.001")
    named = {"docqa/exact_match": {"no_regression_from": "good", "system": "new"}}
    failed = given("named", 20, gates=named, also=[{"name": "new", "recorded": "answers.jsonl"}])
    assert failed.exit_code == 3
    assert "share no system" in failed.gates[0].reason


def test_a_gate_on_passages_leaves_closed_books_alone(tmp_path: Path) -> None:
    """Of answers given elsewhere nobody knows beforehand whether they come with passages."""
    write_questions(tmp_path / "questions.jsonl", 2)
    (tmp_path / "answers.jsonl").write_text(
        '{"id": "q0000", "answer": "0"}\n{"id": "q0001", "answer": "1"}\n'
    )
    given = {"name": "given", "recorded": "answers.jsonl"}
    closed = {"name": "closed", "provider": "lab:mock"}
    with FakeServer() as server:

        def config(systems: list[dict[str, str]], **gate: Any) -> Any:
            return run_config(
                tmp_path,
                server.base_url,
                systems=systems,
                benchmarks=[{"name": "docqa", "data": "questions.jsonl", "metrics": ["k_precision"]}],
                gates={"docqa/k_precision": {"min": 0.5, **gate}},
            )

        verdicts = evals.run(config([given, closed]), out=tmp_path / "r").gates
        assert [(v.system, v.reason) for v in verdicts] == [
            ("given", "nothing was scored: no passages known 2")
        ]
        with pytest.raises(ConfigError, match="every system is asked without; name a system with 'rag:'"):
            evals.plan(config([closed]))
        with pytest.raises(
            ConfigError, match="never be kept: the metric needs passages, and closed is asked"
        ):
            evals.plan(config([given, closed], system="closed"))


def test_junit_says_what_xml_can_say() -> None:
    nasty = "a\x00b<&\"'>\ud800\x1b[0m"
    verdict = GateVerdict(metric="b/m", system=nasty, bound="min 1", passed=False, reason=nasty)
    root = ET.fromstring(junit_xml(nasty, [verdict]))
    assert root.find("testsuite/testcase/failure") is not None
    assert "<&\"'>" in (root.find("testsuite/testcase") or root).attrib.get("name", "") or len(root) == 1


@pytest.mark.parametrize(
    "setting", [{"gates": {"docqa/token_f1": {"min": math.nan}}}, {"limits": {"timeout_s": math.inf}}]
)
def test_a_bound_is_a_finite_number(tmp_path: Path, setting: dict[str, Any]) -> None:
    """No value is below NaN, nor above; and no JSON can say either."""
    with pytest.raises(ConfigError, match="should be a finite number"):
        run_config(tmp_path, "http://127.0.0.1:9", **setting)


@pytest.mark.parametrize("gate", [{}, {"system": "mock"}])
def test_a_gate_without_a_bound_is_refused(tmp_path: Path, gate: dict[str, Any]) -> None:
    with FakeServer() as server:
        path = _write(tmp_path, server.base_url, {"docqa/token_f1": gate})
        done = CliRunner().invoke(app, ["eval", "run", str(path)])
        assert done.exit_code == 2
        assert "give min, max or no_regression_from" in done.stderr
        assert server.counters.requests == 0
