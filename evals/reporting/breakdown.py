"""Where the figures come from: quality by subject, and what became of multiple-choice replies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.codec import Key
from evals.metrics.letters import LetterHistogram, Rotations, letter_histogram, rotations, verdict

if TYPE_CHECKING:
    from evals.core import Sample, Score
    from evals.reporting.data import RunData
    from evals.reporting.part import Part

__all__ = ["ByGroup", "Choices", "by_groups", "choices_made"]

_MOST_GROUPS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class ByGroup:
    """The leading metric by subject or document: `means[system][group]`, None where nothing was measured.

    `bounds` are the means if all that is missing were wrong.
    """

    benchmark: str
    metric: str
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
    """Return the leading metric of each benchmark by cluster, where its samples have some to share."""
    found = []
    for part in parts:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, sample in enumerate(part.samples):
            if sample.cluster is not None:
                rows[sample.cluster].append(row)
        if part.leading is None or not 1 < len(rows) <= min(_MOST_GROUPS, len(part.samples) // 2):
            continue
        means, bounds = (
            {
                system: tuple(_mean(table[rows[group], column]) for group in sorted(rows))
                for column, system in enumerate(systems)
            }
            for table in (part.leading.values, part.leading.bound)
        )
        found.append(
            ByGroup(
                benchmark=part.summary.name,
                metric=part.summary.leading or "",
                groups=tuple(sorted(rows)),
                sizes=tuple(len(rows[group]) for group in sorted(rows)),
                means=means,
                bounds=bounds,
            )
        )
    return tuple(found)


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
