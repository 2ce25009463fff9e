"""One limiter a key, run-wide: how many calls may be in flight, when the next may go, and when none may.

All providers that send to the same base URL with the same key share it, so that what one call is told holds
for all of them.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from dataclasses import dataclass
from weakref import WeakValueDictionary

from rag.config import LimitsConfig
from rag.core import Completion, Outcome
from rag.progress import tell_wait
from rag.providers.allowance import Allowance, Receipt
from rag.providers.breaker import Breaker
from rag.providers.width import AdaptiveWidth

__all__ = ["PACED", "HeldBackError", "Limiter", "Slot", "shared_limiter"]

PACED = frozenset({Outcome.RATE_LIMITED, Outcome.OVERLOADED})
"""Outcomes that mean: later, or slower."""
_LATE_S = 0.01
_SPREAD_SHARE, _SPREAD_CAP_S = 0.1, 1.0
_WORTH_TELLING_S = 5.0


class HeldBackError(Exception):
    """A call that is not sent, because waiting would outlast it; becomes a Completion in `Limited`."""

    def __init__(self, outcome: Outcome, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.wait_s = wait_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """The right to send one request; `in_flight` counts it among those of its key."""

    in_flight: int
    receipt: Receipt
    probe: bool


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiter:
    tokens: int
    patience_s: float
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[Slot]


class Limiter:
    """Lets calls of one key through, in their order; safe for threads and event loops.

    - at most `AdaptiveWidth` calls at a time, never more than `limits.concurrency`;
    - a refusal that names a wait holds back all calls of the key until then and up to a tenth of it longer
      (at most 1 s, drawn), so that the clients of a key do not all come back at once;
    - what headers say is left, and the config's limits per minute, are not exceeded;
    - while a `Breaker` is open, calls fail at once instead of waiting.

    Args:
        limits: `concurrency`, `requests_per_minute` and `tokens_per_minute` of it are used.
        name: of the provider, for messages.
        seed: of that draw; by default each process draws its own.
    """

    def __init__(self, limits: LimitsConfig, *, name: str = "the provider", seed: int | None = None) -> None:
        self.name = name
        self.in_flight = 0
        self.width = AdaptiveWidth(limits.concurrency)
        self.breaker = Breaker()
        self._allowance = Allowance(
            requests_per_minute=limits.requests_per_minute, tokens_per_minute=limits.tokens_per_minute
        )
        self._lock = threading.Lock()
        self._queue: deque[_Waiter] = deque()
        self._paused_until = 0.0
        self._why: Completion | None = None
        self._alarm_at: float | None = None
        self._alarm_loop: asyncio.AbstractEventLoop | None = None
        self._random = random.Random(seed)  # noqa: S311 - spreads waits, keeps no secret

    async def acquire(self, tokens: int, *, patience_s: float, again: bool = False) -> Slot:
        """Wait for the right to send a request, to be given back with `release`.

        Args:
            tokens: an estimate of what the call takes.
            patience_s: a wait known to be longer is not begun. Waiting for other calls to end does not count.
            again: the call was sent before, and goes before those that were not.

        Raises:
            HeldBackError: the provider is down, or asks for a wait beyond `patience_s`.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        with self._lock:
            self._check(now, patience_s)
            if not self._queue and self._wait(tokens, now) == 0.0:
                return self._take(tokens, now)
            waiter = _Waiter(tokens=tokens, patience_s=patience_s, loop=loop, turn=loop.create_future())
            (self._queue.appendleft if again else self._queue.append)(waiter)
            self._pump()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise

    def release(self, slot: Slot, completion: Completion | None) -> None:
        """Give a slot back and learn from how its call ended, None where it was cancelled."""
        now = time.monotonic()
        with self._lock:
            self.in_flight -= 1
            opened = self.breaker.give_back(probe=slot.probe, now=now, completion=completion)
            if completion is not None:
                self._learn(completion, slot, now)
            if opened:
                tell_wait(f"{self._down()}; the next try is in {self.breaker.wait(now):.0f} s")
            self._pump()

    def _learn(self, completion: Completion, slot: Slot, now: float) -> None:
        if completion.outcome.answered:
            self.width.succeeded()
        elif completion.outcome in PACED:
            self.width.refused(now)
            if completion.retry_after_s:
                self._pause(completion, completion.retry_after_s, now)
        if completion.rate_limits is not None:
            heard = completion.timing.headers
            age = 0.0 if heard is None else max(0.0, time.perf_counter() - heard)
            self._allowance.learn(completion.rate_limits, slot.receipt, now - age)

    def _pause(self, completion: Completion, seconds: float, now: float) -> None:
        until = now + seconds + _LATE_S + self._random.uniform(0, min(_SPREAD_SHARE * seconds, _SPREAD_CAP_S))
        if until <= self._paused_until:
            return
        if seconds >= _WORTH_TELLING_S and until - self._paused_until > 1.0:
            tell_wait(f"{self.name} asks to wait {seconds:.0f} s: {completion.error or completion.outcome}")
        self._paused_until, self._why = until, completion

    def _check(self, now: float, patience_s: float) -> None:
        """Raise HeldBackError where a call must be known to wait for longer than `patience_s` from now."""
        wait = self.breaker.wait(now)
        if wait:
            assert self.breaker.last is not None
            raise HeldBackError(
                self.breaker.last.outcome, f"{self._down()}; not asked again for {wait:.0f} s", wait
            )
        hold = self._paused_until - now
        if hold > patience_s and self._why is not None:
            raise HeldBackError(
                self._why.outcome,
                f"{self.name} asked to wait, {hold:.0f} s more: {self._why.error}",
                hold,
            )
        hold = self._allowance.wait(0, now, idle=False) or 0.0
        if hold > patience_s:
            raise HeldBackError(
                Outcome.RATE_LIMITED, f"{self.name} says that nothing is left for {hold:.0f} s", hold
            )

    def _down(self) -> str:
        last = self.breaker.last
        return f"{self.name} is down: {'' if last is None else last.error or last.outcome}"

    def _wait(self, tokens: int, now: float) -> float | None:
        """Return the seconds until the next call may go, None where another must end first."""
        if self.in_flight >= self.width.value:
            return None
        allowed = self._allowance.wait(tokens, now, idle=self.in_flight == 0)
        if allowed is None:
            return None
        return max(0.0, allowed, self._paused_until - now)

    def _take(self, tokens: int, now: float) -> Slot:
        self.in_flight += 1
        return Slot(
            in_flight=self.in_flight,
            receipt=self._allowance.take(tokens, now),
            probe=self.breaker.take(),
        )

    def _pump(self) -> None:
        """Let through all that may go now, tell those off that have no hope, and come back in time."""
        now = time.monotonic()
        while self._queue:
            head = self._queue[0]
            if head.loop.is_closed() or head.turn.done():
                self._queue.popleft()
                continue
            try:
                self._check(now, head.patience_s)
            except HeldBackError as held:
                self._queue.popleft()
                self._settle(head, held)
                continue
            wait = self._wait(head.tokens, now)
            if wait is None:
                return
            if wait > 0:
                self._come_back(now, wait, head.loop)
                return
            self._queue.popleft()
            self._settle(head, self._take(head.tokens, now))

    def _come_back(self, now: float, wait: float, loop: asyncio.AbstractEventLoop) -> None:
        # Of another loop's alarm nobody knows whether it will be there to ring.
        elsewhere = self._alarm_loop is not loop
        if elsewhere or self._alarm_at is None or not now < self._alarm_at <= now + wait:
            self._alarm_at, self._alarm_loop = now + wait, loop
            if wait >= _WORTH_TELLING_S and now >= self._paused_until:
                tell_wait(f"{self.name} allows no more calls for {wait:.0f} s")
            loop.call_soon_threadsafe(loop.call_later, wait, self._alarm)

    def _alarm(self) -> None:
        with self._lock:
            self._alarm_at = None
            self._pump()

    def _settle(self, waiter: _Waiter, result: Slot | HeldBackError) -> None:
        if waiter.loop is asyncio.get_running_loop():
            _deliver(waiter.turn, result)
        else:
            waiter.loop.call_soon_threadsafe(self._deliver_or_release, waiter.turn, result)

    def _deliver_or_release(self, turn: asyncio.Future[Slot], result: Slot | HeldBackError) -> None:
        if not turn.done():
            _deliver(turn, result)
        elif isinstance(result, Slot):
            self.release(result, None)

    def _abandon(self, waiter: _Waiter) -> None:
        """Forget a waiter that was cancelled; a slot that reached it just before goes to another."""
        turn = waiter.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self.release(turn.result(), None)
            return
        with self._lock:
            if waiter in self._queue:
                self._queue.remove(waiter)
            self._pump()


def _deliver(turn: asyncio.Future[Slot], result: Slot | HeldBackError) -> None:
    if isinstance(result, Slot):
        turn.set_result(result)
    else:
        turn.set_exception(result)


_Key = tuple[str, str, int, int | None, int | None]
_LIMITERS: WeakValueDictionary[_Key, Limiter] = WeakValueDictionary()
_limiters_lock = threading.Lock()


def shared_limiter(base_url: str, key_env: str | None, limits: LimitsConfig, *, name: str) -> Limiter:
    """Return the limiter that all providers with this URL, key and limits share."""
    key = (
        base_url,
        key_env or "",
        limits.concurrency,
        limits.requests_per_minute,
        limits.tokens_per_minute,
    )
    with _limiters_lock:
        limiter = _LIMITERS.get(key)
        if limiter is None:
            limiter = _LIMITERS[key] = Limiter(limits, name=name)
        return limiter
