"""A run's records and scores to the numbers of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.metrics.catalog import metric_info
from evals.reporting.breakdown import by_groups, choices_made
from evals.reporting.calibrated import calibrations
from evals.reporting.caveats import run_warnings
from evals.reporting.compare import compare_systems
from evals.reporting.costs import cell
from evals.reporting.data import RunData
from evals.reporting.drilldown import sample_views
from evals.reporting.judges import agreements, judge_caveats, judge_summaries
from evals.reporting.model import Cell, Comparison, MetricResult, Report, SystemSummary
from evals.reporting.part import CONFIDENCE, RESAMPLES, Part, read_parts
from evals.reporting.quality import per_correct, qualities
from evals.reporting.scoretable import ScoreTable
from evals.reporting.summary import summary
from evals.reporting.tradeoff import draw, pareto, with_intervals
from evals.stats import Estimate

__all__ = ["build_report", "summarise_systems"]


def build_report(run: RunData) -> Report:
    """Compute everything that a report shows; the same run gives the same report."""
    parts = read_parts(run)
    systems = summarise_systems(run, parts)
    comparisons = tuple(c for part in parts for c in _comparisons(run, part))
    benchmarks = tuple(part.summary for part in parts)
    judges = judge_summaries(run.judges, run.judge_replies, run.scores)
    return Report(
        run=run.run,
        created=run.created,
        state=run.state,
        seed=run.seed,
        repeats=run.repeats,
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        spec=run.spec,
        versions=run.versions,
        benchmarks=benchmarks,
        systems=systems,
        comparisons=comparisons,
        samples=sample_views(run, benchmarks),
        summary=summary(benchmarks, systems, comparisons),
        warnings=(*dict.fromkeys((*run_warnings(run, benchmarks, systems), *judge_caveats(judges))),),
        gates=tuple(run.gates),
        by_group=by_groups([system.name for system in run.systems], parts),
        choices=choices_made(run, parts),
        judges=judges,
        agreement=agreements(run.scores),
        calibration=calibrations(run.calibration, [name for b in benchmarks for name in b.metrics]),
    )


def summarise_systems(run: RunData, parts: Sequence[Part]) -> tuple[SystemSummary, ...]:
    """Return each system over all benchmarks and on each, in the order of the run."""
    names = [system.name for system in run.systems]
    results = [_metric_results(run, part) for part in parts]
    metrics = [
        {r.name: r for of_system in results for r in of_system[column]} for column in range(len(names))
    ]
    found = qualities(parts, metrics)
    correct = per_correct(run, parts)
    drawn = draw(names, parts)
    overall = with_intervals([_overall(run, parts, n, correct[n]) for n in range(len(names))], drawn)
    cells = {
        part.summary.name: with_intervals(
            [_cell(run, part, name) for name in names], drawn if len(parts) == 1 else draw(names, [part])
        )
        for part in parts
    }
    front = pareto(parts, overall, found, drawn)
    return tuple(
        SystemSummary(
            name=system.name,
            kind=system.kind,
            provider=system.provider,
            model=system.model,
            collection=system.collection,
            price=system.price,
            overall=overall[column],
            benchmarks={name: of_system[column] for name, of_system in cells.items()},
            metrics=metrics[column],
            quality=found[column],
            pareto=front.on[column],
            pareto_probability=front.probability[column],
        )
        for column, system in enumerate(run.systems)
    )


def _metric_results(run: RunData, part: Part) -> list[list[MetricResult]]:
    """Return the results of each system, in the order of the benchmark's metrics."""
    results: list[list[MetricResult]] = [[] for _ in run.systems]
    if not part.samples:
        return results
    tables = [part.tables[name] for name in part.summary.metrics]
    # All metrics at once: the draws are the same for each, and costly to go through.
    estimates = iter(part.resampler.means(np.hstack([table.values for table in tables])) if tables else ())
    for table in tables:
        for column, result in enumerate(results):
            result.append(_metric_result(part, table, column, next(estimates)))
    return results


def _metric_result(part: Part, table: ScoreTable, column: int, estimate: Estimate | None) -> MetricResult:
    bound = table.bound[:, column]
    applies = ~np.isnan(bound)
    total = int(np.count_nonzero(applies))
    return MetricResult(
        benchmark=part.summary.name,
        metric=table.metric,
        estimate=estimate,
        total=total,
        not_applicable=len(bound) - total,
        mean_if_missing_wrong=float(bound[applies].mean()) if total else None,
        reasons=dict(table.reasons[column].most_common()),
    )


def _cell(run: RunData, part: Part, system: str) -> Cell:
    name = part.summary.name
    replaced = [r for r in run.replaced if (r.system, r.benchmark) == (system, name)]
    return cell(part.records.get(system, ()), len(part.samples) * run.repeats, replaced=replaced)


def _overall(run: RunData, parts: Sequence[Part], column: int, per_correct: Estimate | None) -> Cell:
    name = run.systems[column].name
    records = [record for part in parts for record in part.records.get(name, ())]
    replaced = [record for record in run.replaced if record.system == name]
    asked = sum(len(part.samples) for part in parts) * run.repeats
    return cell(records, asked, per_correct, replaced=replaced)


def _comparisons(run: RunData, part: Part) -> list[Comparison]:
    if not part.samples:
        return []
    names = [system.name for system in run.systems]
    return [
        comparison
        for metric in part.summary.metrics
        for comparison in compare_systems(
            f"{part.summary.name}/{metric}",
            names,
            part.tables[metric].values,
            part.resampler,
            # Repeats are averaged first, which leaves no right or wrong to count.
            binary=metric_info(metric).binary and run.repeats == 1,
        )
    ]
