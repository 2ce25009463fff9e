"""Each metric over several runs: a table whose last column is a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.reporting import text
from evals.reporting.calibrated import calibration_lines, calibrations
from evals.reporting.data import RunData
from evals.reporting.judges import judge_change
from evals.reporting.layout import TableText
from evals.reporting.model import MetricResult
from evals.reporting.numbers import summarise_systems
from evals.reporting.part import read_parts
from evals.reporting.rundiff import contents
from evals.reporting.table import plain_text
from rag.errors import UnknownNameError

__all__ = ["History", "Series", "history_of", "history_to_json", "render_history"]

_CELLS = 21


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A metric of a system over the runs; None where a run lacks it."""

    metric: str
    system: str
    results: tuple[MetricResult | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Several runs, the oldest first, with every metric of every system.

    `calibration` is what the latest run that knows says of each metric; `notes` tell where points do not
    compare.
    """

    runs: tuple[tuple[str, str], ...]
    series: tuple[Series, ...]
    calibration: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def history_of(runs: Sequence[RunData], *, metric: str | None = None) -> History:
    """Return every metric over `runs`, ordered by when they were made; only `metric` where it is given.

    Raises:
        UnknownNameError: no run has that metric; names the nearest.
    """
    ordered = sorted(runs, key=lambda run: run.created)
    summaries = [{s.name: s for s in summarise_systems(run, read_parts(run))} for run in ordered]
    systems = dict.fromkeys(name for summary in summaries for name in summary)
    metrics = dict.fromkeys(
        name for summary in summaries for system in summary.values() for name in system.metrics
    )
    if metric is not None and metric not in metrics:
        raise UnknownNameError("metric", metric, metrics, "Metrics are written BENCHMARK/METRIC.")
    series = [
        Series(
            metric=name,
            system=system,
            results=tuple(s[system].metrics.get(name) if system in s else None for s in summaries),
        )
        for name in ([metric] if metric is not None else metrics)
        for system in systems
    ]
    held = {name: lines for run in ordered for name, lines in run.calibration.items()}
    return History(
        runs=tuple((run.run, run.created) for run in ordered),
        series=tuple(one for one in series if any(result is not None for result in one.results)),
        calibration=calibrations(held, [one.metric for one in series]),
        notes=tuple(_breaks(ordered)),
    )


def _breaks(ordered: Sequence[RunData]) -> Iterator[str]:
    """Yield why the points of a run do not compare with the last ones before them."""
    asked: dict[str, RunData] = {}
    judged: RunData | None = None
    for run in ordered:
        for benchmark in run.benchmarks:
            if (last := asked.get(benchmark.name)) is not None:
                yield from _other_questions(benchmark.name, last, run)
            asked[benchmark.name] = run
        if judged is not None and (changed := judge_change(judged.judges, run.judges)):
            yield f"{judged.run} -> {run.run}: {changed}"
        judged = run if run.judges else judged


def _other_questions(benchmark: str, old: RunData, new: RunData) -> Iterator[str]:
    before, after = (
        {found for found in contents(run.samples).items() if found[0][0] == benchmark} for run in (old, new)
    )
    if before != after:
        yield (
            f"{old.run} -> {new.run}: {benchmark} has other questions: "
            f"{text.plural(len(before - after), 'sample')} went, {len(after - before):,} came; "
            "a change may be theirs."
        )


def history_to_json(history: History) -> dict[str, Any]:
    """Return the history as plain values."""
    return {
        "runs": [{"run": run, "created": created} for run, created in history.runs],
        "series": [
            {
                "metric": one.metric,
                "system": one.system,
                "points": [
                    _point(run, result)
                    for (run, _), result in zip(history.runs, one.results, strict=True)
                    if result is not None
                ],
            }
            for one in history.series
        ],
        "calibration": {name: list(lines) for name, lines in history.calibration.items()},
        "notes": list(history.notes),
    }


def render_history(history: History, width: int | None = None) -> str:
    """Return a table for each metric; its plot spans the values that occur in it."""
    metrics = dict.fromkeys(one.metric for one in history.series)
    head = [f"{text.plural(len(history.runs), 'run')}, the oldest first"]
    if not metrics:
        head.append("No run has a score.")
    tables = [_table(history, metric) for metric in metrics]
    return plain_text(head, tables, history.notes, width)


def _table(history: History, metric: str) -> TableText:
    series = [one for one in history.series if one.metric == metric]
    low, high = _range(series)
    rows = []
    for one in series:
        first = True
        for (run, _), result in zip(history.runs, one.results, strict=True):
            if result is not None:
                rows.append((one.system if first else "", run, *_cells(result, low, high)))
                first = False
    return TableText(
        title=metric,
        columns=("system", "run", "mean", "95 % interval", "n", f"{low:.2f}{'':{_CELLS - 8}}{high:.2f}"),
        rows=tuple(rows),
        words=frozenset({0, 1, 5}),
        notes=calibration_lines(history.calibration, [metric]),
    )


def _range(series: Sequence[Series]) -> tuple[float, float]:
    found = [result.estimate for one in series for result in one.results if result and result.estimate]
    ends = [value for e in found for value in (e.mean, e.mean if e.low is None else e.low, e.high or e.mean)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    if high - low < 0.05:  # alike: draw them in the middle
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    return low, high


def _cells(result: MetricResult, low: float, high: float) -> tuple[str, ...]:
    estimate = result.estimate
    covered = text.count(result.n, result.total)
    if estimate is None:
        return text.score(None), next(iter(result.reasons), "no value"), covered, ""
    if bound := text.at_worst(estimate.mean, result.mean_if_missing_wrong):
        covered += f"\n{bound}"
    line = [" "] * _CELLS

    def place(value: float) -> int:
        return min(_CELLS - 1, max(0, round((value - low) / (high - low) * (_CELLS - 1))))

    if estimate.low is not None and estimate.high is not None:
        start, end = place(estimate.low), place(estimate.high)
        line[start : end + 1] = "─" * (end + 1 - start)
        line[start], line[end] = "├", "┤"
    line[place(estimate.mean)] = "●"
    interval = text.interval(estimate.low, estimate.high)
    return text.score(estimate.mean), interval, covered, "".join(line).rstrip()


def _point(run: str, result: MetricResult) -> dict[str, Any]:
    estimate = result.estimate
    return {
        "run": run,
        "mean": estimate.mean if estimate else None,
        "ci_low": estimate.low if estimate else None,
        "ci_high": estimate.high if estimate else None,
        "n": result.n,
        "total": result.total,
        "mean_if_missing_wrong": result.mean_if_missing_wrong,
    }
