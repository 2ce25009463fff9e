"""What stands for quality over all benchmarks, and what a correct answer costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from evals.reporting.costs import price_of
from evals.reporting.data import RunData
from evals.reporting.model import MetricResult, Quality
from evals.reporting.part import CONFIDENCE, RESAMPLES, Part, leading_parts
from evals.resampling import Resampler
from evals.stats import Estimate, Table, combined_interval

__all__ = ["per_correct", "qualities"]


def qualities(parts: Sequence[Part], results: Sequence[Mapping[str, MetricResult]]) -> list[Quality | None]:
    """Return the mean of the leading metrics; None for a system that lacks one of them.

    Args:
        parts: the benchmarks of the run.
        results: those of each system, by `BENCHMARK/METRIC`.
    """
    names = tuple(f"{part.summary.name}/{part.summary.leading}" for part in leading_parts(parts))
    return [_quality(names, [of_system[name] for name in names]) for of_system in results]


def _quality(names: tuple[str, ...], results: Sequence[MetricResult]) -> Quality | None:
    estimates = [result.estimate for result in results if result.estimate is not None]
    bounds = [result.mean_if_missing_wrong for result in results if result.mean_if_missing_wrong is not None]
    if not estimates or len(estimates) < len(names):
        return None
    low, high = combined_interval(estimates)
    return Quality(
        metrics=names,
        mean=fmean(estimate.mean for estimate in estimates),
        mean_if_missing_wrong=fmean(bounds),
        low=low,
        high=high,
    )


def per_correct(run: RunData, parts: Sequence[Part]) -> list[Estimate | None]:
    """Return the cost of a correct answer for each system, over all benchmarks that have a leading metric."""
    leading = leading_parts(parts)
    if not leading:
        return [None] * len(run.systems)
    clusters = [
        (part.summary.name, sample.cluster) if part.summary.clustered and sample.cluster else None
        for part in leading
        for sample in part.samples
    ]
    correct = [part.leading.values for part in leading if part.leading]
    costs = [_sample_costs(run, part) for part in leading]
    resampler = Resampler(clusters, resamples=RESAMPLES, seed=run.seed, confidence=CONFIDENCE)
    return resampler.ratios(np.vstack(costs), np.vstack(correct))


def _sample_costs(run: RunData, part: Part) -> Table:
    """Return the known cost of each sample and system, the mean over its repeats."""
    rows = {sample.id: row for row, sample in enumerate(part.samples)}
    costs = np.zeros((len(rows), len(run.systems)))
    replies = np.zeros_like(costs)
    for column, system in enumerate(run.systems):
        for record in part.records.get(system.name, ()):
            row = rows.get(record.sample_id)
            price = price_of(record.completion)
            if row is not None and price is not None:
                costs[row, column] += float(price)
                replies[row, column] += 1
    return np.where(replies > 0, costs / np.maximum(replies, 1), np.nan)
