"""A load test from plan to result: warm-up, level after level, as many processes as the client needs."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from evals.load.client import Client, open_client
from evals.load.crew import Alone, Crew, Several
from evals.load.drive import Leg, Tally
from evals.load.plan import Level, LoadPlan
from evals.load.prompts import CHARS_PER_TOKEN, Prompts
from evals.load.record import Shot
from evals.load.watch import BUSY_SHARE, ClientLoad
from rag.errors import ProviderFailedError, StoppedError, UsageError
from rag.providers.budget import UNBILLED, Budget, upper_bound

if TYPE_CHECKING:
    from rag.config import Config
    from rag.pricing import Price

__all__ = ["IN_THIS_PROCESS", "LevelResult", "LoadProgress", "LoadResult", "Run"]

_COMFORTABLE_SHARE = 0.5
_CHARS_PER_TOKEN_RANGE = (1.5, 8.0)
IN_THIS_PROCESS = frozenset({"local", "extractive"})
"""Providers whose model runs in this process or as its child: other processes would each start their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelResult:
    """What one level brought. `warmup` counts the requests before it that are in no figure.

    `load` is that of the busiest client process; `stopped` says why requests of the level were not sent.
    """

    level: Level
    shots: tuple[Shot, ...]
    load: ClientLoad
    processes: int
    warmup: int
    stopped: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadResult:
    """A whole load test. `interrupted` is True where Ctrl-C ended it, `spent_usd` includes the warm-up."""

    provider: str
    model: str
    plan: LoadPlan
    created: datetime
    levels: tuple[LevelResult, ...]
    spent_usd: Decimal | None
    price: str | None
    interrupted: bool = False


class LoadProgress(Protocol):
    """Is told how many requests of a level, or of its warm-up, are done."""

    def __call__(self, level: Level, done: int, *, warming: bool) -> None: ...


class Run:
    """A load test. `execute` may be interrupted; `result` holds what was measured until then.

    Args:
        plan: what is asked.
        config: providers, prices and limits.
        progress: told several times a second.

    Raises:
        UsageError: the REF cannot be resolved, or one process alone can serve it and more were asked for.
    """

    def __init__(self, plan: LoadPlan, config: Config, progress: LoadProgress | None = None) -> None:
        self._plan = plan
        self._config = config
        self._progress = progress
        self._budget = None if plan.budget_usd is None else Budget(Decimal(str(plan.budget_usd)))
        self._client: Client = open_client(plan, config, self._budget)
        self._prompts = Prompts(plan.prompt_tokens, plan.output_tokens)
        self._crew: Crew = Alone(self._client, self._prompts)
        self._created = datetime.now(UTC)
        self._levels: list[LevelResult] = []
        self._spent: list[Decimal | None] = []
        self._charged = Decimal(0)
        self._chars_per_token = CHARS_PER_TOKEN
        self._next = 0
        self._interrupted = False
        if self._fixed_here and (plan.processes or 1) > 1:
            raise UsageError(f"{plan.ref} runs in this process; leave --processes at auto or 1.")

    @property
    def price(self) -> Price | None:
        """What the provider's tokens cost, None where unknown."""
        return self._client.price

    @property
    def result(self) -> LoadResult:
        """What was measured so far."""
        provider = self._client.provider
        known = [amount for amount in self._spent if amount is not None]
        return LoadResult(
            provider=provider.name,
            model=provider.model,
            plan=self._plan,
            created=self._created,
            levels=tuple(self._levels),
            spent_usd=sum(known, Decimal(0)) if len(known) == len(self._spent) else None,
            price=None if self.price is None else self.price.describe(),
            interrupted=self._interrupted,
        )

    def execute(self) -> LoadResult:
        """Run all levels and return the result.

        Raises:
            ProviderFailedError: not one request of a warm-up was answered.
            StoppedError: authentication, quota or the budget ended it before anything was measured.
            KeyboardInterrupt: `result` holds what was measured.
        """
        try:
            if (self._plan.processes or 1) > 1:
                self._enlarge(self._plan.processes or 1)
            for level in self._plan.levels:
                self._run(level)
                if self._levels[-1].stopped:
                    break
        except KeyboardInterrupt:
            self._interrupted = True
            raise
        finally:
            self._crew.close()
        return self.result

    def _run(self, level: Level) -> None:
        warmed = self._warm_up(level)
        tally = Tally()
        try:
            self._drive(level, level.requests, tally, warming=False)
        finally:
            self._count(tally)
            if tally.shots or tally.stopped:
                self._levels.append(
                    LevelResult(
                        level=level,
                        shots=tuple(sorted(tally.shots, key=lambda shot: shot.number)),
                        load=tally.load or ClientLoad(cpu_share=0.0, lag_p95_ms=0.0),
                        processes=min(self._crew.size, level.concurrency or self._crew.size),
                        warmup=warmed,
                        stopped=tally.stopped,
                    )
                )

    def _warm_up(self, level: Level) -> int:
        """Open connections, learn the size of a token and whether one process is enough; return requests."""
        if not level.warmup:
            return 0
        tally = self._warm(level)
        sent = len(tally.shots)
        if self._plan.processes is None and tally.load is not None and not self._fixed_here:
            size = _processes_for(tally.load, self._crew.size, level)
            if size > self._crew.size:
                self._enlarge(size)
                sent += len(self._warm(level).shots)  # new processes have connections to open
        return sent

    def _warm(self, level: Level) -> Tally:
        tally = Tally()
        try:
            self._drive(level, level.warmup, tally, warming=True)
        finally:
            self._count(tally)
        answered = [shot for shot in tally.shots if shot.outcome.answered]
        if not answered:
            self._give_up(tally)
        self._learn_token_size(answered)
        return tally

    def _drive(self, level: Level, count: int, tally: Tally, *, warming: bool) -> None:
        numbers = tuple(range(self._next, self._next + count))
        self._next += count
        arrivals = None if level.rate is None else level.schedule(self._plan.seed, count)
        leg = Leg(
            numbers=numbers,
            users=min(level.concurrency or 1, count),
            arrivals=arrivals,
            chars_per_token=self._chars_per_token,
        )
        self._prompts.chars_per_token = self._chars_per_token

        def told(done: int) -> None:
            if self._progress is not None:
                self._progress(level, done, warming=warming)

        self._crew.drive(leg, tally, told)

    def _give_up(self, tally: Tally) -> None:
        if tally.stopped == "budget":
            raise StoppedError(
                f"the budget of ${self._plan.budget_usd:g} does not cover the warm-up; raise --budget, or "
                "lower --warmup or --output-tokens."
            )
        first = tally.shots[0]
        message = f"{self._plan.ref} answered none of {len(tally.shots)} requests: {first.outcome.value}: "
        cure = f"'ragassay providers check {self._plan.ref}' tells more."
        kind = StoppedError if first.outcome.terminal else ProviderFailedError
        raise kind(f"{message}{first.error or 'no detail'}; {cure}")

    def _learn_token_size(self, answered: Sequence[Shot]) -> None:
        sizes = [
            sum(len(message.content) for message in self._prompts.request(shot.number).messages)
            / shot.input_tokens
            for shot in answered
            if shot.input_tokens
        ]
        if sizes:
            low, high = _CHARS_PER_TOKEN_RANGE
            self._chars_per_token = min(high, max(low, statistics.median(sizes)))

    @property
    def _fixed_here(self) -> bool:
        return self._client.provider.name in IN_THIS_PROCESS

    def _enlarge(self, size: int) -> None:
        left = None if self._budget is None else self._budget.cap_usd - self._charged
        self._crew.close()
        self._crew = Several(size, self._plan, self._config, salt=self._prompts.salt, left=left)

    def _count(self, tally: Tally) -> None:
        for shot in tally.shots:
            self._spent.append(shot.cost_usd)
            if shot.cost_usd is not None:
                self._charged += shot.cost_usd
            elif shot.outcome not in UNBILLED:
                self._charged += upper_bound(self.price, self._prompts.request(shot.number))


def _processes_for(load: ClientLoad, size: int, level: Level) -> int:
    """Return how many processes keep each at about half a core; never more than cores or users."""
    if load.cpu_share <= BUSY_SHARE:
        return size
    from rag.providers.cpu import usable_cores

    wanted = int(size * load.cpu_share / _COMFORTABLE_SHARE) + 1
    most = level.concurrency or level.requests
    return max(size, min(wanted, usable_cores(), most, os.cpu_count() or 1))
