"""What is measured against what the server did, on real sockets; tolerances are for a busy machine."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.load.client import _allow_open_files as allow_open_files
from evals.load.drive import Leg
from evals.load.figures import figures_of
from evals.load.plan import LoadPlan
from evals.load.run import LevelResult, LoadResult, Run
from rag import aio
from rag.errors import ProviderFailedError, StoppedError, UsageError
from tests.evals.load.measuring import lab_config, measure
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer

PACED = Behaviour(latency_s=0.05, tokens_per_s=500, tokens=60)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(PACED) as running:
        yield running


def only(result: LoadResult) -> LevelResult:
    (level,) = result.levels
    return level


def test_a_closed_loop_agrees_with_the_servers_own_clock(server: FakeServer) -> None:
    result = measure(server.base_url, concurrencies=(4,), requests=32, warmup=4)
    figures = figures_of(only(result).shots)
    seen = server.counters
    assert seen.requests == 36
    assert seen.max_in_flight == figures.max_in_flight == 4
    assert figures.outcomes == {"ok": 32}
    assert figures.output_tokens == 60
    true_ttft, true_total = (1000 * statistics.median(x[4:]) for x in (seen.ttft_s, seen.total_s))
    assert figures.ttft_ms is not None
    assert figures.total_ms is not None
    assert figures.tpot_ms is not None
    assert true_ttft * 0.95 <= figures.ttft_ms.p50.value <= 1.5 * true_ttft
    assert true_total * 0.95 <= figures.total_ms.p50.value <= 1.3 * true_total
    assert figures.tpot_ms.p50.value == pytest.approx(2.0, rel=0.25)
    # Little's law: users = requests/s x time of each, less what is lost while the last ones end
    assert 4 * 0.7 <= figures.requests_per_s * figures.total_ms.mean / 1000 <= 4.01
    assert figures.output_tokens_per_s == pytest.approx(60 * figures.requests_per_s)
    assert result.spent_usd is not None
    assert result.spent_usd > 0


def test_no_prompt_comes_twice_and_sizes_follow_the_providers_count(server: FakeServer) -> None:
    server.script(default=Behaviour(tokens=3))
    measure(server.base_url, concurrencies=(1, 2), requests=20, prompt_tokens=300)
    measure(server.base_url, concurrencies=(2,), requests=20, prompt_tokens=300)
    assert set(server.counters.calls.values()) == {1}, "also not in another run"
    result = measure(server.base_url, concurrencies=(2,), requests=20, prompt_tokens=300)
    counted = figures_of(only(result).shots).input_tokens
    assert counted == pytest.approx(300, rel=0.1), "after the warm-up showed how it counts"


def test_an_open_loop_sends_on_schedule(server: FakeServer) -> None:
    result = measure(server.base_url, rates=(40.0,), requests=40, warmup=4, arrivals="constant")
    level = only(result)
    due = [shot.due - level.shots[0].due for shot in level.shots]
    assert due == pytest.approx([n / 40 for n in range(40)], abs=1e-6)
    figures = figures_of(level.shots)
    assert figures.wait_ms is not None
    assert figures.wait_ms.p50.value < 25, "sent when due, but for what a busy machine takes"
    assert figures.max_in_flight > 1, "nobody waited for answers"


def test_an_open_loop_shows_the_stall_that_a_closed_loop_omits(server: FakeServer) -> None:
    server.script(default=Behaviour(latency_s=0.005))

    def stall() -> None:  # the server's only thread does nothing for a second
        server._loop.call_soon_threadsafe(time.sleep, 1.0)

    one_user = measure(server.base_url, meanwhile=stall, concurrencies=(1,), requests=150, warmup=1)
    on_schedule = measure(
        server.base_url, meanwhile=stall, rates=(60.0,), requests=150, warmup=1, arrivals="constant"
    )
    closed, opened = (figures_of(only(result).shots).total_ms for result in (one_user, on_schedule))
    assert closed is not None
    assert opened is not None
    assert closed.p99.value < 900, "one request of 150 met the stall, the rest were not even sent"
    assert closed.p95.value < 300
    assert opened.p95.value > 500, "60 were due meanwhile, and all of them waited"


def test_waiting_inside_the_client_counts_too(server: FakeServer) -> None:
    server.script(default=Behaviour(latency_s=0.005))

    async def block() -> None:
        time.sleep(0.8)  # noqa: ASYNC251 - the loop is to stand still

    result = measure(
        server.base_url,
        meanwhile=lambda: aio.submit(block()),
        rates=(50.0,),
        requests=100,
        warmup=1,
        arrivals="constant",
    )
    figures = figures_of(only(result).shots)
    assert figures.total_ms is not None
    assert figures.wait_ms is not None
    assert figures.total_ms.p95.value > 400
    assert figures.wait_ms.p95.value > 400
    assert only(result).load.bound, "the client says that it was late"


def test_failures_are_counted_by_outcome_and_never_tried_again(server: FakeServer) -> None:
    refused = Behaviour(fault="rate_limited", wait="1")
    server.script(Behaviour(), *[refused, Behaviour(fault="server_error"), Behaviour()] * 10)
    result = measure(server.base_url, concurrencies=(1,), requests=30, warmup=1)
    figures = figures_of(only(result).shots)
    assert figures.outcomes == {"ok": 10, "rate_limited": 10, "server_error": 10}
    assert server.counters.requests == 31
    assert figures.seconds < 10, "the waits asked for were not kept"


def test_nothing_more_is_sent_after_a_refused_key(server: FakeServer) -> None:
    server.script(Behaviour(), Behaviour(), default=Behaviour(fault="auth"))
    result = measure(server.base_url, concurrencies=(1, 2), requests=20, warmup=1)
    assert only(result).stopped == "auth"
    assert server.counters.requests == 3


def test_a_provider_that_answers_nothing_ends_it_at_once(server: FakeServer) -> None:
    server.script(default=Behaviour(fault="server_error"))
    with pytest.raises(ProviderFailedError, match=r"answered none of 2 requests: server_error"):
        measure(server.base_url, concurrencies=(2,), requests=20)
    server.script(default=Behaviour(fault="auth"))
    with pytest.raises(StoppedError, match="auth"):
        measure(server.base_url, concurrencies=(1,), requests=20)


def test_the_budget_is_kept(server: FakeServer) -> None:
    server.script(default=Behaviour(tokens=100))
    result = measure(server.base_url, concurrencies=(4,), requests=200, budget_usd=0.02)
    level = only(result)
    assert level.stopped == "budget"
    assert 0 < len(level.shots) < 200
    assert result.spent_usd is not None
    assert 0.01 < result.spent_usd <= 0.02
    with pytest.raises(StoppedError, match="does not cover the warm-up"):
        measure(server.base_url, concurrencies=(4,), requests=200, budget_usd=0.00001)


def test_a_refusal_that_nobody_bills_takes_nothing_from_the_budget(server: FakeServer) -> None:
    server.script(Behaviour(tokens=3), default=Behaviour(fault="rate_limited"))
    result = measure(server.base_url, concurrencies=(1,), requests=200, warmup=1, budget_usd=0.02)
    level = only(result)
    assert level.stopped is None
    assert figures_of(level.shots).outcomes == {"rate_limited": 200}


_CHATTER = """
import sys, threading, time

def chatter():
    while "rag.providers.openai" not in sys.modules:
        time.sleep(0.001)
    for _ in range(50):
        print("a library says", flush=True)
        time.sleep(0.002)

print("welcome", 5, flush=True)
threading.Thread(target=chatter, daemon=True).start()
"""
_SLOW_TO_WRITE = """
import time
from evals.load.prompts import Prompts

write = Prompts.request

def request(self, number):
    time.sleep(0.06)
    return write(self, number)

Prompts.request = request
"""
_CUT_SHORT = """
import os, sys

print('{"ready":', end="", flush=True)
os._exit(9)
"""


def test_processes_share_the_requests_and_their_figures_are_merged(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a library prints is no figure, and what it does at the end, such as sending traces, is done.
    ended = tmp_path / "ended"
    at_exit = f"import atexit; atexit.register(open({str(ended)!r}, 'a').write, 'x')"
    (tmp_path / "sitecustomize.py").write_text(_CHATTER + at_exit)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server.script(default=Behaviour(latency_s=0.05))
    result = measure(server.base_url, concurrencies=(6,), requests=60, warmup=6, processes=2)
    level = only(result)
    assert level.processes == 2
    assert [shot.number for shot in level.shots] == list(range(6, 66))
    assert {shot.process for shot in level.shots} == {0, 1}
    assert server.counters.requests == 66
    assert set(server.counters.calls.values()) == {1}
    figures = figures_of(level.shots)
    assert figures.max_in_flight == server.counters.max_in_flight == 6
    assert figures.requests_per_s > 1.2 * 3 / 0.06, "the two ran at the same time"
    assert ended.read_text() == "xx"


@pytest.mark.parametrize(("users", "parts"), [(1, 2), (3, 8), (5, 2), (6, 2)])
def test_no_request_is_lost_where_processes_and_users_do_not_match(users: int, parts: int) -> None:
    leg = Leg(numbers=tuple(range(60)), users=users, chars_per_token=4.0)
    shares = [leg.share(part, parts) for part in range(parts)]
    assert sum(share.users for share in shares) == users
    assert sorted(number for share in shares for number in share.numbers) == [*leg.numbers]
    for share in shares:  # each user has as much to do as any other
        assert len(share.numbers) == share.users * 60 // users


def test_a_measuring_process_that_ends_in_the_middle_of_a_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_CUT_SHORT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ProviderFailedError, match="ended with status 9"):
        measure("http://127.0.0.1:9/v1", concurrencies=(2,), requests=4, warmup=0, processes=2)


def test_an_open_loop_begins_when_every_process_has_its_prompts(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SLOW_TO_WRITE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server.script(default=Behaviour(tokens=2))
    result = measure(server.base_url, rates=(100.0,), requests=16, warmup=0, processes=2)
    wait = figures_of(only(result).shots).wait_ms
    assert wait is not None
    assert wait.p50.value < 100


def test_a_limit_on_open_files_is_raised_as_far_as_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    for limits in ((256, resource.RLIM_INFINITY), (256, 4096), (1_000_000, 1_000_000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        allow_open_files()
    assert asked == [(10_240, resource.RLIM_INFINITY), (4096, 4096)]


def test_a_busy_client_is_given_processes(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.load.run.BUSY_SHARE", 0.0)  # any client is a bottleneck
    monkeypatch.setattr("evals.load.run._COMFORTABLE_SHARE", 0.001)
    monkeypatch.setattr("rag.providers.cpu.usable_cores", lambda: 2)
    server.script(default=Behaviour(latency_s=0.02))
    result = measure(server.base_url, concurrencies=(4,), requests=20)
    assert only(result).processes == 2


def test_a_local_model_is_asked_from_one_process_only() -> None:
    with pytest.raises(UsageError, match="runs in this process"):
        Run(LoadPlan.of("extractive", concurrencies=(1,), processes=2), lab_config("http://127.0.0.1:9/v1"))
