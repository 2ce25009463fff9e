"""Agreement of scores with labels: AUROC, balanced accuracy, Cohen's kappa, with intervals over clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.resampling import FEW_CLUSTERS, Resampler
from evals.stats import Table, wilson_interval

__all__ = ["Agreement", "AtThreshold", "Bin", "Figure", "agreement", "auroc", "balanced_accuracy", "kappa"]

_DRAWS = 2000
_BINS = 10
_LEAST_IN_BIN = 10
_BLOCK_CELLS = 4_000_000
_TAILS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A value with its 95 % interval: percentiles of a bootstrap that draws whole clusters."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AtThreshold:
    """Agreement where scores of `threshold` and above are taken for "supported"."""

    threshold: float
    balanced_accuracy: Figure
    kappa: Figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Answers of like score: their mean score, the share that people call supported, Wilson's interval."""

    score: float
    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far scores agree with labels. `best` was chosen on the same data, and flatters."""

    n: int
    positives: int
    clusters: int
    auroc: Figure
    given: AtThreshold
    best: AtThreshold
    bins: tuple[Bin, ...]


def agreement(
    scores: Sequence[float],
    labels: Sequence[bool],
    clusters: Sequence[Hashable],
    *,
    threshold: float = 0.5,
    seed: int = 0,
) -> Agreement:
    """Return how far `scores` agree with `labels`; both labels must occur.

    Args:
        scores: higher means rather supported.
        labels: what people say.
        clusters: what each answer belongs to; the bootstrap draws whole clusters, single answers where there
            are fewer than ten: drawn from one cluster, every resample would be the data again.
        threshold: from which a score counts as "supported".
        seed: of the bootstrap.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.bool_)
    groups = len(set(clusters))
    drawn = clusters if groups >= FEW_CLUSTERS else range(len(values))
    resampler = Resampler(drawn, resamples=_DRAWS, seed=seed)
    counts = np.vstack([np.ones((1, len(values)), dtype=np.uint8), resampler.sample_counts(_DRAWS)])
    return Agreement(
        n=len(values),
        positives=int(truth.sum()),
        clusters=groups,
        auroc=_figure(auroc(values, truth, counts)),
        given=_at(values, truth, counts, threshold),
        best=_at(values, truth, counts, _best_threshold(values, truth)),
        bins=_bins(values, truth),
    )


def auroc(scores: Table, labels: NDArray[np.bool_], counts: NDArray[np.uint8]) -> Table:
    """Return the area under the ROC curve for each row of `counts`; NaN where a label is absent.

    It is the chance that a supported answer scores higher than one that is not, ties counting half: the
    Mann-Whitney U statistic over its largest value (Hanley and McNeil 1982).

    Args:
        scores: shape (answers,).
        labels: shape (answers,).
        counts: how often each answer is in each draw, shape (draws, answers).
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    rows = max(1, _BLOCK_CELLS // len(scores))
    found = []
    for first in range(0, len(counts), rows):
        block = counts[first : first + rows][:, order].astype(np.float64)
        above = np.add.reduceat(block * labels[order], starts, axis=1)
        below = np.add.reduceat(block * ~labels[order], starts, axis=1)
        wins = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
        with np.errstate(invalid="ignore"):
            found.append(wins / (above.sum(axis=1) * below.sum(axis=1)))
    return np.concatenate(found)


def balanced_accuracy(hits: Table, positives: Table, rejections: Table, negatives: Table) -> Table:
    """Return the mean of sensitivity and specificity; NaN where a label is absent."""
    with np.errstate(invalid="ignore"):
        return (hits / positives + rejections / negatives) / 2


def kappa(hits: Table, positives: Table, rejections: Table, negatives: Table) -> Table:
    """Return Cohen's kappa of two raters (Cohen 1960); NaN where both always say the same one thing."""
    n = positives + negatives
    said = hits + negatives - rejections
    observed = (hits + rejections) / n
    expected = (said * positives + (n - said) * negatives) / n**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (observed - expected) / (1 - expected)


def _at(scores: Table, labels: NDArray[np.bool_], counts: NDArray[np.uint8], threshold: float) -> AtThreshold:
    said = scores >= threshold
    masks = np.stack([said & labels, labels, ~said & ~labels, ~labels], axis=1).astype(np.float64)
    hits, positives, rejections, negatives = (counts.astype(np.float64) @ masks).T
    return AtThreshold(
        threshold=threshold,
        balanced_accuracy=_figure(balanced_accuracy(hits, positives, rejections, negatives)),
        kappa=_figure(kappa(hits, positives, rejections, negatives)),
    )


def _best_threshold(scores: Table, labels: NDArray[np.bool_]) -> float:
    """Return the threshold of the highest balanced accuracy, midway between two neighbouring scores."""
    known = np.unique(scores)
    middles = (known[:-1] + known[1:]) / 2
    candidates = np.r_[known[0], middles]
    ordered, positive = np.sort(scores[labels]), np.sort(scores[~labels])
    caught = 1 - np.searchsorted(ordered, candidates) / len(ordered)
    refused = np.searchsorted(positive, candidates) / len(positive)
    return float(candidates[np.argmax(caught + refused)])


def _figure(draws: Table) -> Figure:
    """The first draw is the data themselves; draws without a value tell nothing."""
    low, high = np.nanquantile(draws[1:], _TAILS)
    return Figure(value=float(draws[0]), low=float(low), high=float(high))


def _bins(scores: Table, labels: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return bins of about equal size; answers of one score stay together."""
    order = np.argsort(scores, kind="stable")
    count = max(1, min(_BINS, len(scores) // _LEAST_IN_BIN))
    edges = np.unique(scores[order][(np.arange(1, count) * len(scores)) // count])
    found = []
    for place in np.unique(codes := np.searchsorted(edges, scores, side="right")):
        held = codes == place
        n, yes = int(held.sum()), int(labels[held].sum())
        low, high = wilson_interval(yes, n)
        found.append(Bin(score=float(scores[held].mean()), share=yes / n, low=low, high=high, n=n))
    return tuple(found)
