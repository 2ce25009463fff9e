"""One attempt a request: the provider as it is, without retries, waiting turns or cached replies.

`rag.providers.resolve` puts those around a provider because an answer matters more than the time it took.
Here the time is what is measured, so its layers are taken off and only price and budget are kept.
"""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from evals.load.record import Shot, shot_of
from rag.attempts import record_attempt
from rag.core import Provider, Request
from rag.pricing import Price, cost
from rag.providers.budget import Budget, charged, upper_bound

if TYPE_CHECKING:
    from evals.load.plan import LoadPlan
    from rag.config import Config

__all__ = ["BudgetSpentError", "Client", "open_client"]

_ONE_AT_A_TIME = frozenset({"local"})
_OPEN_FILES = 10_240  # above the users that a level may have; macOS grants no more, whatever its limit says


class BudgetSpentError(Exception):
    """The budget does not cover the next request, which was not sent."""


@runtime_checkable
class _Layer(Protocol):
    @property
    def inner(self) -> Provider: ...


class Client:
    """Sends requests to a provider, each once, and counts what is in flight.

    Args:
        provider: as `resolve` returns it.
        budget: what may be spent; None for no cap.
    """

    def __init__(self, provider: Provider, budget: Budget | None = None) -> None:
        self.price: Price | None = getattr(provider, "price", None)
        while isinstance(provider, _Layer):
            provider = provider.inner
            self.price = self.price or getattr(provider, "price", None)
        self.provider = provider
        self.budget = budget
        self.in_flight = 0
        self._queues = provider.name in _ONE_AT_A_TIME

    async def ask(self, number: int, request: Request, *, due: float | None = None) -> Shot:
        """Send one request and return what became of it.

        Args:
            number: its place in the level.
            request: what is asked.
            due: its scheduled arrival; None in a closed loop.

        Raises:
            BudgetSpentError: it was not sent.
        """
        held = await self._hold(request)
        paid = held
        stamps: list[float] = []
        self.in_flight += 1
        in_flight = self.in_flight
        if due is None and self._queues:
            due = time.perf_counter()
        try:
            completion = await self.provider.complete(request, lambda _: stamps.append(time.perf_counter()))
            completion = replace(
                completion, cost=cost(self.price, completion.usage, completion.timing.total_s)
            )
            paid = charged(completion, held)
            url = getattr(self.provider, "base_url", None)
            record_attempt(request, completion, number=1, base_url=url)
        finally:
            self.in_flight -= 1
            if self.budget is not None:
                self.budget.settle(held, paid)
        return shot_of(number, completion, stamps, due=due, in_flight=in_flight)

    async def close(self) -> None:
        """Close the provider's connections."""
        await self.provider.close()

    async def _hold(self, request: Request) -> Decimal:
        """Hold what `request` may cost, at once or not at all: waiting for money would change the load."""
        if self.budget is None:
            return Decimal(0)
        amount = upper_bound(self.price, request)
        if amount and self.budget.spent_usd + self.budget.held_usd + amount > self.budget.cap_usd:
            raise BudgetSpentError
        return await self.budget.reserve(amount)


def open_client(plan: LoadPlan, config: Config, budget: Budget | None = None) -> Client:
    """Return the client of a plan.

    Raises:
        UsageError: as `rag.providers.resolve`.
    """
    from rag.providers import resolve

    _allow_open_files()
    limits = config.limits.model_copy(
        update={"timeout_s": plan.timeout_s, "deadline_s": plan.timeout_s + 1, "max_attempts": 1}
    )
    asking = config.with_cache(False)  # a stored reply would measure nothing
    return Client(resolve(plan.ref, asking, limits=limits, budget=budget), budget)


def _allow_open_files() -> None:
    """Raise this process's soft limit on open files as far as connections need: each is one."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
