"""The one retry layer: what is tried again, when, how often, and at what cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from rag.config import LimitsConfig, PriceConfig
from rag.core import Completion, Outcome
from rag.errors import StoppedError
from rag.pricing import FREE, Price, price_for
from rag.providers import breaker, retry
from rag.providers.budget import Budget, upper_bound
from rag.providers.fallback import Fallback
from rag.providers.limiter import Limiter
from rag.providers.limits import Limited
from tests.fakes.faults import FAULTS
from tests.fakes.script import Behaviour
from tests.fakes.server import FakeServer
from tests.rag.providers.conftest import ask, provider

PRICE = price_for("x", "m", PriceConfig(input_per_mtok=Decimal(1), output_per_mtok=Decimal(2)))


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retry, "_BACKOFF_BASE_S", 0.01)
    return


def limited(
    server: FakeServer, *, price: Price | None = None, budget: Budget | None = None, **bounds: object
) -> Limited:
    return Limited(
        provider(server, timeout_s=float(bounds.get("timeout_s", 5))),
        limits=LimitsConfig(**bounds),
        price=price,
        budget=budget,
    )


@pytest.mark.parametrize(
    "fault",
    [
        "rate_limited",
        "overloaded",
        "server_error",
        "html_502",
        "fin",
        "fin_mid_body",
        "html_200",
        "request_timeout",
    ],
)
async def test_passing_failures_are_tried_again(server: FakeServer, fault: str):
    server.script(Behaviour(fault=fault))
    model = limited(server)
    completion = await model.complete(ask())
    assert (completion.outcome, completion.attempts, server.counters.requests) == (Outcome.OK, 2, 2)
    await model.close()


@pytest.mark.parametrize(
    "fault",
    [
        "auth",
        "forbidden",
        "not_found",
        "quota",
        "payment",
        "bad_request",
        "context_length",
        "content_filter_400",
    ],
)
async def test_permanent_failures_are_one_request(server: FakeServer, fault: str):
    server.script(default=Behaviour(fault=fault))
    model = limited(server)
    completion = await model.complete(ask())
    assert not completion.outcome.answered
    assert (completion.attempts, server.counters.requests) == (1, 1)
    await model.close()


@pytest.mark.parametrize(("fault", "requests"), [("should_retry_true", 3), ("should_retry_false", 1)])
async def test_the_servers_own_word_on_retries_is_obeyed(server: FakeServer, fault: str, requests: int):
    server.script(default=Behaviour(fault=fault))
    model = limited(server, max_attempts=3)
    completion = await model.complete(ask())
    assert completion.outcome.value == FAULTS["openai"][fault].outcome
    assert completion.attempts == server.counters.requests == requests
    await model.close()


async def test_a_provider_that_is_down_is_left_alone_until_a_probe_gets_through(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(breaker, "_COOL_DOWN_S", 0.2)
    server.script(default=Behaviour(fault="fin"))
    model = limited(server, max_attempts=5, concurrency=2)
    done = await asyncio.gather(*(model.complete(ask(f"q{i}")) for i in range(40)))
    assert {c.outcome for c in done} == {Outcome.CONNECTION}
    assert 25 <= server.counters.requests <= 26
    unsent = [c for c in done if c.attempts == 0]
    assert len(unsent) > 20
    assert unsent[0].error.startswith("fake is down: ")
    assert 0 < unsent[0].retry_after_s <= 0.2
    server.script()
    await asyncio.sleep(unsent[0].retry_after_s)
    assert (await model.complete(ask())).outcome is Outcome.OK
    await model.close()


async def test_a_key_that_must_wait_too_long_is_not_asked_again(server: FakeServer):
    server.script(default=Behaviour(fault="rate_limited", wait="3600"))
    model = limited(server)
    first, second = await model.complete(ask()), await model.complete(ask("other"))
    assert (first.attempts, second.attempts, server.counters.requests) == (1, 0, 1)
    assert second.outcome is Outcome.RATE_LIMITED
    assert 3590 < second.retry_after_s <= 3601
    await model.close()


async def test_waiting_for_the_next_turn_ends_at_the_deadline(server: FakeServer):
    server.script(Behaviour(fault="rate_limited"), default=Behaviour(fault="never_reply"))
    model = limited(server, concurrency=1, deadline_s=0.4)
    refused, hanging = await asyncio.gather(model.complete(ask("first")), model.complete(ask("second")))
    assert (refused.outcome, refused.attempts) == (Outcome.RATE_LIMITED, 1)
    assert (hanging.outcome, server.counters.requests) == (Outcome.TIMEOUT, 2)
    await model.close()


async def test_attempts_are_bounded(server: FakeServer):
    server.script(default=Behaviour(fault="server_error"))
    model = limited(server, max_attempts=3)
    assert (await model.complete(ask())).attempts == server.counters.requests == 3
    await model.close()


async def test_a_malformed_reply_is_tried_again_once(server: FakeServer):
    server.script(default=Behaviour(fault="content_null"))
    model = limited(server)
    assert (await model.complete(ask())).outcome is Outcome.MALFORMED
    assert server.counters.requests == 2
    await model.close()


async def test_named_waits_are_kept_and_not_counted(server: FakeServer):
    refusal = Behaviour(fault="rate_limited", wait="0.15")
    server.script(*[refusal] * 4)
    model = limited(server, max_attempts=2)
    started = time.perf_counter()
    completion = await model.complete(ask())
    assert (completion.outcome, completion.attempts) == (Outcome.OK, 5)
    assert 0.6 <= time.perf_counter() - started < 2
    assert (server.counters.early, server.counters.waits_kept) == (0, 4)
    assert completion.timing.total_s < 0.15
    await model.close()


@pytest.mark.parametrize("wait", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_a_wait_of_nothing_counts_and_is_not_hammered(server: FakeServer, wait: str):
    server.script(default=Behaviour(fault="rate_limited", wait=wait))
    model = limited(server, max_attempts=3, deadline_s=2)
    completion = await model.complete(ask())
    assert (completion.outcome, server.counters.requests) == (Outcome.RATE_LIMITED, 3)
    await model.close()


async def test_a_wait_beyond_the_deadline_is_not_begun(server: FakeServer):
    server.script(default=Behaviour(fault="rate_limited", wait="3600"))
    model = limited(server)
    started = time.perf_counter()
    completion = await model.complete(ask())
    assert completion.outcome is Outcome.RATE_LIMITED
    assert completion.retry_after_s == 3600
    assert time.perf_counter() - started < 1
    await model.close()


async def test_the_deadline_ends_a_hanging_attempt(server: FakeServer):
    server.script(default=Behaviour(fault="never_reply"))
    model = limited(server, deadline_s=0.3)
    completion = await model.complete(ask())
    assert (completion.outcome, completion.attempts) == (Outcome.TIMEOUT, 1)
    await model.close()


async def test_nothing_is_tried_again_after_visible_text(server: FakeServer):
    server.script(Behaviour(fault="clean_close", text="half of it"))
    model = limited(server)
    heard: list[str] = []
    completion = await model.complete(ask(), heard.append)
    assert completion.outcome is Outcome.STREAM_TRUNCATED
    assert "".join(heard) == completion.text == "half of it"
    assert server.counters.requests == 1
    await model.close()


async def test_a_storm_of_refusals_ends_well(server: FakeServer):
    server.script(default=Behaviour(), shares=[(0.5, Behaviour(fault="rate_limited", wait="0.1"))], seed=1)
    model = limited(server, concurrency=32)
    done = await asyncio.gather(*(model.complete(ask(f"q{i}")) for i in range(200)))
    assert {c.outcome for c in done} == {Outcome.OK}
    assert server.counters.max_in_flight <= 32
    assert server.counters.early == 0
    assert server.counters.waits_kept > 50
    assert sum(c.attempts for c in done) == server.counters.requests
    assert max(c.timing.concurrency for c in done) <= 32
    await model.close()


async def test_cost_is_computed_and_unknown_stays_unknown(server: FakeServer):
    priced = limited(server, price=PRICE)
    completion = await priced.complete(ask())
    usage = completion.usage
    assert completion.cost == Decimal(usage.input_tokens + 2 * usage.output_tokens) / 1_000_000
    server.script(Behaviour(fault="no_usage"))
    assert (await priced.complete(ask())).cost is None
    for price, cost in ((None, None), (FREE, Decimal(0))):
        model = limited(server, price=price)
        assert (await model.complete(ask())).cost == cost
        await model.close()
    await priced.close()


async def test_the_budget_is_never_exceeded(server: FakeServer):
    cap = Decimal("0.005")
    budget = Budget(cap)
    model = limited(server, price=PRICE, budget=budget, concurrency=32)
    calls = (model.complete(ask(f"question number {i}", max_tokens=20)) for i in range(1500))
    done = await asyncio.gather(*calls, return_exceptions=True)
    answered = [c for c in done if isinstance(c, Completion)]
    assert {type(e) for e in done if not isinstance(e, Completion)} == {StoppedError}
    spent = sum((c.cost for c in answered), Decimal(0))
    assert spent == budget.spent_usd <= cap
    assert budget.held_usd == 0
    assert spent > cap * Decimal("0.9")
    assert server.counters.requests == len(answered) < 1500
    await model.close()


async def test_what_nobody_knows_counts_with_all_that_was_held(server: FakeServer):
    budget = Budget(Decimal(1))
    model = limited(server, price=PRICE, budget=budget, max_attempts=1)
    server.script(Behaviour(fault="no_usage"), Behaviour(fault="rate_limited"))
    request = ask(max_tokens=20)
    await model.complete(request)
    held = upper_bound(PRICE, request)
    assert budget.spent_usd == held > 0
    await model.complete(request)
    assert budget.spent_usd == held
    await model.close()


async def test_a_cancelled_call_gives_its_slot_back_but_not_its_money(server: FakeServer):
    server.script(default=Behaviour(fault="never_reply"))
    budget, request = Budget(Decimal(1)), ask(max_tokens=20)
    limiter = Limiter(LimitsConfig(concurrency=1))
    model = Limited(provider(server), limiter=limiter, price=PRICE, budget=budget)
    task = asyncio.create_task(model.complete(request))
    await asyncio.sleep(0.1)
    assert limiter.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (limiter.in_flight, budget.held_usd, budget.spent_usd) == (0, 0, upper_bound(PRICE, request))
    await model.close()


def test_the_upper_bound_is_an_upper_bound():
    request = ask("ação " * 100, max_tokens=10)
    assert upper_bound(PRICE, request) == Decimal(700 + 16 + 2 * 10) / 1_000_000
    assert upper_bound(FREE, request) == upper_bound(None, request) == 0
    held_to = ask("ação " * 100, max_tokens=10, response_schema={"type": "object"})
    assert upper_bound(PRICE, held_to) == Decimal(700 + 16 + 17 + 2 * 10) / 1_000_000  # it is input too


@pytest.mark.parametrize("fault", ["rate_limited", "overloaded", "server_error", "fin", "never_reply"])
async def test_a_fallback_takes_over(server: FakeServer, fault: str):
    server.script(default=Behaviour(fault=fault))
    with FakeServer() as second:
        first = Limited(provider(server, timeout_s=0.2), limits=LimitsConfig(max_attempts=1))
        chain = Fallback([first, provider(second)])
        completion = await chain.complete(ask())
        assert (completion.outcome, completion.attempts) == (Outcome.OK, 2)
        assert chain.model == "mock"
        await chain.close()


@pytest.mark.parametrize("fault", ["auth", "quota", "bad_request", "content_filter", "refusal"])
async def test_a_fallback_does_not_hide_what_a_person_must_see(server: FakeServer, fault: str):
    server.script(default=Behaviour(fault=fault))
    with FakeServer() as second:
        chain = Fallback([provider(server), provider(second)])
        assert (await chain.complete(ask())).outcome != Outcome.OK
        assert second.counters.requests == 0
        await chain.close()
