"""What stands around a provider: one retry layer, shared concurrency, price, budget, and fallback.

`Limited` is the only place that repeats a call, so that no repetition hides in a timing or a bill.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Self
from weakref import WeakValueDictionary

from rag.config import LimitsConfig
from rag.core import Completion, Outcome, Provider, Request, TextSink, Timing
from rag.pricing import Price, cost
from rag.providers.budget import Budget, upper_bound

__all__ = ["Fallback", "Gate", "Limited", "shared_gate"]

_RETRIED = frozenset(
    {
        Outcome.RATE_LIMITED,
        Outcome.OVERLOADED,
        Outcome.SERVER_ERROR,
        Outcome.TIMEOUT,
        Outcome.CONNECTION,
        Outcome.STREAM_TRUNCATED,
        Outcome.MALFORMED,
    }
)
_NAMES_A_WAIT = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED})
_MALFORMED_TRIES = 2
_BACKOFF_BASE_S = 0.5
_BACKOFF_CAP_S = 30.0
_LATE_S = 0.01


class Gate:
    """At most `limit` calls at a time for one key; `in_flight` counts them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self._slots: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if loop not in self._slots:
            self._slots = {other: s for other, s in self._slots.items() if not other.is_closed()}
            self._slots[loop] = asyncio.Semaphore(self.limit)
        await self._slots[loop].acquire()
        self.in_flight += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.in_flight -= 1
        self._slots[asyncio.get_running_loop()].release()


_GATES: WeakValueDictionary[tuple[str, str, int], Gate] = WeakValueDictionary()


def shared_gate(base_url: str, key_env: str | None, limit: int) -> Gate:
    """Return the gate that all providers with this URL, key and limit share."""
    name = (base_url, key_env or "", limit)
    gate = _GATES.get(name)
    if gate is None:
        gate = _GATES[name] = Gate(limit)
    return gate


class Limited:
    """A Provider around a provider: waits for a slot, retries, and computes the cost.

    Retried are rate limits, overload, server errors, timeouts, broken connections and truncated streams, and
    once a malformed reply; a refusal that names a wait is waited for and does not count as an attempt. Waits
    without a name are exponential with full jitter (Brooker 2015, "Exponential Backoff And Jitter"). Once
    text was passed to `on_text` nothing is tried again: the reader would see two answers.

    The Completion's timing is that of the attempt returned; its `attempts` counts the requests sent, its cost
    includes earlier attempts whose usage is known.

    Args:
        provider: what makes the attempts.
        limits: `max_attempts`, and `deadline_s` for a call with all its waits, counted from its first slot.
        gate: shared by all providers with the same key.
        price: None where unknown; then the cost is None.
        budget: refuses attempts that it cannot cover.
        seed: of the jitter.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        limits: LimitsConfig | None = None,
        gate: Gate | None = None,
        price: Price | None = None,
        budget: Budget | None = None,
        seed: int = 0,
    ) -> None:
        self._provider = provider
        self._limits = limits or LimitsConfig()
        self._gate = gate or Gate(self._limits.concurrency)
        self._price = price
        self._budget = budget
        self._random = random.Random(seed)  # noqa: S311 - spreads waits, keeps no secret

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def model(self) -> str:
        return self._provider.model

    @property
    def price(self) -> Price | None:
        """The price that costs are computed with, None where unknown."""
        return self._price

    @property
    def inner(self) -> Provider:
        """The provider that makes the attempts."""
        return self._provider

    def __repr__(self) -> str:
        return f"Limited({self._provider!r})"

    async def complete(self, request: Request, on_text: TextSink | None = None) -> Completion:
        """Answer `request`, trying again where that can help.

        Raises:
            StoppedError: the budget cannot cover the next attempt, which was not sent.
        """
        call = _Call(on_text)
        while True:
            async with self._gate:
                call.start(self._limits.deadline_s)
                completion = await self._attempt(request, call)
            wait = self._wait_before_next(completion, call)
            if wait is None:
                return replace(completion, attempts=call.sent, cost=call.total(completion))
            call.spent.append(completion)
            await asyncio.sleep(wait)

    async def close(self) -> None:
        await self._provider.close()

    async def _attempt(self, request: Request, call: _Call) -> Completion:
        held = None
        if self._budget is not None:
            held = await self._budget.reserve(upper_bound(self._price, request))
        paid = held
        try:
            concurrency = self._gate.in_flight
            call.sent += 1
            completion = await self._before_deadline(request, call)
            busy = completion.timing.total_s
            completion = replace(
                completion,
                cost=cost(self._price, completion.usage, busy),
                timing=replace(completion.timing, concurrency=concurrency),
            )
            paid = _charged(completion, held)
            return completion
        finally:
            # A cancelled attempt may have been billed: it keeps what was held for it.
            if self._budget is not None and held is not None:
                self._budget.settle(held, held if paid is None else paid)

    async def _before_deadline(self, request: Request, call: _Call) -> Completion:
        started = time.perf_counter()
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self._provider.complete(request, call.sink)
        except TimeoutError:
            return Completion(
                text="",
                outcome=Outcome.TIMEOUT,
                provider=self.name,
                model=self.model,
                timing=Timing(sent=started),
                error=f"no complete reply within the deadline of {self._limits.deadline_s:g} s",
            )

    def _wait_before_next(self, completion: Completion, call: _Call) -> float | None:
        """Return the seconds until the next attempt, None where this one is the last."""
        outcome, named = completion.outcome, completion.retry_after_s
        if outcome not in _RETRIED or call.heard:
            return None
        if outcome is Outcome.MALFORMED:
            call.malformed += 1
            if call.malformed >= _MALFORMED_TRIES:
                return None
        if outcome in _NAMES_A_WAIT and named is not None:
            wait = named + _LATE_S + self._random.uniform(0, min(0.1 * named, 1.0))
        else:
            call.counted += 1
            if call.counted >= self._limits.max_attempts:
                return None
            ceiling = min(_BACKOFF_CAP_S, _BACKOFF_BASE_S * 2 ** (call.counted - 1))
            wait = max(self._random.uniform(0, ceiling), named or 0.0)
        left = call.deadline - asyncio.get_running_loop().time()
        return wait if wait < left else None


class _Call:
    """What one call of `Limited.complete` remembers between its attempts."""

    def __init__(self, on_text: TextSink | None) -> None:
        self.sent = 0
        self.counted = 0
        self.malformed = 0
        self.heard = False
        self.deadline = 0.0
        self.spent: list[Completion] = []
        self.sink = None if on_text is None else self._listen(on_text)

    def start(self, deadline_s: float) -> None:
        if not self.deadline:
            self.deadline = asyncio.get_running_loop().time() + deadline_s

    def total(self, last: Completion) -> Decimal | None:
        if last.cost is None:
            return None
        return last.cost + sum((c.cost for c in self.spent if c.cost is not None), Decimal(0))

    def _listen(self, on_text: TextSink) -> TextSink:
        def listen(text: str) -> None:
            self.heard = True
            on_text(text)

        return listen


_SURELY_UNBILLED = frozenset(
    {
        Outcome.RATE_LIMITED,
        Outcome.OVERLOADED,
        Outcome.SERVER_ERROR,
        Outcome.QUOTA,
        Outcome.AUTH,
        Outcome.BAD_REQUEST,
        Outcome.CONTEXT_LENGTH,
        Outcome.CONNECTION,
    }
)


def _charged(completion: Completion, held: Decimal | None) -> Decimal | None:
    """Return what an attempt takes from the budget: its cost, nothing, or all that was held where unknown."""
    if not held:
        return held
    if completion.cost is not None and completion.usage.output_tokens is not None:
        return completion.cost
    return Decimal(0) if completion.outcome in _SURELY_UNBILLED else held


_FALLS_BACK = frozenset(
    {Outcome.TIMEOUT, Outcome.RATE_LIMITED, Outcome.OVERLOADED, Outcome.SERVER_ERROR, Outcome.CONNECTION}
)


class Fallback:
    """A Provider that asks the next of several when one times out, is limited, fails or cannot be reached.

    For `ask` and `serve` only: an evaluation that changed its system half-way would measure nothing. `name`
    and `model` are the first one's; the Completion names the one that answered.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        if not providers:
            raise ValueError("a fallback needs at least one provider")
        self._providers = tuple(providers)

    @property
    def name(self) -> str:
        return self._providers[0].name

    @property
    def model(self) -> str:
        return self._providers[0].model

    def __repr__(self) -> str:
        return f"Fallback({', '.join(map(repr, self._providers))})"

    async def complete(self, request: Request, on_text: TextSink | None = None) -> Completion:
        """Return the first reply that is not a passing failure; after visible text no other one is asked."""
        call = _Call(on_text)
        attempts = 0
        for provider in self._providers:
            completion = await provider.complete(request, call.sink)
            attempts += completion.attempts
            if completion.outcome not in _FALLS_BACK or call.heard:
                break
        return replace(completion, attempts=attempts)

    async def close(self) -> None:
        for provider in self._providers:
            await provider.close()
