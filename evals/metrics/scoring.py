"""The one rule for scoring replies that failed, around every metric.

A reply that came (`ok`, `length`, `refusal`) is scored as it stands. `content_filter`, `context_length` and
`bad_request` are the system's own failure and get the metric's worst value, with the outcome as reason. All
else is infrastructure: nothing was learnt, the value is None and the reason is the outcome. A metric that
raises yields a Score with its error, and the run goes on.

Metrics that compare with passages have nothing to go by where a reply came without: it may be a closed book,
or an app that retrieves by itself and tells nothing. Which of them it is, the system knows, not the reply.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from evals.core import BatchMetric, Measure, Metric, Record, Sample, Score, ScoreItem
from evals.metrics.catalog import metric_info
from rag.core import Chunk, Outcome

__all__ = [
    "BLOCK",
    "NO_PASSAGES",
    "is_missing",
    "prepare_metrics",
    "score_record",
    "score_records",
    "settled_scores",
]

BLOCK = 64
"""Replies whose metrics are prepared together."""

NO_PASSAGES = "no passages known"
_JUDGE_FAILED = "judge: "
_FAILED = frozenset(str(outcome) for outcome in Outcome if not outcome.answered)


def score_records(
    items: Iterable[ScoreItem], metrics: Sequence[Metric]
) -> Iterator[tuple[Record, tuple[Score, ...]]]:
    """Yield each record with its scores: one for each name of each metric, in order.

    Args:
        items: sample, record of a system's reply, and the passages that the system was shown.
        metrics: what to measure, from `load_metrics`.
    """
    stream = iter(items)
    while block := list(islice(stream, BLOCK)):
        prepare_metrics(metrics, block)
        for sample, record, passages in block:
            yield record, score_record(sample, record, passages, metrics)


def prepare_metrics(metrics: Sequence[Metric], items: Sequence[ScoreItem]) -> None:
    """Let the metrics that use a model read the texts of many replies at once."""
    for metric in metrics:
        if isinstance(metric, BatchMetric):
            # What fails for the block fails again for the reply whose fault it is, and is data there.
            with suppress(Exception):
                metric.prepare(items)


def score_record(
    sample: Sample, record: Record, passages: Sequence[Chunk], metrics: Sequence[Metric]
) -> tuple[Score, ...]:
    """Return the scores of one record; never raises for what a metric does."""
    scores: list[Score] = []
    for metric in metrics:
        scores.extend(settled_scores(metric, sample, record) or _measured(metric, sample, record, passages))
    return tuple(scores)


def is_missing(score: Score) -> bool:
    """True where a value should exist and does not: the call failed, the metric did, or its judge.

    The other scores without a value do not apply: there are no passages, or a refusal makes no claims.
    """
    reason = score.reason or ""
    failed = score.error is not None or reason in _FAILED or reason.startswith(_JUDGE_FAILED)
    return score.value is None and failed


def settled_scores(metric: Measure, sample: Sample, record: Record) -> list[Score] | None:
    """Return what follows from sample, outcome and lack of passages alone; None where the text decides."""
    # First of all: a call that failed has no value of a metric that its sample has none of.
    # By the name of `OfSomeSamples`' method: asking for the Protocol takes longer than many a metric.
    inapplicable = getattr(metric, "inapplicable", None)
    unfit = None if inapplicable is None else inapplicable(sample)
    if unfit is not None:
        return [Score(metric=name, value=None, reason=unfit) for name in metric.names]
    outcome = record.completion.outcome
    if metric.needs_passages and record.context_key is None:
        # A call that failed would have told its passages, had it come back: its value is missing.
        reason = NO_PASSAGES if outcome.answered else str(outcome)
        return [Score(metric=name, value=None, reason=reason) for name in metric.names]
    if not metric.needs_answer or outcome.answered:
        return None
    if outcome.own_failure:
        return [
            Score(metric=name, value=metric_info(name).worst, reason=str(outcome)) for name in metric.names
        ]
    return [Score(metric=name, value=None, reason=str(outcome)) for name in metric.names]


def _measured(metric: Metric, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:
    try:
        scores = metric.score(sample, record, passages)
    except Exception as exc:  # noqa: BLE001 - whatever a metric raises is its own failure, and data
        error = f"{type(exc).__name__}: {exc}"[:300]
        return [Score(metric=name, value=None, error=error) for name in metric.names]
    return [score if _finite(score) else _not_a_number(score) for score in scores]


def _finite(score: Score) -> bool:
    return score.value is None or math.isfinite(score.value)


def _not_a_number(score: Score) -> Score:
    return Score(metric=score.metric, value=None, error=f"the metric returned {score.value}")
