"""Promises about limits, kept by whole runs: the server's own counters are the oracle.

CI repeats little; `-m nightly` repeats as often as the promise says.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

import evals
from evals.folder import RunFolder
from rag.core import Outcome
from rag.providers import breaker
from tests.evals.runs import records_of, run_config, run_data, timeless, write_questions
from tests.evals.test_runner_interrupted import end, prepare, start, wait_for_replies
from tests.fakes.faults import FAULTS
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

FULL = (pytest.mark.nightly, pytest.mark.timeout(3600))
OK = Behaviour()


def sizes(small: tuple[object, ...], full: tuple[object, ...]) -> list[object]:
    return [pytest.param(*small, id="ci"), pytest.param(*full, id="full", marks=FULL)]


def seconds_of_calls(folder: Path) -> float:
    """Return the time from the first call of a run until its last reply was safe."""
    first = min(reply.started for reply in RunFolder.open(folder).replies())
    return (folder / "journal.jsonl").stat().st_mtime - datetime.fromisoformat(first).timestamp()


def shuffled(behaviours: list[Behaviour], seed: int = 5) -> list[Behaviour]:
    random.Random(seed).shuffle(behaviours)
    return behaviours


# ---------------------------------------------------------------- row 10


@pytest.mark.parametrize(("interrupts", "every"), sizes((2, 10), (20, 5)))
def test_an_interrupted_run_leaves_a_readable_log(tmp_path: Path, interrupts: int, every: int) -> None:
    with FakeServer(Behaviour(latency_s=0.2)) as server:
        prepare(tmp_path, server.base_url)
        kept = 0
        for number in range(interrupts):
            process = start(tmp_path, "resume" if number else "run")
            wait_for_replies(process, tmp_path, kept + every)
            time.sleep(random.Random(number).uniform(0, 0.1))
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            process.communicate(timeout=10)
            assert time.monotonic() - sent < 5
            assert process.returncode == 130
            assert RunFolder.open(tmp_path / "run").read()["state"] == "interrupted"
            now = len(records_of(tmp_path / "run"))
            assert now > kept
            kept = now


def test_ctrl_c_ends_a_long_wait_at_once_and_the_wait_was_explained(tmp_path: Path) -> None:
    with FakeServer() as server:
        prepare(tmp_path, server.base_url)
        server.script(*[OK] * 10, default=Behaviour(fault="rate_limited", wait="600"))
        command = "import sys; from evals.cli import main; sys.argv[0] = 'ragassay'; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", command, "eval", "run", tmp_path / "c.yaml", "--out", tmp_path / "run"],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            line = process.stderr.readline()
            assert "lab asks to wait 600 s: HTTP 429" in line
            process.send_signal(signal.SIGINT)
            sent = time.monotonic()
            process.communicate(timeout=10)
            assert time.monotonic() - sent < 2
            assert process.returncode == 130
        finally:
            end(process)


# ---------------------------------------------------------------- row 11


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("samples", "wait"), sizes((100, "0.1"), (1000, "2")))
def test_a_storm_of_refusals_is_weathered(tmp_path: Path, samples: int, wait: str) -> None:
    write_questions(tmp_path / "questions.jsonl", samples)
    with FakeServer() as server:
        server.script(shares=[(0.5, Behaviour(fault="rate_limited", wait=wait))], seed=11)
        config = run_config(tmp_path, server.base_url, limits={"concurrency": 32})
        result = evals.run(config, out=tmp_path / "run")
        seen = server.counters
    assert (result.exit_code, result.systems["mock"].outcomes) == (0, {Outcome.OK: samples})
    assert seen.max_in_flight <= 32
    assert seen.early == 0
    assert seen.waits_kept == seen.requests - samples == seen.faults["rate_limited"] > samples / 3
    records = records_of(tmp_path / "run").values()
    assert sum(r.completion.attempts for r in records) == seen.requests


# ---------------------------------------------------------------- row 13

TERMINAL = [
    *(("openai", fault) for fault in ("auth", "forbidden", "not_found", "quota")),
    *(("anthropic", "spend_limit"), ("gemini", "quota")),
]


@pytest.mark.parametrize(("wire", "fault"), TERMINAL)
@pytest.mark.parametrize("width", [1, 8])
def test_what_only_a_person_can_mend_stops_the_system_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wire: str, fault: str, width: int
) -> None:
    outcome = FAULTS[wire][fault].outcome
    monkeypatch.setenv("LAB_KEY", "test-key")
    write_questions(tmp_path / "questions.jsonl", 30)
    with FakeServer(Behaviour(fault=fault)) as server:
        data = run_data(server.base_url, limits={"concurrency": width})
        root = server.base_url.removesuffix("/v1")
        url = server.base_url if wire == "openai" else root
        data["providers"]["lab"] |= {"wire": wire, "base_url": url, "api_key_env": "LAB_KEY"}
        (tmp_path / "c.yaml").write_text(json.dumps(data))
        result = evals.run(tmp_path / "c.yaml", out=tmp_path / "run")
        assert seconds_of_calls(tmp_path / "run") < 2
        assert result.exit_code == 4
        assert 1 <= server.counters.requests <= width
        assert result.messages[0].startswith(f"mock was stopped: {outcome}: HTTP 4")
        assert {f.outcome for f in result.failures} == {outcome}
        assert RunFolder.open(tmp_path / "run").read()["state"] == "stopped"
        server.script(default=OK)
        again = evals.resume(tmp_path / "run")
        assert (again.exit_code, again.systems["mock"].outcomes) == (0, {Outcome.OK: 30})


def test_a_wait_that_outlasts_the_deadline_stops_the_system(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 50)
    with FakeServer() as server:
        server.script(*[OK] * 10, default=Behaviour(fault="rate_limited", wait="7200"))
        config = run_config(tmp_path, server.base_url, limits={"concurrency": 4})
        result = evals.run(config, out=tmp_path / "run")
        assert seconds_of_calls(tmp_path / "run") < 2
        assert result.exit_code == 4
        assert "lab asked to wait" in result.messages[0]
        assert server.counters.requests <= 10 + 4


# ---------------------------------------------------------------- row 14

BROKEN = [
    *("rst", "fin", "rst_mid_body", "fin_mid_body", "unterminated_chunk", "gzip_garbage", "html_502"),
    *("html_200", "empty_200", "json_cut", "error_200", "choices_empty", "content_null", "function_call"),
    *("clean_close", "mid_error", "server_error"),
]


@pytest.mark.parametrize("each", [pytest.param(3, id="ci"), pytest.param(30, id="full", marks=FULL)])
def test_what_is_broken_is_counted_and_not_scored(tmp_path: Path, each: int) -> None:
    samples, failing = round(each * 1000 / 30), len(BROKEN) * each
    rows = [
        {"id": str(n), "question": f"Which city is number {n}?", "answer": "Lisbon"} for n in range(samples)
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    right = Behaviour(text="Lisbon")
    with FakeServer() as server:
        queue = [Behaviour(fault=name) for name in BROKEN for _ in range(each)]
        server.script(*shuffled(queue + [right] * (samples - failing)))
        result = evals.run(run_config(tmp_path, server.base_url), out=tmp_path / "run")
        assert (server.counters.requests, len(BROKEN)) == (samples, 17)
    expected = Counter(FAULTS["openai"][name].expected(streamed=True) for name in BROKEN)
    assert result.exit_code == 1
    assert result.systems["mock"].outcomes == {
        Outcome.OK: samples - failing,
        **{Outcome(name): number * each for name, number in expected.items()},
    }
    assert all(failure.error for failure in result.failures)
    report = json.loads(evals.report(tmp_path / "run", format="json"))
    metric = report["systems"][0]["metrics"]["docqa/token_f1"]
    assert (metric["n"], metric["total"], metric["mean"]) == (samples - failing, samples, 1.0)
    assert metric["mean_if_missing_wrong"] == pytest.approx((samples - failing) / samples)
    shown = " ".join(evals.report(tmp_path / "run").split())
    assert f"{samples - failing} of {samples:,} samples measured" in shown
    assert f"{metric['mean_if_missing_wrong']:.3f} if the rest were wrong" in shown


# ---------------------------------------------------------------- row 17


@pytest.mark.parametrize(("failing", "too_many"), [(100, False), (101, True)])
def test_ten_percent_of_errors_pass_and_a_tenth_of_a_percent_more_fail(
    tmp_path: Path, failing: int, too_many: bool
) -> None:
    write_questions(tmp_path / "questions.jsonl", 1000)
    with FakeServer() as server:
        faults = [Behaviour(fault="server_error")] * failing
        server.script(*shuffled(faults + [OK] * (1000 - failing)))
        config = run_config(tmp_path, server.base_url, limits={"concurrency": 32, "max_attempts": 1})
        result = evals.run(config, out=tmp_path / "run")
    assert f"{failing} of 1000 samples have no usable reply" in result.messages[0]
    assert ("more than max_error_rate allows" in result.messages[0]) is too_many


# ---------------------------------------------------------------- rows 18 and 19


@pytest.mark.parametrize(("cap", "width", "samples"), sizes(("0.04", 16, 250), ("1", 64, 5000)))
def test_a_budget_is_kept_and_resume_remembers_it(tmp_path: Path, cap: str, width: int, samples: int) -> None:
    write_questions(tmp_path / "questions.jsonl", samples)
    with FakeServer(Behaviour(latency_s=0.002)) as server:
        data = run_data(server.base_url, limits={"concurrency": width, "budget_usd": cap})
        data["providers"]["lab"]["price"] = {"input_per_mtok": "0.50", "output_per_mtok": "60"}
        (tmp_path / "c.yaml").write_text(json.dumps(data))
        result = evals.run(tmp_path / "c.yaml", out=tmp_path / "run")
        first = server.counters.requests
        for _ in range(2):
            spent = sum(r.completion.cost for r in RunFolder.open(tmp_path / "run").replies())
            assert Decimal(cap) * Decimal("0.9") < spent <= Decimal(cap)
            assert result.exit_code == 4
            assert server.counters.requests < samples
            result = evals.resume(tmp_path / "run")
        assert server.counters.requests - first <= width
        assert len(server.counters.calls) == server.counters.requests, "a call was paid twice"


def test_no_row_costs_nothing_where_usage_or_price_is_unknown(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.jsonl", 20)
    faults = ("no_usage", "usage_null", "usage_odd")
    with FakeServer() as server:
        data = run_data(server.base_url, *(f"fault:{name}" for name in faults), "mock")
        for system, name in zip(data["systems"], (*faults, "unpriced"), strict=True):
            system["name"] = name
        data["providers"]["free-of-price"] = {"base_url": server.base_url, "models": ["mock"]}
        data["systems"][-1]["provider"] = "free-of-price:mock"
        (tmp_path / "c.yaml").write_text(json.dumps(data))
        evals.run(tmp_path / "c.yaml", out=tmp_path / "run")
    records = records_of(tmp_path / "run")
    assert len(records) == 80
    assert {record.completion.cost for record in records.values()} == {None}
    systems = json.loads(evals.report(tmp_path / "run", format="json"))["systems"]
    assert {system["cost"]["total_usd"] for system in systems} == {None}
    assert "$0.0" not in evals.report(tmp_path / "run")


# ---------------------------------------------------------------- rows 20 and 22


@pytest.mark.parametrize("fault", ["drip", "drip_headers"])
@pytest.mark.parametrize(("timeout_s", "pace", "within"), sizes((1.0, 5.0, 0.5), (60.0, 0.2, 2.0)))
def test_the_clock_on_the_wall_beats_a_reply_that_trickles(
    tmp_path: Path, fault: str, timeout_s: float, pace: float, within: float
) -> None:
    write_questions(tmp_path / "questions.jsonl", 1)
    with FakeServer(Behaviour(fault=fault, tokens_per_s=pace)) as server:
        limits = {"max_attempts": 1, "timeout_s": timeout_s}
        result = evals.run(run_config(tmp_path, server.base_url, limits=limits), out=tmp_path / "run")
    assert seconds_of_calls(tmp_path / "run") == pytest.approx(timeout_s, abs=within)
    assert result.systems["mock"].outcomes == {Outcome.TIMEOUT: 1}


@pytest.mark.parametrize("samples", [pytest.param(40, id="ci"), pytest.param(1000, id="full", marks=FULL)])
def test_concurrency_changes_the_file_in_nothing_but_times(tmp_path: Path, samples: int) -> None:
    write_questions(tmp_path / "questions.jsonl", samples)
    shares = [(0.05, Behaviour(fault=name)) for name in ("length", "refusal", "server_error", "clean_close")]
    with FakeServer(Behaviour(latency_s=0.005)) as server:
        for width in (1, 64):
            server.script(default=Behaviour(latency_s=0.005), shares=shares, seed=22)
            limits = {"concurrency": width, "max_attempts": 1}
            config = run_config(tmp_path, server.base_url, "a", "b", limits=limits)
            evals.run(config, out=tmp_path / str(width))
    assert timeless(tmp_path / "1") == timeless(tmp_path / "64")


# ---------------------------------------------------------------- a provider that is down


def test_a_provider_that_is_down_holds_up_no_other_and_its_run_goes_on_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "_COOL_DOWN_S", 0.5)  # long against all that the healthy one has to do
    write_questions(tmp_path / "questions.jsonl", 100)
    with FakeServer() as well, FakeServer() as ill:
        ill.script(*[OK] * 20, *[Behaviour(fault="server_error")] * 26)
        # One call at a time: in any other order the failures might not come in a row.
        data = run_data(well.base_url, limits={"concurrency": 1, "max_attempts": 1, "timeout_s": 5})
        data["providers"]["ill"] = {"base_url": ill.base_url, "models": ["mock"]}
        data["systems"].append({"name": "ill", "provider": "ill:mock"})
        (tmp_path / "c.yaml").write_text(json.dumps(data))
        result = evals.run(tmp_path / "c.yaml", out=tmp_path / "run")
        assert result.systems["mock"].outcomes == {Outcome.OK: 100}
        assert result.systems["ill"].outcomes == {Outcome.OK: 74, Outcome.SERVER_ERROR: 26}
        assert ill.counters.requests == 100
        records = list(RunFolder.open(tmp_path / "run").records())
        last = max(n for n, record in enumerate(records) if record.system == "mock")
        assert {r.system for r in records[last + 1 :]} == {"ill"}, "the healthy one had to wait"
        assert evals.resume(tmp_path / "run").exit_code == 0
