"""The judges of a run, asked after all systems: every reply of theirs in the journal, none asked for twice.

Remote judges come first, side by side, each with `limits.concurrency` samples at a time; then the embedded
ones, one call at a time. All systems' replies to a sample are judged one after the other, so that what serves
two of them, such as a pair in one order, is asked once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evals.codec import judge_reply_to_json
from evals.core import Case, JudgedMetric, JudgeReply
from evals.folder import RunFolder, utc_now
from evals.metrics.judging import Wanted, consult
from evals.runner.cases import CaseBook, Group, Verdicts, judge_names
from evals.runner.contexts import ContextStore
from evals.runner.health import Health, Stop, held_back
from evals.runner.spec import RunSpec
from evals.runner.systems import Lane, lane_of
from rag import aio
from rag.config import Config, JudgeConfig
from rag.core import Completion, Provider, Request
from rag.pricing import Price
from rag.providers import resolve
from rag.providers.budget import Budget

__all__ = ["Judge", "Panel", "ask_judges", "build_judges", "verdicts_missing"]

MAX_TOKENS = 1024
# What a small model may write into one text and one list: without a bound it repeats itself to the end of the
# reply, which then is no JSON. Five items of two texts fit into MAX_TOKENS.
_LOCAL_BOUNDS: Mapping[str, Mapping[str, int]] = {"string": {"maxLength": 160}, "array": {"maxItems": 5}}

Fresh = dict[tuple[str, int], Completion]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """A judge ready to be asked."""

    config: JudgeConfig
    lane: Lane
    provider: Provider

    @property
    def name(self) -> str:
        return self.config.provider

    @property
    def stop_name(self) -> str:
        """Under which its stop is told, beside those of systems."""
        return f"judge {self.name}"

    @property
    def price(self) -> Price | None:
        """What it costs, None where unknown."""
        found: Price | None = getattr(self.provider, "price", None)
        return found

    def request(self, wanted: Wanted) -> Request:
        """Return what it is sent: what the metric asks, with the judge's own settings."""
        given = self.config.settings
        schema = wanted.request.settings.response_schema
        settings = replace(
            wanted.request.settings,
            temperature=0.0 if given.temperature is None else given.temperature,
            max_tokens=given.max_tokens or MAX_TOKENS,
            top_p=given.top_p,
            stop=given.stop,
            seed=given.seed,
            response_schema=_bounded(schema) if self.lane == "local" else schema,
        )
        return replace(wanted.request, settings=settings, repeat=wanted.ordinal)

    def facts(self) -> dict[str, Any]:
        """Return what `run.json` says of it."""
        return {
            "name": self.name,
            "provider": self.provider.name,
            "model": self.provider.model,
            "lane": self.lane,
            "settings": self.config.settings.model_dump(mode="json", exclude_none=True),
            "price": None if self.price is None else self.price.facts(),
        }


def build_judges(config: Config, budget: Budget | None, *, with_keys: bool = True) -> tuple[Judge, ...]:
    """Return the judges of `config`, each checked: names, keys, prices. Nothing is called.

    Without keys they can be planned with, not called.

    Raises:
        UsageError: one cannot be used as configured; says the cure.
    """
    judges = []
    for judge in config.judge:
        lane = lane_of(judge.provider)
        limits = config.limits if lane == "remote" else config.limits.model_copy(update={"concurrency": 1})
        provider = resolve(
            judge.provider, config, limits=limits, budget=budget, price=judge.price, with_key=with_keys
        )
        judges.append(Judge(config=judge, lane=lane, provider=provider))
    return tuple(judges)


@dataclass(kw_only=True)
class Panel:
    """Asks the judges what is missing and journals their replies; `stops` says who ended early and why.

    `tell` is told how many groups of replies are judged, of how many that were not.
    """

    folder: RunFolder
    spec: RunSpec
    judges: Sequence[Judge]
    book: CaseBook
    verdicts: Verdicts
    tell: Callable[[int, int], None]
    stops: dict[str, Stop] = field(default_factory=dict)

    async def run(self) -> None:
        """Ask everything that is missing.

        Raises:
            StorageError: the journal cannot be written; what was acknowledged is safe.
        """
        limits = self.spec.config.limits
        self._health = Health(limits.deadline_s, self.stops, lambda _name, _stop: None)
        left = {judge.name: self._pending(judge) for judge in self.judges}
        self._done, self._total = 0, sum(map(len, left.values()))
        with self.folder.journal(judge_reply_to_json) as self._journal:
            try:
                remote = [judge for judge in self.judges if judge.lane == "remote"]
                await self._ask(remote, left, limits.concurrency)
                for judge in self.judges:
                    if judge.lane == "local":
                        await self._ask([judge], left, 1)
            finally:
                for judge in self.judges:
                    await judge.provider.close()
        if self._journal.failure is not None:
            raise self._journal.failure

    def _pending(self, judge: Judge) -> list[Group]:
        known = self.verdicts.of(judge.name)
        return [group for group in self.book.groups if self.book.pending(group, known)]

    async def _ask(self, judges: Sequence[Judge], left: Mapping[str, list[Group]], width: int) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for judge in judges:
                    groups = iter(left[judge.name])
                    for _ in range(width):
                        tasks.create_task(self._work(judge, groups))
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from group_error

    async def _work(self, judge: Judge, groups: Iterator[Group]) -> None:
        for group in groups:
            fresh: Fresh = {}
            for metric, case in self.book.judged(group):
                await self._judge(judge, metric, case, fresh)
            self._done += 1
            self.tell(self._done, self._total)

    async def _judge(self, judge: Judge, metric: JudgedMetric, case: Case, fresh: Fresh) -> None:
        """Ask until the judgement is complete, or a call failed."""
        known = self.verdicts.of(judge.name, fresh)
        name = judge.stop_name
        while isinstance(wanted := consult(metric, case, known), Wanted):
            if self._journal.failure is not None or name in self.stops:
                return
            await self._health.watch(name, self._asked_and_kept(judge, metric, case, wanted, fresh))
            if (wanted.sha256, wanted.ordinal) not in fresh:
                return

    async def _asked_and_kept(
        self, judge: Judge, metric: JudgedMetric, case: Case, wanted: Wanted, fresh: Fresh
    ) -> Completion:
        request = judge.request(wanted)

        async def call() -> tuple[Completion, str]:
            started = utc_now()
            return await judge.provider.complete(request), started

        completion, started = await self._health.when_allowed(judge.stop_name, call)
        if held_back(completion):
            return completion
        record = case.record
        reply = JudgeReply(
            judge=judge.name,
            request_sha256=wanted.sha256,
            ordinal=wanted.ordinal,
            completion=completion,
            benchmark=record.benchmark,
            sample_id=record.sample_id,
            system=record.system,
            repeat=record.repeat,
            metric=metric.names[0],
            started=started,
        )
        await asyncio.wrap_future(self._journal.append(reply))
        if not completion.outcome.infrastructure:
            fresh[wanted.sha256, wanted.ordinal] = completion
        return completion


def ask_judges(
    folder: RunFolder,
    spec: RunSpec,
    judges: Sequence[Judge],
    *,
    tell: Callable[[int, int], None],
    stops: dict[str, Stop],
) -> None:
    """Ask the judges all that is missing; the arguments as of `Panel`.

    Raises:
        StorageError: the journal cannot be written; what was acknowledged is safe.
    """
    book = CaseBook(folder, spec, ContextStore(folder))
    panel = Panel(
        folder=folder,
        spec=spec,
        judges=judges,
        book=book,
        verdicts=Verdicts(folder),
        tell=tell,
        stops=stops,
    )
    aio.run(panel.run())


def verdicts_missing(folder: RunFolder, spec: RunSpec) -> bool:
    """Return whether a judge has yet to be asked something."""
    if not spec.judged:
        return False
    book, verdicts = CaseBook(folder, spec, ContextStore(folder)), Verdicts(folder)
    known = [verdicts.of(name) for name in judge_names(spec)]
    return any(book.pending(group, replies) for group in book.groups for replies in known)


def _bounded(schema: Any) -> Any:
    """Return a schema whose texts and lists are bounded."""
    if isinstance(schema, list):
        return [_bounded(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    kind = schema.get("type")
    bounds = _LOCAL_BOUNDS.get(kind, {}) if isinstance(kind, str) and "enum" not in schema else {}
    return {**{key: _bounded(value) for key, value in schema.items()}, **bounds}
