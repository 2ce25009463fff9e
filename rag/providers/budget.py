"""Money held before a call is sent and settled after it, so that a cap is kept under any concurrency."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal

from rag.core import Completion, Outcome, Request
from rag.errors import StoppedError
from rag.pricing import Price, most

__all__ = ["UNBILLED", "Budget", "charged", "upper_bound"]

_OUTPUT_WHEN_UNLIMITED = 4096
_TOKENS_PER_MESSAGE = 16


class Budget:
    """A cap in USD, shared by every provider of a run; safe for threads and event loops.

    Args:
        cap_usd: never exceeded, as long as requests set `max_tokens`.
        spent_usd: what earlier parts of the same run cost.
    """

    def __init__(self, cap_usd: Decimal, *, spent_usd: Decimal = Decimal(0)) -> None:
        self.cap_usd = cap_usd
        self._spent = spent_usd
        self._held = Decimal(0)
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def spent_usd(self) -> Decimal:
        """What was settled so far; attempts whose cost nobody knows count with all that was held."""
        return self._spent

    @property
    def held_usd(self) -> Decimal:
        """What is held for calls in flight."""
        return self._held

    async def reserve(self, amount: Decimal) -> Decimal:
        """Hold `amount` and return it; waits while calls in flight may yet give some back.

        What costs nothing always fits, also when more than the cap is spent.

        Raises:
            StoppedError: `amount` does not fit, and nothing is in flight that could change that.
        """
        while True:
            with self._lock:
                if not amount or self._spent + self._held + amount <= self.cap_usd:
                    self._held += amount
                    return amount
                if not self._held or self._spent + amount > self.cap_usd:
                    raise StoppedError(
                        f"the budget of ${self.cap_usd:f} is used up: ${self._spent:.4f} spent, and the "
                        f"next call may cost ${amount:.4f}. "
                        "Raise it and go on with 'ragassay eval resume RUN --budget USD'."
                    )
                loop = asyncio.get_running_loop()
                turn: asyncio.Future[None] = loop.create_future()
                self._waiting.append((loop, turn))
            await turn

    def settle(self, held: Decimal, paid: Decimal) -> None:
        """Give back what was `held` for a call and count what was `paid` for it."""
        with self._lock:
            self._held -= held
            self._spent += paid
            waiting, self._waiting = self._waiting, []
        for loop, turn in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, turn)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def upper_bound(price: Price | None, request: Request) -> Decimal:
    """Return the most that one attempt at `request` can cost, in USD.

    No tokenizer in use makes more tokens than a text has UTF-8 bytes. A schema for the reply is input too.
    Without `max_tokens` the output is taken as 4,096 tokens. What runs here, or at an assumed rate per hour,
    is not paid to anyone: 0.
    """
    tokens = sum(len(m.content.encode("utf-8", "replace")) + _TOKENS_PER_MESSAGE for m in request.messages)
    if request.settings.response_schema is not None:
        tokens += len(json.dumps(request.settings.response_schema, separators=(",", ":"), default=dict))
    return most(price, tokens, request.settings.max_tokens or _OUTPUT_WHEN_UNLIMITED) or Decimal(0)


UNBILLED = frozenset(
    {
        Outcome.RATE_LIMITED,
        Outcome.OVERLOADED,
        Outcome.SERVER_ERROR,
        Outcome.QUOTA,
        Outcome.AUTH,
        Outcome.NOT_FOUND,
        Outcome.BAD_REQUEST,
        Outcome.CONTEXT_LENGTH,
        Outcome.CONNECTION,
    }
)
"""Outcomes of attempts that nobody bills."""


def charged(completion: Completion, held: Decimal) -> Decimal:
    """Return what an attempt takes from the budget: its cost, nothing, or all that was held where unknown."""
    if not held:
        return held
    if completion.cost is not None and completion.usage.output_tokens is not None:
        return completion.cost
    return Decimal(0) if completion.outcome in UNBILLED else held
