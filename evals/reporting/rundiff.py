"""What changed from one run to another: the same systems on the same samples, regressions first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from evals.core import Sample
from evals.metrics.catalog import metric_info
from evals.reporting import text
from evals.reporting.calibrated import calibrations
from evals.reporting.compare import compare_columns
from evals.reporting.data import RunData
from evals.reporting.judges import judge_change
from evals.reporting.model import Cell, Comparison
from evals.reporting.numbers import summarise_systems
from evals.reporting.part import Part, read_parts
from evals.stats import Table
from rag.errors import UsageError

__all__ = ["Change", "MetricChange", "RunDiff", "compare_runs", "contents", "gain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A score of one sample before and after."""

    sample_id: str
    before: float
    after: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricChange:
    """A metric of a system before and after, on the samples measured in both runs.

    `comparison.difference` is after minus before. `regressed` holds the samples that got worse, the worst
    first, `improved` those that got better, the best first.
    """

    system: str
    before: float
    after: float
    comparison: Comparison
    regressed: tuple[Change, ...]
    improved: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDiff:
    """Two runs side by side. `changes` are sorted, regressions beyond chance first.

    `cells` holds cost and time of each shared system before and after, over all that its run asked.
    `calibration` is that of the second run, by metric.
    """

    before: str
    after: str
    changes: tuple[MetricChange, ...]
    cells: tuple[tuple[str, Cell, Cell], ...]
    notes: tuple[str, ...]
    calibration: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def gain(comparison: Comparison) -> float:
    """Return by how much the first is better than the second: negative where it is worse."""
    better = metric_info(comparison.metric.partition("/")[2]).higher_is_better
    return comparison.difference if better else -comparison.difference


def compare_runs(before: RunData, after: RunData, *, missing_wrong: bool = False) -> RunDiff:
    """Compare what two runs share: systems by name, samples by id where their content is the same.

    P-values are adjusted by Holm's method over the systems in each metric.

    Args:
        before: the earlier run.
        after: the later one.
        missing_wrong: whether what the later one is missing counts as wrong, else it is left out.

    Raises:
        UsageError: they share no system or no sample.
    """
    systems = [s.name for s in after.systems if s.name in {old.name for old in before.systems}]
    if not systems:
        had, has = (", ".join(s.name for s in run.systems) or "none" for run in (before, after))
        raise UsageError(f"the runs share no system: {had} in the first, {has} in the second.")
    samples, notes = _shared_samples(before, after)
    if not samples:
        raise UsageError("the runs share no sample; a paired comparison needs the same questions in both.")
    names = _labels(before.run, after.run)
    changed = judge_change(before.judges, after.judges)
    olds = {part.summary.name: part for part in read_parts(replace(before, samples=samples))}
    news = [part for part in read_parts(replace(after, samples=samples)) if part.samples]
    changes = [
        change
        for new in news
        for metric in new.summary.metrics
        if metric in olds[new.summary.name].tables
        for change in _changes(
            metric,
            (olds[new.summary.name], new),
            (before, after),
            (systems, names),
            missing_wrong=missing_wrong,
        )
    ]
    changes.sort(
        key=lambda c: (not (c.comparison.significant and gain(c.comparison) < 0), gain(c.comparison))
    )
    return RunDiff(
        before=names[0],
        after=names[1],
        changes=tuple(changes),
        cells=_cells(before, after, systems),
        notes=(
            *_unshared(before, after),
            *notes,
            *_unscored(systems, changes),
            *([changed] if changed else []),
        ),
        calibration=calibrations(after.calibration, [c.comparison.metric for c in changes]),
    )


def _shared_samples(before: RunData, after: RunData) -> tuple[list[Sample], list[str]]:
    known = {(sample.benchmark, sample.id): sample for sample in before.samples}
    olds = {benchmark.name for benchmark in before.benchmarks}
    pairs = [(known[s.benchmark, s.id], s) for s in after.samples if (s.benchmark, s.id) in known]
    said = [contents(run.samples) for run in (before, after)]
    same = [
        s
        for _, s in pairs
        if s.benchmark in olds and said[0][s.benchmark, s.id] == said[1][s.benchmark, s.id]
    ]
    notes = []
    if changed := len(pairs) - len(same):
        notes.append(f"{text.plural(changed, 'sample')} changed between the runs and left out.")
    if only := len(before.samples) + len(after.samples) - 2 * len(pairs):
        notes.append(f"{text.plural(only, 'sample')} in one run only and left out.")
    return same, notes


def contents(samples: Sequence[Sample]) -> dict[tuple[str, str], tuple[object, ...]]:
    """Return what each sample asks, by benchmark and id; a later turn asks what comes before it too."""
    known = {(sample.benchmark, sample.id): sample for sample in samples}

    def content(sample: Sample | None) -> tuple[object, ...]:
        if sample is None:
            return ()
        before = content(known.get((sample.benchmark, sample.follows))) if sample.follows else ()
        return sample.question, sample.targets, sample.choices, sample.relevant, sample.gains, before

    return {key: content(sample) for key, sample in known.items()}


def _labels(before: str, after: str) -> tuple[str, str]:
    return (before, after) if before != after else (f"{before} (first)", f"{after} (second)")


def _changes(
    metric: str,
    parts: tuple[Part, Part],
    runs: tuple[RunData, RunData],
    labels: tuple[Sequence[str], tuple[str, str]],
    *,
    missing_wrong: bool,
) -> list[MetricChange]:
    systems, names = labels
    tables = [part.tables[metric] for part in parts]
    old = _columns(tables[0].values, runs[0], systems)
    new = _columns(tables[1].bound if missing_wrong else tables[1].values, runs[1], systems)
    ids = [sample.id for sample in parts[1].samples]
    compared = compare_columns(
        f"{parts[1].summary.name}/{metric}",
        [(f"{system}@{names[1]}", f"{system}@{names[0]}") for system in systems],
        new - old,
        parts[1].resampler,
        binary=metric_info(metric).binary and runs[0].repeats == runs[1].repeats == 1,
    )
    by_pair = {comparison.a: comparison for comparison in compared}
    sign = 1 if metric_info(metric).higher_is_better else -1
    found = []
    for column, system in enumerate(systems):
        comparison = by_pair.get(f"{system}@{names[1]}")
        if comparison is None:
            continue
        both = ~np.isnan(new[:, column] - old[:, column])
        moved = [
            Change(sample_id=ids[row], before=float(old[row, column]), after=float(new[row, column]))
            for row in np.flatnonzero(both & (new[:, column] != old[:, column]))
        ]
        moved.sort(key=lambda c: -abs(c.after - c.before))
        found.append(
            MetricChange(
                system=system,
                before=float(old[both, column].mean()),
                after=float(new[both, column].mean()),
                comparison=comparison,
                regressed=tuple(c for c in moved if sign * (c.after - c.before) < 0),
                improved=tuple(c for c in moved if sign * (c.after - c.before) > 0),
            )
        )
    return found


def _columns(values: Table, run: RunData, systems: Sequence[str]) -> Table:
    places = {system.name: column for column, system in enumerate(run.systems)}
    return values[:, [places[system] for system in systems]]


def _cells(before: RunData, after: RunData, systems: Sequence[str]) -> tuple[tuple[str, Cell, Cell], ...]:
    olds, news = (
        {system.name: system.overall for system in summarise_systems(run, read_parts(run))}
        for run in (before, after)
    )
    return tuple((system, olds[system], news[system]) for system in systems)


def _unscored(systems: Sequence[str], changes: Sequence[MetricChange]) -> list[str]:
    missing = [name for name in systems if name not in {change.system for change in changes}]
    return [f"no sample of {text.listed(missing)} was scored in both runs."] if missing else []


def _unshared(before: RunData, after: RunData) -> list[str]:
    notes = []
    for what, olds, news in (
        ("system", before.systems, after.systems),
        ("benchmark", before.benchmarks, after.benchmarks),
    ):
        old, new = {one.name for one in olds}, {one.name for one in news}
        if gone := sorted(old - new):
            notes.append(f"only in the first run: {what} {', '.join(gone)}.")
        if added := sorted(new - old):
            notes.append(f"only in the second run: {what} {', '.join(added)}.")
    return notes
