"""What is shown: the table, the JSON, the page, the files, and what the command says and exits with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import evals.cli  # adds its commands
from evals.load.page import render_page
from evals.load.plan import Level, LoadPlan
from evals.load.record import Shot, shot_from_json
from evals.load.run import LevelResult, LoadResult
from evals.load.tables import render_table
from evals.load.watch import ClientLoad
from rag.cli.app import app
from rag.core import Outcome
from tests.conftest import REPO, assert_golden
from tests.evals.load.measuring import PRICE, shot
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

assert evals.cli.COMMAND_MODULES


def level(label: float, shots: list[Shot], **given: Any) -> LevelResult:
    kind = {"concurrency": label} if isinstance(label, int) else {"rate": label}
    return LevelResult(
        level=Level(requests=given.pop("requests", len(shots)), warmup=1, **kind),
        shots=tuple(shots),
        load=ClientLoad(cpu_share=given.pop("cpu_share", 0.12), lag_p95_ms=0.5),
        processes=1,
        warmup=1,
        **given,
    )


def fixed_result() -> LoadResult:
    """Return made-up figures: 120 alike, 12 with failures and a busy client, a growing queue."""
    calm = [shot(n, due=10.0 + n / 4) for n in range(120)]
    rough = [shot(n, due=10.0, end=11.0 + n / 10) for n in range(9)]
    rough += [shot(9 + n, outcome=Outcome.RATE_LIMITED, output_tokens=None) for n in range(3)]
    late = [shot(n, due=10.0 + n / 2, sent=10.0 + n, first_token=11.0 + n, end=12.0 + n) for n in range(40)]
    return LoadResult(
        provider="lab",
        model="mock",
        plan=LoadPlan(ref="lab:mock", levels=()),
        created=datetime(2026, 11, 21, 9, 30, tzinfo=UTC),
        levels=(level(1, calm), level(12, rough, cpu_share=0.93), level(2.0, late)),
        spent_usd=Decimal("0.0123"),
        price="$0.5 in, $1.5 out per million tokens (config)",
    )


def test_the_table_at_80_columns() -> None:
    table = render_table(fixed_result(), width=80)
    assert max(map(len, table.splitlines())) <= 80
    assert_golden("load.txt", table)


def test_the_page_holds_plots_tables_and_warnings_and_asks_the_network_for_nothing() -> None:
    result = fixed_result()
    page = render_page(result)
    assert page.count("<svg") == 6, "three plots over concurrency, in two sizes; one rate is no curve"
    for words in ("lab:mock under load", "the client was the bottleneck", "rate_limited 3", "$0.01"):
        assert words in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    assert render_page(result) == page


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(Behaviour(latency_s=0.01, tokens_per_s=2000, tokens=20)) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, server: FakeServer) -> Path:
    path = tmp_path / "c.yaml"
    lab = {"base_url": server.base_url, "models": ["mock"], "price": PRICE}
    path.write_text(json.dumps({"providers": {"lab": lab}}))
    return path


def test_json_has_the_documented_shape(config: Path, tmp_path: Path) -> None:
    arguments = [
        "lab:mock",
        "--config",
        str(config),
        "--concurrency",
        "1,2",
        "--rate",
        "50",
        "--requests",
        "20",
    ]
    done = CliRunner().invoke(app, ["load", *arguments, "--json", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["provider"], found["model"]) == ("lab", "mock")
    assert [one["concurrency"] for one in found["levels"]] == [1, 2, None]
    assert [one["rate"] for one in found["levels"]] == [None, None, 50.0]
    for one in found["levels"]:
        assert one["requests"] == 20
        assert one["outcomes"] == {"ok": 20}
        for name in ("ttft_ms", "total_ms", "inter_token_ms"):
            assert 0 < one[name]["p50"] <= one[name]["p95"] <= one[name]["p99"]
        assert one["total_ms"]["ci"]["p50"][0] <= one["total_ms"]["p50"] <= one["total_ms"]["ci"]["p50"][1]
        assert one["requests_per_s"] * 20 == pytest.approx(one["output_tokens_per_s"])
        assert 0 <= one["client_cpu_share"] <= 1
    assert "warm-up included: $" in done.stderr, "what it may cost is said before"
    lines = [json.loads(line) for line in (tmp_path / "out" / "requests.jsonl").read_text().splitlines()]
    assert len(lines) == 60
    assert [line["concurrency"] for line in lines[::20]] == [1, 2, None]
    first = shot_from_json(lines[0])
    assert first.sent < (first.first_token or 0) < first.end
    assert first.output_tokens == 20
    assert json.loads((tmp_path / "out" / "load.json").read_text()) == found
    assert "</html>" in (tmp_path / "out" / "load.html").read_text()


def test_extractive_says_that_a_first_token_has_no_meaning() -> None:
    done = CliRunner().invoke(app, ["load", "extractive", "--concurrency", "1"])
    assert done.exit_code == 0, done.output
    assert "answers in one piece" in " ".join(done.stdout.split())
    assert "bottleneck" not in done.stdout
    assert done.stderr == "", "nothing is paid"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch:model"], "no provider named 'nosuch'"),
        (["openai:gpt-4o-mini"], "OPENAI_API_KEY is not set"),
        (["lab:mock", "--concurrency", "abc"], "such as 1,8,64"),
        (["lab:mock", "--concurrency", "0"], "whole numbers from 1"),
        (["lab:mock", "--concurrency", "8", "--requests", "4"], "use --requests 40"),
        (["lab:mock", "--rate", "fast"], "requests per second"),
        (["extractive", "--processes", "2"], "leave --processes at auto or 1"),
    ],
)
def test_bad_input_is_one_line_with_the_cure(
    arguments: list[str], said: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = CliRunner().invoke(app, ["load", *arguments, "--config", str(config)])
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_failures_and_stops_have_their_exit_codes(config: Path, server: FakeServer) -> None:
    arguments = ["load", "lab:mock", "--config", str(config), "--concurrency", "1", "--requests", "20"]
    server.script(Behaviour(), Behaviour(fault="server_error"))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1, done.output
    assert "1 of 20 requests failed" in " ".join(done.stdout.split())
    server.script(Behaviour(), Behaviour(), default=Behaviour(fault="quota"))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 4, done.output
    assert "stopped after 2 of 20 requests" in " ".join(done.stdout.split())


@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_prints_what_was_measured(config: Path, server: FakeServer, processes: str) -> None:
    server.script(default=Behaviour(latency_s=0.05))
    program = [sys.executable, "-c", "from evals.cli import main; main()"]
    levels = ["--concurrency", "2", "--requests", "2000", "--processes", processes]
    running = subprocess.Popen(
        [*program, "load", "lab:mock", "--config", str(config), "--json", *levels],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while server.counters.requests < 30 and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 130, err
    found = json.loads(out)
    assert found["interrupted"]
    assert 10 <= found["levels"][0]["requests"] < 2000
    assert "of 2000 measured requests" in err


def test_the_ticks_of_the_plots_are_written_out() -> None:
    fast = [shot(n, due=10.0 + n / 1000, output_tokens=20_000) for n in range(120)]
    result = fixed_result()
    page = render_page(replace(result, levels=(level(1, fast[:60]), level(8, fast))))
    assert "e+0" not in page
