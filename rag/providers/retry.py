"""What is tried again, and after which wait: the one place that decides it."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

from rag.core import Completion, Outcome, TextSink
from rag.providers.limiter import PACED

__all__ = ["Call", "wait_before_next"]

_RETRIED = PACED | {
    Outcome.SERVER_ERROR,
    Outcome.TIMEOUT,
    Outcome.CONNECTION,
    Outcome.STREAM_TRUNCATED,
    Outcome.MALFORMED,
}
_MALFORMED_TRIES = 2
_BACKOFF_BASE_S = 0.5
_BACKOFF_CAP_S = 30.0


class Call:
    """What one call remembers between its attempts.

    `sent` counts requests, `counted` those that use up `max_attempts`; `heard` is whether text was passed on,
    `spent` holds the attempts before the last. `sink` is to be given to the provider.
    """

    def __init__(self, on_text: TextSink | None) -> None:
        self.sent = 0
        self.counted = 0
        self.malformed = 0
        self.heard = False
        self.spent: list[Completion] = []
        self.deadline: float | None = None
        self.sink = None if on_text is None else self._listen(on_text)

    def start(self, deadline_s: float) -> None:
        """Let the deadline run, from the first slot on."""
        if self.deadline is None:
            self.deadline = asyncio.get_running_loop().time() + deadline_s

    def left(self, deadline_s: float) -> float:
        """Return the seconds until the deadline."""
        return deadline_s if self.deadline is None else self.deadline - asyncio.get_running_loop().time()

    def total(self, last: Completion) -> Decimal | None:
        """Return what all attempts cost, None where the cost of the last is unknown."""
        if last.cost is None:
            return None
        return last.cost + sum((c.cost for c in self.spent if c.cost is not None), Decimal(0))

    def _listen(self, on_text: TextSink) -> TextSink:
        def listen(text: str) -> None:
            self.heard = True
            on_text(text)

        return listen


def wait_before_next(
    completion: Completion, call: Call, *, max_attempts: int, rng: random.Random
) -> float | None:
    """Return the seconds until the next attempt of `call`, None where this one is the last.

    A refusal for pace that names a wait (0 is none) does not count as an attempt. Other waits are exponential
    with full jitter (Brooker 2015, "Exponential Backoff And Jitter"). `x-should-retry` overrules the table of
    outcomes.
    """
    outcome, named = completion.outcome, completion.retry_after_s
    told = None if completion.rate_limits is None else completion.rate_limits.should_retry
    again = outcome in _RETRIED if told is None else told and not outcome.answered
    if not again or call.heard:
        return None
    if outcome is Outcome.MALFORMED:
        call.malformed += 1
        if call.malformed >= _MALFORMED_TRIES:
            return None
    if outcome in PACED and named:
        return named
    call.counted += 1
    if call.counted >= max_attempts:
        return None
    ceiling = min(_BACKOFF_CAP_S, _BACKOFF_BASE_S * 2 ** (call.counted - 1))
    return max(rng.uniform(0, ceiling), named or 0.0)
