"""The calls of a run: systems x samples into the journal.

Two lanes, one after the other. Remote systems come first. Those of one provider share a pool: interleaved per
sample in seeded order, so that all see the same hour, at most `limits.concurrency` calls at a time. Pools run
side by side, so that a provider that is down or asks to wait holds up no other. Then the embedded systems,
interleaved among themselves, one call at a time with nothing beside it: a busy neighbour would slow them
tenfold, and they would hold up the clock of remote calls. A slot is given back when its reply is on disk,
together with whatever gathered meanwhile: a crash can cost no more replies than calls may be in flight.

A call that its limiter held back (no attempt was made) leaves nothing in the journal: it is made again when
the provider may be asked, up to `limits.deadline_s`; then the system is stopped, and `resume` goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from decimal import Decimal

from evals.codec import Key, record_to_json
from evals.core import NOT_ASKED, Context, Sample
from evals.folder import RunFolder, utc_now
from evals.journal import JournalWriter
from evals.runner.contexts import ContextStore, context_writer
from evals.runner.health import Health, Stop, held_back
from evals.runner.progress import Tally
from evals.runner.spec import BenchmarkSpec, RunSpec
from evals.runner.systems import Lane, Reply, System
from evals.runner.turns import Turns, said_before, with_history
from rag.core import Chunk, Completion, Message, Outcome, Timing
from rag.errors import StorageError

__all__ = ["Executor", "Work", "unasked", "works"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One call to make."""

    benchmark: BenchmarkSpec
    sample: Sample
    system: System
    repeat: int


def works(spec: RunSpec, systems: Sequence[System], done: Collection[Key]) -> Iterator[Work]:
    """Yield the calls that are left, the systems of each sample in an order drawn with the run's seed.

    A sample that follows another is yielded only where that one is done: else it is asked right after it.
    """
    for repeat in range(spec.config.repeats):
        for benchmark in spec.benchmarks:
            for sample in benchmark.samples:
                name = benchmark.config.name
                order = [*systems]
                random.Random(f"{spec.config.seed}/{name}/{sample.id}/{repeat}").shuffle(order)  # noqa: S311
                for system in order:
                    if not system.asked(benchmark):
                        continue
                    key = Key(benchmark=name, sample_id=sample.id, system=system.name, repeat=repeat)
                    before = key if sample.follows is None else key._replace(sample_id=sample.follows)
                    if key not in done and (before == key or before in done):
                        yield Work(benchmark=benchmark, sample=sample, system=system, repeat=repeat)


def unasked(spec: RunSpec, systems: Sequence[System], keys: Mapping[str, str]) -> Iterator[Reply]:
    """Yield an empty reply, at no cost, for each sample of which only the retrieval is measured."""
    for system in systems:
        key = None if system.rag is None else keys[system.rag]
        completion = Completion(
            text="",
            outcome=Outcome.OK,
            provider=system.provider,
            model=system.model,
            timing=Timing(sent=0.0, streamed=False),
            finish_reason=NOT_ASKED,
            cost=Decimal(0),
            attempts=0,
        )
        for benchmark in spec.benchmarks:
            if not system.asked(benchmark):
                for sample in benchmark.samples:
                    for repeat in range(spec.config.repeats):
                        yield system.reply(sample, repeat, completion, context_key=key)


@dataclass(kw_only=True)
class Executor:
    """Makes the calls of a run and journals the replies; `stops` says which systems ended early and why."""

    folder: RunFolder
    spec: RunSpec
    systems: Sequence[System]
    keys: Mapping[str, str]
    done: Collection[Key]
    tally: Tally
    stops: dict[str, Stop] = field(default_factory=dict)

    async def run(self) -> None:
        """Make every call that is left.

        Raises:
            StorageError: the journal cannot be written; what was acknowledged is safe.
        """
        self._contexts = ContextStore(self.folder)
        self._turns = Turns(self.folder, self.spec)
        self._health = Health(
            self.spec.config.limits.deadline_s,
            self.stops,
            lambda name, stop: self.tally.stop(name, stop.reason),
        )
        with (
            self.folder.journal(_plain) as self._journal,
            context_writer(self.folder) as self._own_contexts,
        ):
            try:
                await self._lane("remote", self.spec.config.limits.concurrency)
                await self._lane("local", 1)
            finally:
                for system in self.systems:
                    if system.caller is not None:
                        await system.caller.close()
        if self._failure is not None:
            raise self._failure

    def add(self, replies: Iterable[Reply]) -> None:
        """Journal replies that nobody need be asked for."""
        with self.folder.journal(_plain) as journal, context_writer(self.folder) as contexts:
            futures = []
            for reply in replies:
                if reply.key not in self.done:
                    if reply.own_passages is not None:
                        futures.append(contexts.append(_own_context(reply)))
                    futures.append(self._keep(reply, journal))
            for future in futures:
                future.result()

    async def _lane(self, lane: Lane, width: int) -> None:
        systems = [system for system in self.systems if system.lane == lane]
        if not systems:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for pool in dict.fromkeys(system.pool for system in systems):
                    left = works(self.spec, [s for s in systems if s.pool == pool], self.done)
                    for _ in range(width):
                        group.create_task(self._work(left))
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from group_error

    async def _work(self, left: Iterator[Work]) -> None:
        for work in left:
            if self._failure is not None:
                return  # calls in flight go on: there is a reserve of space for their replies
            await self._conversation(work)

    async def _conversation(self, work: Work) -> None:
        """Ask a sample, then those that follow it, each with what was said before."""
        history = self._turns.history(work.sample, work.system.name, work.repeat)
        turn: Work | None = work
        while turn is not None and turn.system.name not in self.stops and self._failure is None:
            reply = await self._health.watch(turn.system.name, self._asked_and_kept(turn, history))
            if reply is None or reply.outcome.infrastructure:
                return
            history = said_before(history, turn.sample, reply.text)
            turn = self._after(turn)

    def _after(self, work: Work) -> Work | None:
        sample = self._turns.after(work.sample)
        if sample is None:
            return None
        key = Key(
            benchmark=sample.benchmark, sample_id=sample.id, system=work.system.name, repeat=work.repeat
        )
        return None if key in self.done else replace(work, sample=sample)

    async def _asked_and_kept(self, work: Work, history: tuple[Message, ...]) -> Completion:
        system, sample = work.system, work.sample
        key = None if system.rag is None else self.keys[system.rag]
        passages = None if key is None else self._contexts.passages(sample.benchmark, sample.id, key)
        asked = system.request(work.benchmark, sample, passages)
        request = replace(with_history(asked, history) if history else asked, repeat=work.repeat)

        async def call() -> tuple[Completion, tuple[tuple[Chunk, ...] | None, str]]:
            assert system.caller is not None
            started = utc_now()
            completion, own = await system.caller.call(request, sample)
            return completion, (own, started)

        completion, (own, started) = await self._health.when_allowed(system.name, call)
        if held_back(completion):
            return completion
        reply = system.reply(
            sample, work.repeat, completion, started=started, asked=request, own_passages=own, context_key=key
        )
        reply = replace(reply, history=history)
        # Both are queued before anything is awaited: Ctrl-C between them must not lose a paid reply.
        # Without its passages a reply does not stand, and `resume` asks again.
        queued = [] if own is None else [self._own_contexts.append(_own_context(reply))]
        queued.append(self._keep(reply, self._journal))
        for future in queued:
            await asyncio.wrap_future(future)
        return completion

    def _keep(self, reply: Reply, journal: JournalWriter) -> Future[None]:
        """Hand a reply to the writer; it is counted once it is safe."""

        def settle(future: Future[None]) -> None:
            if not future.cancelled() and future.exception() is None:
                self.tally.add(reply.system, reply.completion)

        future = journal.append(reply)
        future.add_done_callback(settle)
        return future

    @property
    def _failure(self) -> StorageError | None:
        return self._journal.failure or self._own_contexts.failure


def _plain(reply: Reply) -> dict[str, object]:
    # In the writer thread: checking citations takes milliseconds that the loop with the clock must not lose.
    return record_to_json(reply.record())


def _own_context(reply: Reply) -> Context:
    assert reply.context_key is not None
    return Context(
        sample_id=reply.sample.id,
        benchmark=reply.sample.benchmark,
        key=reply.context_key,
        passages=reply.own_passages or (),
        retrieval_s=0.0,
    )
