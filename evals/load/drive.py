"""The loops of one process: users that wait for their answers, and arrivals that wait for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from evals.load.client import BudgetSpentError, Client
from evals.load.prompts import Prompts
from evals.load.record import Shot
from evals.load.watch import ClientLoad, Watch
from rag.core import Request

__all__ = ["Leg", "Tally", "drive", "requests_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """What one process does of a level: request numbers, and users or arrival times for them.

    `arrivals` are seconds after `start`; None makes it a closed loop of `users`. `start` is a reading of
    `time.perf_counter()`, None for at once.
    """

    numbers: tuple[int, ...]
    users: int = 1
    arrivals: tuple[float, ...] | None = None
    start: float | None = None
    chars_per_token: float

    def share(self, part: int, parts: int) -> Leg:
        """Return what process `part` of `parts` does of this leg: every `parts`-th arrival, or user.

        Each user has as many requests; a process without a user has none.
        """
        if self.arrivals is not None:
            return replace(self, numbers=self.numbers[part::parts], arrivals=self.arrivals[part::parts])
        users = range(part, self.users, parts)
        numbers = (n for at, n in enumerate(self.numbers) if at % self.users in users)
        return replace(self, numbers=tuple(numbers), users=len(users))


@dataclass(kw_only=True)
class Tally:
    """What a leg has brought so far; filled while it runs, so that an interruption loses nothing.

    `stopped` says why nothing more is sent: `budget`, or the terminal outcome of a request.
    """

    shots: list[Shot] = field(default_factory=list)
    load: ClientLoad | None = None
    stopped: str | None = None


def requests_of(leg: Leg, prompts: Prompts) -> list[Request]:
    """Return the requests of `leg`: made before the first is sent, since making text costs the clock."""
    prompts.chars_per_token = leg.chars_per_token
    return [prompts.request(number) for number in leg.numbers]


async def drive(leg: Leg, requests: Sequence[Request], client: Client, tally: Tally) -> None:
    """Send the requests of `leg` and put what became of them into `tally`."""
    if leg.start is not None:
        await asyncio.sleep(max(0.0, leg.start - time.perf_counter()))
    watch = Watch()
    try:
        async with watch:
            if leg.arrivals is None:
                await _closed(leg, requests, client, tally)
            else:
                await _open(leg, requests, client, tally)
    finally:
        tally.load = watch.load


async def _closed(leg: Leg, requests: Sequence[Request], client: Client, tally: Tally) -> None:
    waiting = iter(zip(leg.numbers, requests, strict=True))

    async def user(left: Iterator[tuple[int, Request]]) -> None:
        for number, request in left:
            if tally.stopped:
                return
            await _one(client, number, request, None, tally)

    async with asyncio.TaskGroup() as group:
        for _ in range(leg.users):
            group.create_task(user(waiting))


async def _open(leg: Leg, requests: Sequence[Request], client: Client, tally: Tally) -> None:
    assert leg.arrivals is not None
    start = time.perf_counter() if leg.start is None else leg.start
    async with asyncio.TaskGroup() as group:
        for number, request, offset in zip(leg.numbers, requests, leg.arrivals, strict=True):
            due = start + offset
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if tally.stopped:
                return
            group.create_task(_one(client, number, request, due, tally))


async def _one(client: Client, number: int, request: Request, due: float | None, tally: Tally) -> None:
    try:
        shot = await client.ask(number, request, due=due)
    except BudgetSpentError:
        tally.stopped = "budget"
        return
    tally.shots.append(shot)
    if shot.outcome.terminal:
        tally.stopped = shot.outcome.value
