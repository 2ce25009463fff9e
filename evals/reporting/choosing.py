"""The system to take, and why: quality bound first, then what money and time allow, then the price.

Quality is what holds if everything missing were wrong, so that none is chosen for failing at what is hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evals.metrics.catalog import metric_info
from evals.reporting import text
from evals.reporting.calibrated import calibrations
from evals.reporting.compare import LEVEL
from evals.reporting.data import RunData
from evals.reporting.model import Cell, Comparison, MetricResult, SystemSummary
from evals.reporting.numbers import summarise_systems
from evals.reporting.part import CONFIDENCE, RESAMPLES, Part, leading_parts, read_parts
from evals.reporting.reasons import why
from evals.reporting.verdicts import Candidate, Choice, Limits, objections
from evals.resampling import Resampler
from evals.stats import Estimate, Table, holm, minimum_detectable, overall_error, overall_interval
from rag.errors import UnknownNameError, UsageError

__all__ = ["choose_system"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Basis:
    """What quality is measured by: a bound table for each benchmark that counts, all with equal weight."""

    metrics: tuple[str, ...]
    parts: tuple[Part, ...]
    tables: tuple[Table, ...]


def choose_system(run: RunData, *, metric: str | None = None, limits: Limits | None = None) -> Choice:
    """Return the best system within the limits; the cheapest of those that statistics cannot tell from it.

    Args:
        run: a scored run.
        metric: `BENCHMARK/METRIC` to choose by; by default the leading metric of every benchmark. Cost and
            time are then those of that benchmark.
        limits: what a system must keep to.

    Raises:
        UnknownNameError: the run has no such metric; names the nearest.
        UsageError: nothing in the run is scored or says what is right, or of the metric less is better.
    """
    _check_scored(run)
    parts = read_parts(run)
    basis = _basis(parts, metric)
    systems = summarise_systems(run, parts)
    limits = limits or Limits()
    found = []
    for column, system in enumerate(systems):
        candidate = _candidate(system, basis, column, single=metric)
        reasons = objections(candidate, limits)
        found.append(replace(candidate, qualifies=not reasons, reasons=reasons))
    return _choice(run, basis, limits, found)


def _check_scored(run: RunData) -> None:
    if not run.samples:
        raise UsageError("the run has no samples; there is nothing to choose by.")
    if not run.records:
        raise UsageError("no reply was received: go on with 'ragassay eval resume', then choose.")
    if not run.scores:
        raise UsageError("no reply is scored: 'ragassay eval rescore' does it; then choose.")


def _basis(parts: Sequence[Part], metric: str | None) -> _Basis:
    known = {f"{part.summary.name}/{name}": part for part in parts for name in part.summary.metrics}
    good = [name for name in known if metric_info(name.partition("/")[2]).higher_is_better]
    if metric is None:
        chosen = leading_parts(parts)
        names = tuple(f"{part.summary.name}/{part.summary.leading}" for part in chosen)
        if not chosen:
            options = f"name one with --metric: {', '.join(good)}" if good else "score it first"
            raise UsageError(f"no metric of this run says whether an answer is right; {options}.")
    else:
        if metric not in known:
            raise UnknownNameError("metric", metric, known, "Metrics are written BENCHMARK/METRIC.")
        if metric not in good:
            raise UsageError(
                f"of {metric} less is better; choose by one of {', '.join(good) or 'no metric'}."
            )
        names, chosen = (metric,), [known[metric]]
    tables = tuple(
        part.tables[name.partition("/")[2]].bound for part, name in zip(chosen, names, strict=True)
    )
    return _Basis(metrics=names, parts=tuple(chosen), tables=tables)


def _candidate(system: SystemSummary, basis: _Basis, column: int, *, single: str | None) -> Candidate:
    results = [system.metrics[name] for name in basis.metrics]
    measured = [one.estimate for one in results if one.estimate is not None]
    complete = len(measured) == len(basis.metrics)
    bounds = [table[:, column] for table in basis.tables]
    cell: Cell = system.overall if single is None else system.benchmarks[basis.parts[0].summary.name]
    interval: tuple[float | None, float | None] = (None, None)
    if complete and len(measured) == 1:
        interval = (measured[0].low, measured[0].high)
    elif complete and system.quality is not None:
        interval = (system.quality.low, system.quality.high)
    return Candidate(
        name=system.name,
        quality=float(np.mean([np.nanmean(bound) for bound in bounds])) if complete else None,
        mean=float(np.mean([one.mean for one in measured])) if complete else None,
        low=interval[0],
        high=interval[1],
        n=sum(one.n for one in measured),
        total=sum(one.total for one in results),
        usd_per_1k=cell.cost.per_1k_samples,
        total_p50_ms=cell.latency.total_p50,
        total_p95_ms=cell.latency.total_p95,
        timed=cell.latency.n,
        pareto=system.pareto,
        pareto_probability=system.pareto_probability,
        unscored=tuple(_unscored(one) for one in results if one.estimate is None),
    )


def _unscored(result: MetricResult) -> str:
    return f"{result.name} ({text.outcomes(result.reasons) if result.reasons else 'no reply'})"


def _choice(run: RunData, basis: _Basis, limits: Limits, found: Sequence[Candidate]) -> Choice:
    columns = {candidate.name: column for column, candidate in enumerate(found)}
    qualified = sorted(
        (c for c in found if c.qualifies), key=lambda c: (-(c.quality or 0.0), *c.price_and_pace)
    )
    rest = sorted((c for c in found if not c.qualifies), key=lambda c: (-(c.quality or -1.0), c.name))
    choice = Choice(
        run=run.run,
        metrics=basis.metrics,
        limits=limits,
        chosen=None,
        why="",
        ranking=(),
        calibration=calibrations(run.calibration, basis.metrics),
    )
    if not qualified:
        return replace(choice, ranking=tuple(rest), why=why(replace(choice, ranking=tuple(rest))))
    best, *others = qualified
    compared = _against(best, others, basis, columns, run.seed)
    rivals = [
        replace(c, from_best=comparison, tied=comparison is not None and not comparison.significant)
        for c, comparison in zip(others, compared, strict=True)
    ]
    best = replace(best, tied=True)
    # Of equals in price and pace the better one comes first, as it is sorted.
    taken = min([best, *(c for c in rivals if c.tied)], key=lambda c: c.price_and_pace)
    ranking = (taken, *(c for c in [best, *rivals] if c.name != taken.name), *rest)
    choice = replace(choice, chosen=taken.name, best=best.name, ranking=ranking)
    return replace(choice, why=why(choice))


def _against(
    best: Candidate, others: Sequence[Candidate], basis: _Basis, columns: dict[str, int], seed: int
) -> list[Comparison | None]:
    """Compare the best with each other on the bound of each sample, benchmarks with equal weight.

    A sum of differences, each divided by the samples of its benchmark, is the difference of the means; signs
    of whole clusters are flipped in it, those of all benchmarks together. None where some benchmark has no
    sample that both were measured on.
    """
    if not others:
        return []
    stacks = [
        np.column_stack([table[:, columns[best.name]] - table[:, columns[c.name]] for c in others])
        for table in basis.tables
    ]
    counts = [np.maximum(1, np.count_nonzero(~np.isnan(stack), axis=0)) for stack in stacks]
    clusters = [
        (part.summary.name, sample.cluster) if part.summary.clustered and sample.cluster else None
        for part in basis.parts
        for sample in part.samples
    ]
    resampler = Resampler(clusters, resamples=RESAMPLES, seed=seed, confidence=CONFIDENCE)
    scaled = np.vstack([stack / n / len(stacks) for stack, n in zip(stacks, counts, strict=True)])
    estimates = [
        [estimate for estimate in found if estimate is not None]
        for found in zip(
            *(part.resampler.differences(stack) for part, stack in zip(basis.parts, stacks, strict=True)),
            strict=True,
        )
    ]
    known = [place for place, found in enumerate(estimates) if len(found) == len(stacks)]
    p_values = [1.0 if p is None else p for p in resampler.sign_flip_p(scaled[:, known])]
    compared = {
        place: _comparison((best.name, others[place].name), estimates[place], (p, adjusted), len(known))
        for place, p, adjusted in zip(known, p_values, holm(p_values), strict=True)
    }
    return [compared.get(place) for place in range(len(others))]


def _comparison(
    pair: tuple[str, str], known: Sequence[Estimate], p_values: tuple[float, float], pairs: int
) -> Comparison:
    error = overall_error(known)
    low, high = overall_interval(known, (-1.0, 1.0), CONFIDENCE)
    method = known[0].method if len(known) == 1 else "t"
    return Comparison(
        a=pair[0],
        b=pair[1],
        metric="quality",
        n=sum(estimate.n for estimate in known),
        difference=float(np.mean([estimate.mean for estimate in known])),
        low=low,
        high=high,
        p_value=p_values[0],
        p_adjusted=p_values[1],
        significant=p_values[1] < LEVEL,
        test="sign_flip",
        interval="none" if low is None else method,
        minimum_detectable=minimum_detectable(*error, level=LEVEL / pairs) if error else None,
    )
