"""Comparisons, within a run and between two, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.reporting import text
from evals.reporting.as_json import comparison_to_json
from evals.reporting.calibrated import calibration_lines
from evals.reporting.layout import TableText, comparison_tables, detectable, leading_metrics
from evals.reporting.model import Report
from evals.reporting.rundiff import MetricChange, RunDiff, gain
from evals.reporting.table import plain_text

__all__ = ["diff_to_json", "render_comparisons", "render_diff"]

_SHOWN = 15


def render_comparisons(report: Report, width: int | None = None) -> str:
    """Return the paired differences between the systems of a run in every metric, the leading ones first."""
    leading = leading_metrics(report)
    ordered = sorted(report.comparisons, key=lambda c: c.metric not in leading)
    head = [f"Run {report.run}, {report.created or 'date unknown'}"]
    if not ordered:
        reason = "it has one system" if len(report.systems) == 1 else "no two systems share scored samples"
        head.append(f"Nothing to compare: {reason}.")
    return plain_text(head, comparison_tables(ordered, report.calibration), report.warnings, width)


def diff_to_json(diff: RunDiff) -> list[dict[str, Any]]:
    """Return the comparisons of two runs, regressions first; `a` is the second run, `b` the first."""
    return [
        {
            **comparison_to_json(change.comparison),
            "system": change.system,
            "before": change.before,
            "after": change.after,
            "regressed": [one.sample_id for one in change.regressed],
            "improved": [one.sample_id for one in change.improved],
        }
        for change in diff.changes
    ]


def render_diff(diff: RunDiff, width: int | None = None) -> str:
    """Return what changed from one run to the other, regressions first."""
    metrics = dict.fromkeys(change.comparison.metric for change in diff.changes)
    tables = [
        _metric(
            metric,
            [c for c in diff.changes if c.comparison.metric == metric],
            calibration_lines(diff.calibration, [metric]),
        )
        for metric in metrics
    ]
    if worse := _regressed(diff.changes):
        tables.append(worse)
    tables.append(_cost_and_time(diff))
    return plain_text([f"{diff.before} -> {diff.after}", _verdict(diff)], tables, diff.notes, width)


def _verdict(diff: RunDiff) -> str:
    if not diff.changes:
        return "Nothing to compare: no sample was scored in both runs."
    sure = [c for c in diff.changes if c.comparison.significant]
    worse = [c for c in sure if c.regressed and _is_worse(c)]
    better = [c for c in sure if not _is_worse(c)]
    parts = [
        f"{word} beyond chance: {', '.join(f'{c.system} in {c.comparison.metric}' for c in found)}"
        for word, found in (("Worse", worse), ("Better", better))
        if found
    ]
    return ". ".join(parts) + "." if parts else "No change is beyond chance."


def _is_worse(change: MetricChange) -> bool:
    return gain(change.comparison) < 0


def _metric(metric: str, changes: Sequence[MetricChange], known: Sequence[str]) -> TableText:
    sure = any(c.comparison.significant for c in changes)
    return TableText(
        title=f"{metric}: the same samples before and after",
        columns=("system", "before", "after", "change (95 % interval)", "p (Holm)", "n", "MDE"),
        rows=tuple(
            (
                c.system,
                text.score(c.before),
                text.score(c.after),
                text.difference(c.comparison.difference, c.comparison.low, c.comparison.high),
                text.p_value(c.comparison.p_adjusted) + (" *" if c.comparison.significant else ""),
                str(c.comparison.n),
                detectable(c.comparison),
            )
            for c in changes
        ),
        notes=(
            *(["* beyond chance at 5 % after Holm's correction over the systems"] if sure else []),
            *known,
        ),
    )


def _regressed(changes: Sequence[MetricChange]) -> TableText | None:
    rows = [
        (
            f"{c.comparison.metric.partition('/')[0]}/{one.sample_id}",
            c.system,
            c.comparison.metric.partition("/")[2],
            one,
        )
        for c in changes
        for one in c.regressed
    ]
    rows.sort(key=lambda row: -abs(row[3].after - row[3].before))
    if not rows:
        return None
    return TableText(
        title="Samples that got worse",
        columns=("sample", "system", "metric", "before", "after"),
        rows=tuple((*names, text.score(one.before), text.score(one.after)) for *names, one in rows[:_SHOWN]),
        words=frozenset({0, 1, 2}),
        notes=(f"and {len(rows) - _SHOWN:,} more; --json names all",) if len(rows) > _SHOWN else (),
    )


def _cost_and_time(diff: RunDiff) -> TableText:
    return TableText(
        title="Cost and time of all that each run asked",
        columns=("system", "USD per 1k", "after", "total p50", "after", "scored", "after"),
        rows=tuple(
            (
                system,
                text.money(old.cost.per_1k_samples),
                text.money(new.cost.per_1k_samples),
                text.duration(old.latency.total_p50),
                text.duration(new.latency.total_p50),
                text.count(old.scored, old.samples),
                text.count(new.scored, new.samples),
            )
            for system, old, new in diff.cells
        ),
    )
