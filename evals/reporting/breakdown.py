"""Where the figures come from: quality by subject, and what became of multiple-choice replies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.codec import Key
from evals.metrics.letters import LetterHistogram, Rotations, letter_histogram, rotations, verdict

if TYPE_CHECKING:
    from evals.core import Sample, Score
    from evals.reporting.data import RunData
    from evals.reporting.part import Part
    from evals.reporting.scoretable import ScoreTable

__all__ = ["ByGroup", "Choices", "by_groups", "choices_made"]

_MOST_GROUPS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class ByGroup:
    """The leading metric by groups of samples: `means[system][group]`, None where nothing was measured.

    `by` says what makes a group: `"cluster"`, which is a subject or document, or the `"category"` that the
    data set names. `bounds` are the means if all that is missing were wrong.
    """

    benchmark: str
    metric: str
    by: str
    groups: tuple[str, ...]
    sizes: tuple[int, ...]
    means: Mapping[str, tuple[float | None, ...]]
    bounds: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """The multiple-choice replies of each system to a benchmark.

    `verdicts` counts correct, wrong, unparsed, refused and failed replies, and those not measured; `rotated`
    is None where options were shown in one order only.
    """

    benchmark: str
    verdicts: Mapping[str, Mapping[str, int]]
    letters: Mapping[str, LetterHistogram]
    rotated: Mapping[str, Rotations]


def by_groups(systems: Sequence[str], parts: Sequence[Part]) -> tuple[ByGroup, ...]:
    """Return the leading metric of each benchmark by category and by cluster, where samples share some."""
    return tuple(
        _by_group(systems, part, part.leading, by, rows)
        for part in parts
        if part.leading is not None
        for by, rows in _groupings(part.samples)
        if 1 < len(rows) <= min(_MOST_GROUPS, len(part.samples) // 2)
    )


def _groupings(samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, list[int]]]]:
    categories: dict[str, list[int]] = defaultdict(list)
    clusters: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        if "category" in sample.metadata:
            categories[sample.metadata["category"]].append(row)
        # Asked in several orders an item may be the cluster (`evals.benchmarks.variants`).
        group = sample.metadata["subject"] if "rotation" in sample.metadata else sample.cluster
        if group:
            clusters[group].append(row)
    yield "category", categories
    if not any(sample.follows for sample in samples):  # else a cluster is one conversation
        yield "cluster", clusters


def _by_group(
    systems: Sequence[str], part: Part, table: ScoreTable, by: str, rows: Mapping[str, list[int]]
) -> ByGroup:
    groups = sorted(rows)
    means, bounds = (
        {
            system: tuple(_mean(cells[rows[group], column]) for group in groups)
            for column, system in enumerate(systems)
        }
        for cells in (table.values, table.bound)
    )
    return ByGroup(
        benchmark=part.summary.name,
        metric=part.summary.leading or "",
        by=by,
        groups=tuple(groups),
        sizes=tuple(len(rows[group]) for group in groups),
        means=means,
        bounds=bounds,
    )


def choices_made(run: RunData, parts: Sequence[Part]) -> tuple[Choices, ...]:
    """Return what became of the replies to each benchmark with options."""
    found = []
    for part in parts:
        if "accuracy" not in part.tables or not any(sample.choices for sample in part.samples):
            continue
        samples = {sample.id: sample for sample in part.samples}
        scored: dict[str, list[tuple[Sample, Score]]] = defaultdict(list)
        for system, records in part.records.items():
            for record in records:
                for score in run.scores.get(Key.of(record), ()):
                    if score.metric == "accuracy" and record.sample_id in samples:
                        scored[system].append((samples[record.sample_id], score))
        turned = {system: rotations(pairs) for system, pairs in scored.items()}
        found.append(
            Choices(
                benchmark=part.summary.name,
                verdicts={
                    system: Counter(verdict(score) or "not measured" for _, score in pairs)
                    for system, pairs in scored.items()
                },
                letters={system: letter_histogram(pairs) for system, pairs in scored.items()},
                rotated={system: one for system, one in turned.items() if one is not None},
            )
        )
    return tuple(found)


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
