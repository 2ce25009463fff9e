"""One limiter a key: width, pauses, allowances, the breaker, and what it holds back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag.config import LimitsConfig
from rag.core import Completion, Outcome, RateLimits, Timing
from rag.progress import show_waits_with
from rag.providers import allowance, breaker
from rag.providers.allowance import Allowance, estimated_tokens
from rag.providers.breaker import Breaker
from rag.providers.limiter import HeldBackError, Limiter, shared_limiter
from rag.providers.width import AdaptiveWidth
from tests.rag.providers.conftest import ask


def ended(outcome: Outcome = Outcome.OK, **more: object) -> Completion:
    return Completion(
        text="", outcome=outcome, provider="p", model="m", timing=Timing(sent=0), error="why", **more
    )


def limiter(concurrency: int = 8, **bounds: object) -> Limiter:
    return Limiter(LimitsConfig(concurrency=concurrency, **bounds), name="lab")


async def pass_through(gate: Limiter, completion: Completion | None = None, **how: object) -> None:
    gate.release(await gate.acquire(1, **{"patience_s": 5, **how}), completion or ended())


@pytest.fixture
def waits() -> Iterator[list[str]]:
    lines: list[str] = []
    show_waits_with(lines.append)
    yield lines
    show_waits_with(None)


# ---------------------------------------------------------------- width


def test_the_width_doubles_every_round_until_the_first_refusal():
    width = AdaptiveWidth(100)
    assert width.value == 20
    for _ in range(20):
        width.succeeded()
    assert width.value == 40
    for _ in range(200):
        width.succeeded()
    assert width.value == 100


def test_one_burst_of_refusals_cuts_once_and_the_width_comes_back_by_one_a_round():
    width = AdaptiveWidth(20)
    for late in range(14):
        width.refused(100.0 + late)
    assert width.value == 16
    for _ in range(17):
        width.succeeded()
    assert width.value == 17
    width.refused(115.0)
    assert width.value == 13
    for burst in range(100):
        width.refused(200.0 + 15 * burst)
    assert width.value == 1
    for _ in range(10_000):
        width.succeeded()
    assert width.value == 20


async def test_never_more_than_the_width_and_in_order():
    gate = limiter(3)
    order: list[int] = []
    most = 0

    async def call(number: int) -> None:
        nonlocal most
        slot = await gate.acquire(1, patience_s=5)
        order.append(number)
        most = max(most, gate.in_flight)
        await asyncio.sleep(0.002)
        gate.release(slot, ended())

    await asyncio.gather(*(call(n) for n in range(30)))
    assert (most, gate.in_flight, order) == (3, 0, [*range(30)])


def test_the_limiter_is_shared_by_key_and_limits():
    limits = LimitsConfig(concurrency=2)
    gate = shared_limiter("http://h/v1", "KEY", limits, name="h")
    assert shared_limiter("http://h/v1", "KEY", limits, name="h") is gate
    assert shared_limiter("http://h/v1", "OTHER", limits, name="h") is not gate
    assert shared_limiter("http://h/v1", "KEY", LimitsConfig(concurrency=3), name="h") is not gate


async def test_two_event_loops_share_one_width():
    gate = limiter(2)
    most = 0

    async def call() -> None:
        nonlocal most
        slot = await gate.acquire(1, patience_s=5)
        most = max(most, gate.in_flight)
        await asyncio.sleep(0.002)
        gate.release(slot, ended())

    async def calls() -> None:
        await asyncio.gather(*(call() for _ in range(40)))

    other = threading.Thread(target=lambda: asyncio.run(calls()))
    other.start()
    await calls()
    await asyncio.to_thread(other.join, 10)
    assert (most, gate.in_flight) == (2, 0)


async def test_a_cancelled_waiter_leaves_no_trace():
    gate = limiter(1)
    slot = await gate.acquire(1, patience_s=5)
    waiting = [asyncio.create_task(gate.acquire(1, patience_s=5)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    gate.release(slot, ended())
    waiting[1].cancel()  # its slot has reached it, it has not run yet
    gate.release(await waiting[2], ended())
    assert gate.in_flight == 0
    await pass_through(gate)


# ---------------------------------------------------------------- pauses


async def test_a_refusal_that_names_a_wait_holds_back_every_call_and_a_little_longer():
    ends = []
    for seed in range(5):
        gate = Limiter(LimitsConfig(concurrency=8), seed=seed)
        await pass_through(gate, ended(Outcome.RATE_LIMITED, retry_after_s=0.2))
        started = time.monotonic()
        await asyncio.gather(*(pass_through(gate) for _ in range(8)))
        ends.append(time.monotonic() - started)
    assert 0.2 <= min(ends) < max(ends) < 0.3
    assert max(ends) - min(ends) > 0.002, "all clients of a key would come back at once"


async def test_a_call_that_was_refused_goes_first():
    gate = limiter(1)
    await pass_through(gate, ended(Outcome.RATE_LIMITED, retry_after_s=0.05))
    order: list[str] = []

    async def call(name: str, *, again: bool) -> None:
        await pass_through(gate, again=again)
        order.append(name)

    tasks = [asyncio.create_task(call("new", again=False)), asyncio.create_task(call("old", again=True))]
    await asyncio.gather(*tasks)
    assert order == ["old", "new"]


async def test_a_wait_beyond_patience_is_refused_at_once():
    gate = limiter()
    waiting = asyncio.create_task(gate.acquire(1, patience_s=5))
    slot = await waiting
    gate.release(slot, ended(Outcome.RATE_LIMITED, retry_after_s=3600))
    with pytest.raises(HeldBackError, match=r"lab asked to wait, 36\d\d s more: why") as held:
        await gate.acquire(1, patience_s=900)
    assert held.value.outcome is Outcome.RATE_LIMITED
    assert held.value.wait_s == pytest.approx(3600, abs=1)


async def test_waiting_for_other_calls_to_end_uses_up_no_patience():
    gate = limiter(1)
    slot = await gate.acquire(1, patience_s=5)
    waiting = asyncio.create_task(gate.acquire(1, patience_s=0.05))
    await asyncio.sleep(0.1)
    gate.release(slot, ended())
    gate.release(await waiting, ended())
    assert gate.in_flight == 0


async def test_long_waits_are_told_and_short_ones_are_not(waits: list[str]):
    gate = limiter()
    await pass_through(gate, ended(Outcome.RATE_LIMITED, retry_after_s=0.05))
    slots = [await gate.acquire(1, patience_s=5) for _ in range(3)]
    for slot in slots:
        gate.release(slot, ended(Outcome.OVERLOADED, retry_after_s=43))
    assert waits == ["lab asks to wait 43 s: why"]


async def test_a_long_wait_ends_at_once_when_it_is_cancelled():
    gate = limiter()
    await pass_through(gate, ended(Outcome.RATE_LIMITED, retry_after_s=600))
    task = asyncio.create_task(gate.acquire(1, patience_s=900))
    await asyncio.sleep(0.01)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 0.1


# ---------------------------------------------------------------- allowances


async def test_what_headers_say_is_left_is_not_exceeded():
    gate = limiter()
    told = RateLimits(requests_limit=10, requests_remaining=3, requests_reset_s=0.2)
    started = time.monotonic()
    await pass_through(gate, ended(rate_limits=told))
    times = []

    async def call() -> None:
        slot = await gate.acquire(1, patience_s=5)
        times.append(time.monotonic() - started)
        await asyncio.sleep(0.01)
        gate.release(slot, ended())

    await asyncio.gather(*(call() for _ in range(8)))
    assert sum(t < 0.19 for t in times) == 3
    assert min(t for t in sorted(times)[3:]) >= 0.19


def test_tokens_that_do_not_fit_wait_for_the_reset():
    pace = Allowance()
    receipt = pace.take(100, 0.0)
    other = pace.take(400, 0.0)
    told = RateLimits(tokens_limit=1000, tokens_remaining=900, tokens_reset_s=30)
    pace.learn(told, receipt, 1.0)  # the 400 were sent after what these headers know
    assert pace.wait(500, 2.0, idle=False) == 0
    assert pace.wait(501, 2.0, idle=False) == 29
    assert pace.wait(5000, 31.0, idle=False) == 0, "more than a window holds goes when one is fresh"
    pace.learn(RateLimits(tokens_limit=1000, tokens_remaining=100), other, 3.0)
    assert pace.wait(500, 3.0, idle=False) is None, "a reply in flight will tell"
    assert pace.wait(500, 3.0, idle=True) == 0
    pace.learn(told, receipt, 4.0)
    assert pace.wait(500, 4.0, idle=True) == 0, "older headers do not count"
    assert pace.wait(500, 4.0, idle=False) is None


def test_limits_per_minute_of_the_config_hold_in_any_minute():
    pace = Allowance(requests_per_minute=3, tokens_per_minute=100)
    for now in (0.0, 10.0, 20.0):
        assert pace.wait(10, now, idle=True) == 0
        pace.take(10, now)
    assert pace.wait(10, 30.0, idle=True) == 30
    assert pace.wait(10, 60.0, idle=True) == 0
    assert pace.wait(95, 60.0, idle=True) == 20
    pace.take(500, 80.0)
    assert pace.wait(1, 90.0, idle=True) == 50


async def test_requests_per_minute_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(allowance, "_MINUTE_S", 0.2)
    gate = limiter(requests_per_minute=5)
    started = time.monotonic()
    times = []

    async def call() -> None:
        await pass_through(gate)
        times.append(time.monotonic() - started)

    await asyncio.gather(*(call() for _ in range(15)))
    assert all(later - earlier >= 0.19 for earlier, later in zip(times, times[5:], strict=False))
    assert max(times) < 1


def test_the_estimate_counts_prompt_and_output():
    assert estimated_tokens(ask("x" * 400, max_tokens=50)) == 151


# ---------------------------------------------------------------- the breaker


def test_the_breaker_opens_probes_and_closes():
    fuse = Breaker()
    down = ended(Outcome.CONNECTION)
    for _ in range(24):
        fuse.take()
        fuse.give_back(probe=False, now=0.0, completion=down)
    fuse.give_back(probe=False, now=0.0, completion=ended(Outcome.RATE_LIMITED))
    assert not fuse.open, "a refusal shows that someone is there"
    opened = [fuse.give_back(probe=False, now=0.0, completion=down) for _ in range(25)]
    assert opened == [False] * 24 + [True]
    assert (fuse.wait(1.0), fuse.wait(5.0)) == (4.0, 0.0)
    assert fuse.take()
    assert fuse.wait(5.0) > 0, "one probe at a time"
    assert fuse.give_back(probe=True, now=6.0, completion=down)
    assert fuse.wait(6.0) == 10.0
    assert fuse.take()
    fuse.give_back(probe=True, now=16.0, completion=None)
    assert fuse.wait(16.0) == 0, "a cancelled probe leaves its place to another"
    fuse.take()
    fuse.give_back(probe=True, now=17.0, completion=ended())
    assert (fuse.open, fuse.wait(17.0)) == (False, 0.0)


async def test_calls_fail_at_once_while_the_breaker_is_open(
    monkeypatch: pytest.MonkeyPatch, waits: list[str]
):
    monkeypatch.setattr(breaker, "_COOL_DOWN_S", 0.1)
    gate = limiter(30)
    slots = [await gate.acquire(1, patience_s=5) for _ in range(20)]
    queued = [asyncio.create_task(gate.acquire(1, patience_s=5)) for _ in range(10)]
    await asyncio.sleep(0)
    for slot in slots:
        gate.release(slot, ended(Outcome.SERVER_ERROR))
    for task in queued[:5]:
        gate.release(await task, ended(Outcome.SERVER_ERROR))
    assert waits == ["lab is down: why; the next try is in 0 s"]
    with pytest.raises(HeldBackError, match="lab is down: why") as held:
        await gate.acquire(1, patience_s=5)
    assert held.value.outcome is Outcome.SERVER_ERROR
    await asyncio.sleep(0.12)
    probe = await gate.acquire(1, patience_s=5)
    with pytest.raises(HeldBackError):
        await gate.acquire(1, patience_s=5)
    gate.release(probe, ended())
    await pass_through(gate)
    for task in queued[5:]:
        gate.release(await task, None)
    assert gate.in_flight == 0


def test_a_loop_that_ends_takes_no_other_loops_call_with_it():
    gate = limiter()

    async def leave_a_waiter_behind() -> None:
        refused = ended(Outcome.RATE_LIMITED, retry_after_s=0.6)
        await pass_through(gate, refused)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await gate.acquire(1, patience_s=5)

    async def go_on() -> float:
        started = time.monotonic()
        async with asyncio.timeout(3):
            await pass_through(gate)
        return time.monotonic() - started

    asyncio.run(leave_a_waiter_behind())
    assert asyncio.run(go_on()) > 0.4


def test_a_loop_that_ends_leaves_the_wait_to_those_of_other_loops():
    gate = limiter()
    waiting = threading.Event()

    async def wait_for_a_while() -> None:
        await pass_through(gate, ended(Outcome.RATE_LIMITED, retry_after_s=0.4))
        task = asyncio.create_task(gate.acquire(1, patience_s=5))
        await asyncio.sleep(0)
        waiting.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.2)

    async def wait_behind_it() -> None:
        async with asyncio.timeout(2):
            await pass_through(gate)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asyncio.run, wait_for_a_while())
        assert waiting.wait(5)
        second = pool.submit(asyncio.run, wait_behind_it())
        first.result(5)
        second.result(5)
