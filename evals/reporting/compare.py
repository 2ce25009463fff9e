"""Paired comparisons of all systems in one metric."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from evals.reporting.model import Comparison
from evals.resampling import Resampler
from evals.stats import Table, holm, mcnemar_p

__all__ = ["compare_systems"]

_LEVEL = 0.05


def compare_systems(
    metric: str, systems: Sequence[str], values: Table, resampler: Resampler, *, binary: bool
) -> list[Comparison]:
    """Return the paired difference of every two systems that share samples.

    Right-or-wrong metrics of independent samples are tested by McNemar's exact test, all others by sign flips
    of whole clusters: the metric decides, not the values it happened to give. P-values are adjusted by
    Holm's method over the pairs of this metric.

    Args:
        metric: `BENCHMARK/METRIC`.
        systems: their names, in the order of the columns.
        values: shape (samples, systems), NaN where not measured.
        resampler: over the same samples.
        binary: whether the metric is right or wrong for each sample.
    """
    pairs = [
        (a, b)
        for a, b in combinations(range(len(systems)), 2)
        if not np.isnan(values[:, a] - values[:, b]).all()
    ]
    if not pairs:
        return []
    differences = np.column_stack([values[:, a] - values[:, b] for a, b in pairs])
    estimates = resampler.differences(differences)
    exact = binary and not resampler.clustered
    p_values = _p_values(differences, resampler, exact=exact)
    rows = zip(pairs, estimates, p_values, holm(p_values), strict=True)
    return [
        Comparison(
            a=systems[a],
            b=systems[b],
            metric=metric,
            n=estimate.n,
            difference=estimate.mean,
            low=estimate.low,
            high=estimate.high,
            p_value=p_value,
            p_adjusted=adjusted,
            significant=adjusted < _LEVEL,
            test="mcnemar" if exact else "sign_flip",
        )
        for (a, b), estimate, p_value, adjusted in rows
        if estimate is not None
    ]


def _p_values(differences: Table, resampler: Resampler, *, exact: bool) -> list[float]:
    if exact:
        return [_mcnemar(column) for column in differences.T]
    return [1.0 if p is None else p for p in resampler.sign_flip_p(differences)]


def _mcnemar(differences: Table) -> float:
    return mcnemar_p(int(np.count_nonzero(differences > 0)), int(np.count_nonzero(differences < 0)))
