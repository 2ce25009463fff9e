"""The structured log as its reader meets it: one JSON line an attempt, no key and no prompt in any."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from rag.attempts import record_attempt
from rag.config import LimitsConfig, PriceConfig
from rag.core import Completion, Message, Outcome, Request, Timing
from rag.pricing import price_for
from rag.providers.limits import Limited
from rag.providers.openai import OpenAIProvider
from tests.evals.runs import run_data, write_questions
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

KEY = "sk-canary-0123456789abcdef"
REQUEST = Request(messages=(Message(role="user", content="what nobody else shall read"),))


def ragassay(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from evals.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAB_KEY": KEY, **environment},
    )


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def a_run(folder: Path, server: FakeServer, number: int = 20) -> str:
    """Write a config of `number` calls and return its path."""
    write_questions(folder / "questions.jsonl", number)
    data = run_data(server.base_url)
    data["providers"]["lab"]["api_key_env"] = "LAB_KEY"
    data["limits"] = {"concurrency": 8, "max_attempts": 4}
    (folder / "run.yaml").write_text(yaml.safe_dump(data))
    return str(folder / "run.yaml")


def test_a_line_for_each_attempt_of_a_run(tmp_path: Path) -> None:
    with FakeServer() as server:
        config = a_run(tmp_path, server)
        server.script(shares=[(0.3, Behaviour(fault="rate_limited", wait="0.05"))])
        done = ragassay("--log", str(tmp_path / "log.jsonl"), "eval", "run", config)
        _, said = done.communicate(timeout=90)
        assert done.returncode == 0, said
        lines = lines_of(tmp_path / "log.jsonl")
        assert len(lines) == server.counters.requests > 20
    answered = [line for line in lines if line["outcome"] == "ok"]
    refused = [line for line in lines if line["outcome"] == "rate_limited"]
    assert len(answered) == 20
    assert len(answered) + len(refused) == len(lines)
    assert all(line["retry_in_s"] is None and line["total_ms"] > 0 for line in answered)
    assert all(line["retry_in_s"] is not None and line["wait_asked_s"] == 0.05 for line in refused)
    assert {line["event"] for line in lines} == {"attempt"}
    assert (tmp_path / "log.jsonl").read_text().count(KEY) == 0
    assert "entry" not in (tmp_path / "log.jsonl").read_text()  # a word of every prompt


def test_prompts_and_replies_only_with_a_setting_of_their_own(tmp_path: Path) -> None:
    with FakeServer(Behaviour(text=f"The key is {KEY}, não é?")) as server:
        environment = {"RAGASSAY_LOG": str(tmp_path / "log.jsonl"), "RAGASSAY_LOG_PROMPTS": "1"}
        done = ragassay("eval", "run", a_run(tmp_path, server, 1), **environment)
        assert done.wait(90) == 0
        done.communicate()
    (line,) = lines_of(tmp_path / "log.jsonl")
    assert "What is entry 0 of the list?" in line["messages"][-1]["content"]
    assert line["reply"] == "The key is ***, não é?"  # a key is blotted out wherever it comes from


def test_processes_share_a_log(tmp_path: Path) -> None:
    with FakeServer() as server:
        config = a_run(tmp_path, server, 40)
        running = [
            ragassay(
                "--log", str(tmp_path / "log.jsonl"), "eval", "run", config, "--out", str(tmp_path / name)
            )
            for name in ("a", "b")
        ]
        assert [(process.communicate(timeout=90), process.returncode)[1] for process in running] == [0, 0]
    lines = lines_of(tmp_path / "log.jsonl")
    assert len(lines) == 80
    assert len({line["pid"] for line in lines}) == 2


def test_a_line_for_each_request_of_a_load(tmp_path: Path) -> None:
    with FakeServer() as server:
        config = a_run(tmp_path, server)
        ask = ["lab:mock", "--config", config, "--concurrency", "4", "--requests", "12", "--processes", "2"]
        done = ragassay("--log", str(tmp_path / "log.jsonl"), "load", *ask)
        _, errors = done.communicate(timeout=60)
    assert done.returncode == 0, errors
    lines = lines_of(tmp_path / "log.jsonl")
    assert len(lines) == server.counters.requests >= 12
    assert len({line["pid"] for line in lines}) == 2
    assert {(line["event"], line["attempt"], line["outcome"]) for line in lines} == {("attempt", 1, "ok")}


def test_a_log_that_cannot_be_opened_is_said_before_anything_else(tmp_path: Path) -> None:
    done = ragassay("--log", str(tmp_path / "no" / "log"), "collections", "list")
    _, said = done.communicate(timeout=60)
    assert done.returncode == 2
    assert said.startswith("ragassay: cannot write the log")
    assert said.strip().endswith("name another file.")


def test_a_log_on_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    with FakeServer() as server:
        done = ragassay("--log", "/dev/full", "eval", "run", a_run(tmp_path, server))
        _, said = done.communicate(timeout=90)
    assert done.returncode == 0, said
    assert said.count("the log /dev/full cannot be written") == 1


# ---------------------------------------------------------------- in a program of one's own


def limited(server: FakeServer, **bounds: Any) -> Limited:
    inner = OpenAIProvider("fake", "mock", server.base_url, api_key=KEY, timeout_s=5)
    price = price_for("x", "m", PriceConfig(input_per_mtok=1, output_per_mtok=2))
    return Limited(inner, limits=LimitsConfig(**bounds), price=price)


async def attempts(
    server: FakeServer, caplog: pytest.LogCaptureFixture, *behaviours: Behaviour
) -> list[dict[str, Any]]:
    server.script(*behaviours)
    provider = limited(server, max_attempts=3)
    with caplog.at_level(logging.INFO, logger="ragassay"):
        await provider.complete(REQUEST)
    await provider.close()
    return [record.ragassay for record in caplog.records if record.name == "ragassay"]


@pytest.fixture
def server():
    with FakeServer() as running:
        yield running


async def test_the_standard_logger_has_the_fields(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 40}}
    (fields,) = await attempts(server, caplog, Behaviour(text="Hello.", usage=usage))
    assert caplog.records[0].getMessage() == "attempt fake:mock ok"
    assert fields["attempt"] == 1
    assert (fields["outcome"], fields["finish_reason"], fields["error"]) == ("ok", "stop", None)
    assert (fields["input_tokens"], fields["cached_input_tokens"], fields["output_tokens"]) == (100, 40, 10)
    assert fields["cost_usd"] == "0.00012"
    assert fields["request_id"]
    assert fields["ttft_ms"] is None or fields["ttft_ms"] <= fields["total_ms"]
    assert fields["concurrency"] == 1
    assert "messages" not in fields
    assert "reply" not in fields


async def test_a_retry_says_how_long_it_waits_and_why(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = await attempts(server, caplog, Behaviour(fault="server_error"))
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["outcome"] == "server_error"
    assert first["error"]
    assert first["retry_in_s"] >= 0
    assert (second["outcome"], second["retry_in_s"]) == ("ok", None)


async def test_a_cancelled_attempt_is_logged_too(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(Behaviour(latency_s=5))
    provider = limited(server)
    with caplog.at_level(logging.INFO, logger="ragassay"), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await provider.complete(REQUEST)
    await provider.close()
    (fields,) = [record.ragassay for record in caplog.records]
    assert (fields["outcome"], fields["attempt"], fields["total_ms"]) == ("cancelled", 1, None)


async def test_nothing_is_logged_unless_asked_for(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    provider = limited(server)
    await provider.complete(REQUEST)
    await provider.close()
    assert not caplog.records


def test_when_off_it_costs_next_to_nothing() -> None:
    done = Completion(text="", outcome=Outcome.OK, provider="p", model="m", timing=Timing(sent=0.0))
    started = time.perf_counter()
    for _ in range(20_000):
        record_attempt(REQUEST, done, number=1)
    assert (time.perf_counter() - started) / 20_000 < 20e-6  # a call at 800/s has 1,250 microseconds
