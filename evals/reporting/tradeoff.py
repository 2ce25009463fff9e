"""Quality, cost and waiting time together: how sure each is, and who is beaten in all three.

Every draw resamples the samples of each benchmark, and what each system scored, cost and took on them with
it, so that the spread of all three, and what binds them, goes into the probability of being on the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evals.reporting.costs import asked_of, price_of
from evals.reporting.model import Cell, Quality
from evals.reporting.part import CONFIDENCE, Part
from evals.stats import Table, pareto_front, pareto_membership

__all__ = ["DRAWS", "Drawn", "Front", "draw", "pareto", "with_intervals"]

DRAWS = 500  # the standard error of a probability is at most 0.022
_Counts = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Cost per 1,000 samples and median time in ms of each draw and system, NaN where a draw has none."""

    cost: Table
    time: Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """Whether each system is on the Pareto front, and the share of draws in which it is.

    A probability is None where a system has no quality.
    """

    on: tuple[bool, ...]
    probability: tuple[float | None, ...]


def draw(systems: Sequence[str], parts: Sequence[Part]) -> Drawn:
    """Resample what `parts` cost and took, whole clusters at a time."""
    held = [part for part in parts if part.samples]
    cost, time = (np.full((DRAWS, len(systems)), np.nan) for _ in range(2))
    if not held:
        return Drawn(cost=cost, time=time)
    counts = np.hstack([part.resampler.sample_counts(DRAWS) for part in held])
    names = [(part.summary.name, sample.id) for part in held for sample in part.samples]
    rows = {name: row for row, name in enumerate(names)}
    sums, priced = (np.zeros((len(rows), len(systems))) for _ in range(2))
    for column, system in enumerate(systems):
        times, timed = [], []
        for record in asked_of([record for part in held for record in part.records.get(system, ())]):
            row = rows.get((record.benchmark, record.sample_id))
            completion = record.completion
            if row is None:
                continue
            if (price := price_of(completion)) is not None:
                sums[row, column] += 1000 * float(price)
                priced[row, column] += 1
            total = completion.timing.total_s
            if total is not None and completion.outcome.answered and not completion.cached:
                times.append(1000 * total)
                timed.append(row)
        time[:, column] = _medians(np.array(times), np.array(timed, dtype=np.int64), counts)
    weights = counts.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cost = (weights @ sums) / (weights @ priced)
    return Drawn(cost=cost, time=time)


def pareto(
    parts: Sequence[Part], overall: Sequence[Cell], qualities: Sequence[Quality | None], drawn: Drawn
) -> Front:
    """Return who is not beaten in quality if all missing were wrong, cost per sample and median time.

    Args:
        parts: the benchmarks of the run.
        overall: each system over all benchmarks.
        qualities: of each system.
        drawn: what all of it cost and took.
    """
    points = [
        (
            quality.mean_if_missing_wrong if quality else None,
            None if one.cost.per_1k_samples is None else float(one.cost.per_1k_samples),
            one.latency.total_p50,
        )
        for one, quality in zip(overall, qualities, strict=True)
    ]
    if not points or all(quality is None for quality in qualities):
        return Front(on=(False,) * len(points), probability=(None,) * len(points))
    table = np.stack([-_quality_draws(parts), drawn.cost, drawn.time], axis=2)
    for column, point in enumerate(points):
        for place, value in enumerate(point):
            if value is None:
                table[:, column, place] = np.inf
    shares = pareto_membership(np.where(np.isnan(table), np.inf, table)).mean(axis=0)
    return Front(
        on=tuple(pareto_front(points)),
        probability=tuple(
            None if quality is None else float(share)
            for quality, share in zip(qualities, shares, strict=True)
        ),
    )


def with_intervals(cells: Sequence[Cell], drawn: Drawn) -> list[Cell]:
    """Return each system's cell with intervals of its cost and of its median time, where these are known."""
    return [
        replace(
            cell,
            cost=replace(
                cell.cost,
                per_1k_interval=None
                if cell.cost.per_1k_samples is None
                else _interval(drawn.cost[:, column]),
            ),
            latency=replace(cell.latency, total_p50_interval=_interval(drawn.time[:, column])),
        )
        for column, cell in enumerate(cells)
    ]


def _quality_draws(parts: Sequence[Part]) -> Table:
    draws = [part.resampler.draws(part.leading.bound)[:DRAWS] for part in parts if part.leading]
    return np.asarray(np.mean(draws, axis=0), dtype=np.float64)


def _medians(values: Table, rows: NDArray[np.int64], counts: _Counts) -> Table:
    """Return the median of `values` in each draw."""
    if not values.size:
        return np.full(len(counts), np.nan)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[:, rows[order]], axis=1, dtype=np.int32)
    total = reached[:, -1:]
    lower, upper = (values[order][at.argmax(axis=1)] for at in (2 * reached >= total, 2 * reached > total))
    medians: Table = np.where(total[:, 0] > 0, (lower + upper) / 2, np.nan)
    return medians


def _interval(draws: Table) -> tuple[float, float] | None:
    known = draws[~np.isnan(draws)]
    if not known.size or np.ptp(known) <= 1e-12 * abs(known[0]):
        return None  # draws without spread know nothing of chance
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
