"""What stands around a provider: the one retry layer, a shared limiter, price and budget.

`Limited` is the only place that repeats a call, so that no repetition hides in a timing or a bill.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

from rag.attempts import record_attempt
from rag.config import LimitsConfig
from rag.core import Completion, Outcome, Provider, Request, TextSink, Timing
from rag.pricing import Price, cost
from rag.providers.allowance import estimated_tokens
from rag.providers.budget import Budget, charged, upper_bound
from rag.providers.limiter import HeldBackError, Limiter, Slot
from rag.providers.retry import Call, wait_before_next

__all__ = ["Limited"]


class Limited:
    """A Provider around a provider: waits for a slot, retries, and computes the cost.

    Retried are rate limits, overload, server errors, timeouts, broken connections and truncated streams, and
    once a malformed reply; see `wait_before_next`. Once text was passed to `on_text` nothing is tried again:
    the reader would see two answers.

    The Completion's timing is that of the attempt returned; its `attempts` counts the requests sent, its cost
    includes earlier attempts whose usage is known. A call that the limiter holds back, because the provider
    is down or asks for a wait beyond the deadline, has 0 attempts, the outcome that led to it, and in
    `retry_after_s` the time until it makes sense to ask.

    Args:
        provider: what makes the attempts.
        limits: `max_attempts`, and `deadline_s` for a call with all its waits, counted from its first slot.
        limiter: shared by all providers with the same key.
        price: None where unknown; then the cost is None.
        budget: refuses attempts that it cannot cover.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        limits: LimitsConfig | None = None,
        limiter: Limiter | None = None,
        price: Price | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._provider = provider
        self._limits = limits or LimitsConfig()
        self._limiter = limiter or Limiter(self._limits, name=provider.name)
        self._price = price
        self._budget = budget
        # Each draws its own: clients of one seed would all come back at once.
        self._random = random.Random()  # noqa: S311 - spreads waits, keeps no secret

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
        call = Call(on_text)
        tokens = estimated_tokens(request)
        try:
            slot = await self._limiter.acquire(tokens, patience_s=self._limits.deadline_s)
        except HeldBackError as held:
            return self._unsent(held)
        call.start(self._limits.deadline_s)
        while True:
            completion = await self._attempt(request, call, slot)
            next_slot = await self._slot_for_next(request, completion, call, tokens)
            if next_slot is None:
                return replace(completion, attempts=call.sent, cost=call.total(completion))
            slot = next_slot
            call.spent.append(completion)

    async def close(self) -> None:
        await self._provider.close()

    async def _slot_for_next(
        self, request: Request, completion: Completion, call: Call, tokens: int
    ) -> Slot | None:
        """Wait for the next attempt and return its slot, None where the last one stands."""
        wait = wait_before_next(completion, call, max_attempts=self._limits.max_attempts, rng=self._random)
        left = call.left(self._limits.deadline_s)
        last = wait is None or wait >= left
        self._record(request, completion, call, None if last else wait)
        if wait is None or wait >= left:
            return None
        try:
            async with asyncio.timeout(left):
                await asyncio.sleep(wait)
                return await self._limiter.acquire(tokens, patience_s=left - wait, again=True)
        except (HeldBackError, TimeoutError):
            return None

    async def _attempt(self, request: Request, call: Call, slot: Slot) -> Completion:
        completion = None
        try:
            completion = await self._paid_attempt(request, call)
        finally:
            self._limiter.release(slot, completion)
        return replace(completion, timing=replace(completion.timing, concurrency=slot.in_flight))

    async def _paid_attempt(self, request: Request, call: Call) -> Completion:
        if self._budget is None:
            return self._priced(await self._before_deadline(request, call))
        held = await self._budget.reserve(upper_bound(self._price, request))
        paid = held  # a cancelled attempt may have been billed: it keeps what was held for it
        try:
            completion = self._priced(await self._before_deadline(request, call))
            paid = charged(completion, held)
            return completion
        finally:
            self._budget.settle(held, paid)

    def _priced(self, completion: Completion) -> Completion:
        return replace(completion, cost=cost(self._price, completion.usage, completion.timing.total_s))

    async def _before_deadline(self, request: Request, call: Call) -> Completion:
        started = time.perf_counter()
        call.sent += 1
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self._provider.complete(request, call.sink)
        except TimeoutError:
            late = f"no complete reply within the deadline of {self._limits.deadline_s:g} s"
            return self._unanswered(Outcome.TIMEOUT, late, started)
        except asyncio.CancelledError:
            left = self._unanswered(Outcome.CANCELLED, "cancelled by the caller", started)
            self._record(request, left, call, None)
            raise

    def _unanswered(self, outcome: Outcome, error: str, started: float) -> Completion:
        return Completion(
            text="",
            outcome=outcome,
            provider=self.name,
            model=self.model,
            timing=Timing(sent=started),
            error=error,
        )

    def _record(self, request: Request, completion: Completion, call: Call, retry_in_s: float | None) -> None:
        url = getattr(self._provider, "base_url", None)
        record_attempt(request, completion, number=call.sent, retry_in_s=retry_in_s, base_url=url)

    def _unsent(self, held: HeldBackError) -> Completion:
        unsent = self._unanswered(held.outcome, str(held), time.perf_counter())
        return replace(unsent, attempts=0, retry_after_s=held.wait_s)
