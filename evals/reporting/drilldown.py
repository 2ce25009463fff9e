"""Single samples with every system's answer, those that divide the systems first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from evals.codec import Key
from evals.core import Record, Sample
from evals.reporting.data import RunData
from evals.reporting.model import AnswerView, BenchmarkSummary, SampleView

__all__ = ["SHOWN", "sample_views"]

SHOWN = 500


def sample_views(run: RunData, benchmarks: Sequence[BenchmarkSummary]) -> tuple[SampleView, ...]:
    """Return at most SHOWN samples: those where the leading scores lie furthest apart, benchmarks in turn."""
    answers: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in run.records:
        if record.repeat == 0:
            answers[record.benchmark, record.sample_id].append(record)
    order = {system.name: place for place, system in enumerate(run.systems)}
    leading = {benchmark.name: benchmark.leading for benchmark in benchmarks}
    queues = []
    for benchmark in benchmarks:
        samples = [s for s in run.samples if s.benchmark == benchmark.name and answers[s.benchmark, s.id]]
        ranked = sorted(
            ((_spread(run, answers[s.benchmark, s.id], leading[s.benchmark]), s) for s in samples),
            key=lambda item: -item[0],
        )
        queues.append(ranked[:SHOWN])
    chosen = _in_turn(queues)
    return tuple(_view(run, s, spread, answers[s.benchmark, s.id], order) for spread, s in chosen[:SHOWN])


def _in_turn(queues: Sequence[Sequence[tuple[float, Sample]]]) -> list[tuple[float, Sample]]:
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)]


def _spread(run: RunData, records: Sequence[Record], metric: str | None) -> float:
    values = [
        score.value
        for record in records
        for score in run.scores.get(Key.of(record), ())
        if score.metric == metric and score.value is not None
    ]
    return max(values) - min(values) if values else 0.0


def _view(
    run: RunData, sample: Sample, spread: float, records: Sequence[Record], order: Mapping[str, int]
) -> SampleView:
    ranked = sorted(records, key=lambda record: order.get(record.system, len(order)))
    keys = dict.fromkeys(record.context_key for record in ranked if record.context_key)
    return SampleView(
        benchmark=sample.benchmark,
        id=sample.id,
        question=sample.question,
        targets=sample.targets,
        unanswerable=sample.unanswerable,
        choices=sample.choices,
        answers=tuple(_answer(run, record) for record in ranked),
        spread=spread,
        passages=tuple((key, tuple(run.passages(sample.benchmark, sample.id, key))) for key in keys),
    )


def _answer(run: RunData, record: Record) -> AnswerView:
    completion = record.completion
    total = completion.timing.total_s
    return AnswerView(
        system=record.system,
        outcome=str(completion.outcome),
        text=record.answer,
        refused=record.refused,
        citations=record.citations,
        scores=tuple(run.scores.get(Key.of(record), ())),
        total_ms=None if total is None or completion.cached else total * 1000,
        cost=completion.cost,
        error=completion.error,
    )
