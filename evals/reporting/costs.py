"""Money and time of a system's calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from evals.core import NOT_ASKED, Record
from evals.reporting.model import Cell, Cost, Latency
from evals.stats import Estimate, percentile, quantiles
from rag.core import Completion

__all__ = ["asked_of", "cell", "price_of", "summarise_cost", "summarise_latency"]


def cell(
    records: Sequence[Record],
    samples: int,
    per_correct: Estimate | None = None,
    *,
    replaced: Sequence[Record] = (),
) -> Cell:
    """Return what became of `records`, out of `samples` that were asked for; `replaced` cost money too."""
    outcomes = Counter(str(record.completion.outcome) for record in records)
    unlearnt = sum(record.completion.outcome.infrastructure for record in records)
    return Cell(
        samples=samples,
        received=len(records),
        scored=len(records) - unlearnt,
        outcomes=dict(sorted(outcomes.items(), key=lambda item: (-item[1], item[0]))),
        cost=summarise_cost(asked_of(records), per_correct, replaced=replaced),
        latency=summarise_latency(records),
        cached=sum(record.completion.cached for record in records),
    )


def asked_of(records: Sequence[Record]) -> Sequence[Record]:
    """Return the replies that somebody was asked for, so that those at no cost do not make the others cheap.

    All of them where nobody was ever asked: retrieval costs nothing here.
    """
    return [r for r in records if r.completion.finish_reason != NOT_ASKED] or records


def price_of(completion: Completion) -> Decimal | None:
    """Return what a reply costs who asks for it: for a stored one that is what it cost when it was asked."""
    return completion.original_cost if completion.cached else completion.cost


def summarise_cost(
    records: Sequence[Record], per_correct: Estimate | None = None, *, replaced: Sequence[Record] = ()
) -> Cost:
    """Add up what the replies cost. An answer whose price is unknown makes the sum unknown, never smaller.

    Failed calls without a known price (a timeout tells no usage) are left out and counted. The total is what
    the run cost, with the replies that were `replaced` when it was resumed; the others are prices of a
    sample, which leave these out and count a stored reply with what it cost when it was asked.
    """
    standing = [price for r in records if (price := price_of(r.completion)) is not None]
    priced = [r.completion.cost for r in (*records, *replaced) if r.completion.cost is not None]
    unpriced = [r for r in (*records, *replaced) if price_of(r.completion) is None]
    unknown = not priced or any(r.completion.outcome.answered for r in unpriced)
    return Cost(
        total=None if unknown else sum(priced, Decimal(0)),
        per_1k_samples=None if unknown or not standing else sum(standing, Decimal(0)) * 1000 / len(standing),
        per_correct=None if unknown else per_correct,
        replies=len(priced),
        unpriced=len(unpriced),
    )


def summarise_latency(records: Sequence[Record]) -> Latency:
    """Return percentiles over the answered replies that came from no cache."""
    ttft: list[float] = []
    total: list[float] = []
    speed: list[float] = []
    flights: list[int] = []
    for record in records:
        completion = record.completion
        if completion.cached or not completion.outcome.answered:
            continue
        timing = completion.timing
        if (first := timing.ttft_s) is not None:
            ttft.append(first * 1000)
        if (whole := timing.total_s) is not None:
            total.append(whole * 1000)
            flights.append(timing.concurrency)
        if (rate := timing.output_tokens_per_s(completion.usage)) is not None:
            speed.append(rate)
    return Latency(
        n=len(total),
        ttft_p50=percentile(ttft, 0.5),
        ttft_p95=percentile(ttft, 0.95),
        total_p50=percentile(total, 0.5),
        total_p95=percentile(total, 0.95),
        total_quantiles=tuple(quantiles(total, (0.05, 0.25, 0.5, 0.75, 0.95))),
        output_tokens_per_s_p50=percentile(speed, 0.5),
        concurrency=(min(flights), max(flights)) if flights else None,
    )
