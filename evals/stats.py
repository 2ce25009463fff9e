"""Statistics of an evaluation: estimates, intervals, tests, corrections, Pareto sets.

What is drawn at random lives in `evals.resampling`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Estimate",
    "Table",
    "bca_interval",
    "clustered_error",
    "combined_interval",
    "holm",
    "mcnemar_p",
    "minimum_detectable",
    "overall_error",
    "overall_interval",
    "pareto_front",
    "pareto_membership",
    "percentile",
    "quantiles",
    "t_interval",
    "wilson_interval",
]

Table: TypeAlias = NDArray[np.float64]
_ROUNDING = 1e-9  # equal values leave sums that differ in their last digits


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean (or ratio) with its interval.

    `n` counts the samples measured, `clusters` the independent groups they form. `low` and `high` are None
    where nothing is known of the spread: one group alone, or all alike. `method` is `wilson`, `t`, `bca`,
    `percentile` or `none`. `se` is the standard error that allows for clusters, None for ratios and for one
    group alone.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    method: str
    se: float | None = None


def bca_interval(
    draws: Table, estimate: float, leave_one_out: Table, confidence: float
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval from bootstrap draws (Efron 1987, JASA 82:171).

    Args:
        draws: the statistic on each resample.
        estimate: the statistic on the data.
        leave_one_out: the statistic without each cluster in turn.
        confidence: such as 0.95.
    """
    from scipy.special import ndtr, ndtri

    below = (np.count_nonzero(draws < estimate) + np.count_nonzero(draws <= estimate)) / (2 * len(draws))
    if below in (0.0, 1.0) or np.ptp(draws) == 0:
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)
    bias = ndtri(below)
    spread = leave_one_out.mean() - leave_one_out
    squares = float((spread**2).sum())
    acceleration = float((spread**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    tails = ndtri(np.array([(1 - confidence) / 2, (1 + confidence) / 2])) + bias
    shares = ndtr(bias + tails / (1 - acceleration * tails))
    low, high = np.quantile(draws, shares)
    return float(low), float(high)


def clustered_error(sums: Table, counts: Table) -> float | None:
    """Return the standard error of a mean over dependent samples (Miller 2024, arXiv:2411.00640).

    sqrt(C / (C - 1) * the sum over C clusters of (sum of the deviations in it)^2) / n. Where each sample is a
    cluster of its own it is sd / sqrt(n). None for one cluster alone, which tells nothing of the spread.

    Args:
        sums: the sum of the values in each cluster.
        counts: how many values each cluster holds; clusters without any are left out.
    """
    held = counts > 0
    groups, n = int(np.count_nonzero(held)), float(counts.sum())
    if groups < 2:
        return None
    deviations = sums[held] - counts[held] * (sums[held].sum() / n)
    return math.sqrt(groups / (groups - 1) * float((deviations**2).sum())) / n


def t_interval(mean: float, error: float, groups: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of a mean from its standard error over `groups` independent groups."""
    from scipy.special import stdtrit

    half = float(stdtrit(groups - 1, (1 + confidence) / 2)) * error
    return mean - half, mean + half


def combined_interval(parts: Sequence[Estimate]) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of the mean of independent means from the interval of each.

    The squares of the distances from each mean to its bound are added up, below and above by themselves (Zou
    and Donner 2008, Statistics in Medicine 27:1693). Standard errors would take a benchmark in which all is
    right for certain: with ten samples of it, 69 % instead of 95 % of the intervals cover. None where one of
    them has no interval.
    """
    below = above = 0.0
    for part in parts:
        if part.low is None or part.high is None:
            return None, None
        below += (part.mean - part.low) ** 2
        above += (part.high - part.mean) ** 2
    mean = math.fsum(part.mean for part in parts) / len(parts)
    return mean - math.sqrt(below) / len(parts), mean + math.sqrt(above) / len(parts)


def overall_error(parts: Sequence[Estimate]) -> tuple[float, float] | None:
    """Return the standard error of the mean of independent means, and the number of groups it is worth.

    That number less one is Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110). None where
    the spread of one mean is unknown, or none has any.
    """
    errors = [part.se for part in parts if part.se is not None]
    total = sum(error**2 for error in errors)
    if len(errors) < len(parts) or total <= _ROUNDING**2:
        return None
    pairs = zip(errors, parts, strict=True)
    freedom = total**2 / sum(error**4 / (part.clusters - 1) for error, part in pairs)
    return math.sqrt(total) / len(parts), freedom + 1


def overall_interval(
    parts: Sequence[Estimate], bounds: tuple[float, float], confidence: float = 0.95
) -> tuple[float, float] | tuple[None, None]:
    """Return Student's interval of the mean of independent differences, none as `overall_error`.

    Of one alone it is the interval that it has. None reaches beyond `bounds`, as no value does.
    """
    if len(parts) == 1:
        low, high = parts[0].low, parts[0].high
        return (None, None) if low is None or high is None else (low, high)
    found = overall_error(parts)
    if found is None:
        return None, None
    low, high = t_interval(sum(part.mean for part in parts) / len(parts), *found, confidence)
    return max(bounds[0], low), min(bounds[1], high)


def minimum_detectable(error: float, groups: float, *, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true difference that a two-sided test finds with probability `power`.

    (t of 1 - level / 2, plus t of power) standard errors with groups - 1 degrees of freedom (Bloom 1995,
    Evaluation Review 19:547).

    Args:
        error: standard error of the paired difference.
        groups: how many independent groups it was measured on.
        level: of the test; divide it by the number of comparisons that are made at once.
        power: probability of finding a difference of that size.
    """
    from scipy.special import stdtrit

    return float(stdtrit(groups - 1, 1 - level / 2) + stdtrit(groups - 1, power)) * error


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927); tests hold it against statsmodels."""
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    share, weight = successes / n, z * z / n
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    # At the ends the sums cancel, but for their last digits: these would part the interval from its mean.
    low = 0.0 if share <= 0 else max(0.0, middle - half)
    return low, 1.0 if share >= 1 else min(1.0, middle + half)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value of McNemar's test from the two discordant counts."""
    if only_a + only_b == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(min(only_a, only_b), only_a + only_b, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the chance of any false claim stays at the level (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and none may fall below the one before. Written
    out, because statsmodels' `multipletests` collects all garbage of the process at each call; tests hold the
    two against each other.
    """
    ranked = np.argsort(p_values, kind="stable")
    ordered = np.asarray(p_values, dtype=np.float64)[ranked] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[ranked] = np.minimum(np.maximum.accumulate(ordered), 1.0)
    return [float(p) for p in adjusted]


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` of the values lie; None without values.

    Linear interpolation between order statistics: type 7 of Hyndman and Fan (1996), numpy's and pandas'
    default. Below 20 values a 95th percentile is little more than the slowest one; say so where it is shown.
    """
    return float(np.quantile(np.asarray(values, dtype=np.float64), share)) if len(values) else None


def quantiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Return `percentile` for each of `shares`; nothing without values."""
    return (
        [float(q) for q in np.quantile(np.asarray(values, dtype=np.float64), shares)] if len(values) else []
    )


def pareto_front(points: Sequence[tuple[float | None, ...]]) -> list[bool]:
    """Return for each point whether no other is at least as good everywhere and better somewhere.

    The first coordinate is better when higher, the others when lower. A point whose first coordinate is
    unknown is never on the front; any other unknown counts as the worst there could be.
    """
    if not points:
        return []
    table = np.array(
        [[np.inf if x is None else -x if i == 0 else x for i, x in enumerate(point)] for point in points],
        dtype=np.float64,
    )
    return [bool(on) for on in pareto_membership(table[None])[0]]


def pareto_membership(points: Table) -> NDArray[np.bool_]:
    """Return which points no other of the same draw beats; shape (draws, points).

    Args:
        points: shape (draws, points, coordinates), each coordinate better when lower; a point whose first
            one is infinite is never on the front.
    """
    one, other = points[:, :, None, :], points[:, None, :, :]
    beaten = np.all(other <= one, axis=3) & np.any(other < one, axis=3)
    front: NDArray[np.bool_] = np.isfinite(points[:, :, 0]) & ~beaten.any(axis=2)
    return front
