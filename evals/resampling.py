"""Bootstrap and permutation over the samples of a benchmark.

Everything about one benchmark shares one set of draws: a `Resampler` knows the samples and their clusters,
and estimates all systems, metrics and differences on the same resamples in a few matrix products. Tables are
float arrays of shape (samples, columns) in which NaN marks what was not measured; no estimate is NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evals.stats import Estimate, Table, bca_interval, clustered_error, t_interval, wilson_interval

__all__ = ["FEW_CLUSTERS", "Resampler"]

FEW_CLUSTERS = 10
"""With fewer clusters, intervals and tests over them mean little."""

_CHUNK_CELLS = 2_000_000
_KEPT_CELLS = 64_000_000
_EXACT_FLIPS = 12
_FEW_GROUPS = (
    30  # below, a bootstrap's intervals are too narrow: simulated, 90 % at ten groups, 93 % at twenty
)
_ROUNDING = 1e-9  # equal values leave sums that differ in their last digits


class Resampler:
    """Bootstrap and permutation draws over the samples of a benchmark, whole clusters at a time.

    Samples of one cluster (the questions of a document, a subject) stand or fall together, so clusters are
    drawn, not samples (Miller 2024, arXiv:2411.00640). Samples without a cluster are clusters of their own.

    Args:
        clusters: the cluster of each sample, in the order of the tables' rows; None: of its own.
        resamples: number of bootstrap draws.
        seed: of the random generator; the same seed gives the same intervals.
        confidence: of the intervals.
    """

    def __init__(
        self,
        clusters: Sequence[Hashable | None],
        *,
        resamples: int = 2000,
        seed: int = 0,
        confidence: float = 0.95,
    ) -> None:
        own = [("", i) if cluster is None else ("cluster", cluster) for i, cluster in enumerate(clusters)]
        codes = {key: code for code, key in enumerate(dict.fromkeys(own))}
        self._codes = np.fromiter((codes[key] for key in own), dtype=np.int64, count=len(own))
        self.clusters = len(codes)
        self.resamples = resamples
        self.confidence = confidence
        self._seed = seed
        self._kept: list[NDArray[np.uint8]] | None = None

    @property
    def clustered(self) -> bool:
        """True where at least one cluster holds several samples."""
        return self.clusters < len(self._codes)

    def means(self, values: Table) -> list[Estimate | None]:
        """Return the mean of each column with its interval; None for a column without values.

        Right-or-wrong columns of independent samples get Wilson's interval. So do columns in which all
        clusters have the same mean, over the clusters: a bootstrap sees no spread there and would claim
        certainty. All others get Student's t interval from the clustered standard error below 30 groups, and
        the BCa bootstrap interval (Efron 1987) from there on.
        """
        estimates = self._bootstrap(values, (0.0, 1.0))
        for column, estimate in enumerate(estimates):
            if estimate is None or estimate.clusters < 2:
                continue
            known = _known(values[:, column])
            binary = bool(np.all((known == 0.0) | (known == 1.0))) and estimate.clusters == estimate.n
            if binary or (_flat(estimate) and 0.0 <= estimate.mean <= 1.0):
                estimates[column] = self._wilson(estimate)
        return estimates

    def differences(self, values: Table) -> list[Estimate | None]:
        """Return the mean of each column of paired differences with its t or BCa interval, as `means`.

        Where every difference is alike there is no interval: the bootstrap sees no spread and would claim
        certainty, and a difference is no proportion that Wilson's could be of.
        """
        return [
            replace(estimate, low=None, high=None, method="none")
            if estimate and _flat(estimate)
            else estimate
            for estimate in self._bootstrap(values, (-1.0, 1.0))
        ]

    def ratios(self, numerators: Table, denominators: Table) -> list[Estimate | None]:
        """Return sum / sum of each pair of columns with its percentile interval.

        None where the sum below is 0. `high` is None where the upper tail of the draws has nothing to divide
        by, so that the ratio has no bound. Neither is given where every draw has the same ratio.
        """
        above, _ = self._grouped(numerators)
        below, counts = self._grouped(denominators)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = np.vstack([weights @ above / (weights @ below) for weights in self._weights()])
        tail = (1 - self.confidence) / 2
        found: list[Estimate | None] = []
        for column in range(above.shape[1]):
            n = int(counts[:, column].sum())
            total = below[:, column].sum()
            if total <= 0:
                found.append(None)
                continue
            ordered = np.sort(np.where(np.isnan(draws[:, column]), np.inf, draws[:, column]))
            low, high = (_finite(ordered[_rank(share, len(ordered))]) for share in (tail, 1 - tail))
            groups = int(np.count_nonzero(counts[:, column]))
            mean = float(above[:, column].sum() / total)
            if groups < 2 or (low is not None and high is not None and high - low <= _ROUNDING * mean):
                low = high = None
            method = "none" if low is None else "percentile"
            found.append(Estimate(mean=mean, low=low, high=high, n=n, clusters=groups, method=method))
        return found

    def draws(self, values: Table) -> Table:
        """Return the bootstrap means, shape (resamples, columns); NaN where a draw held no value."""
        both = np.hstack(self._grouped(values))
        totals, numbers = np.hsplit(np.vstack([weights @ both for weights in self._weights()]), 2)
        with np.errstate(invalid="ignore"):
            drawn: Table = totals / numbers
        return drawn

    def sample_counts(self, draws: int) -> NDArray[np.uint8]:
        """Return how often each sample is in each of the first `draws` resamples: (draws, samples)."""
        rows: list[NDArray[np.uint8]] = []
        for counts in self._weights():
            rows.append(counts[: draws - sum(map(len, rows))].astype(np.uint8))
            if sum(map(len, rows)) >= draws:
                break
        drawn: NDArray[np.uint8] = np.vstack(rows)[:, self._codes]
        return drawn

    def sign_flip_p(self, differences: Table, *, permutations: int = 10_000) -> list[float | None]:
        """Return the two-sided sign-flip permutation p-value of each column of paired differences.

        Under the null hypothesis each cluster's difference is as likely to point the other way. With up to 12
        clusters that differ, all sign patterns are enumerated; else p = (1 + extremes) / (1 + permutations)
        over seeded random ones (Phipson and Smyth 2010). None for a column without values.
        """
        sums, counts = self._grouped(differences)
        observed = np.abs(sums.sum(axis=0))
        slack = 1e-12 * np.abs(sums).sum(axis=0)
        extreme = np.zeros(sums.shape[1], dtype=np.int64)
        moving = np.count_nonzero(sums, axis=0)
        sampled = np.flatnonzero(moving > _EXACT_FLIPS)
        if sampled.size:
            flipped = sums[:, sampled]
            for kept in self._halves(permutations):
                # The kept with their sign, the others against it.
                totals = np.abs(2 * (kept @ flipped) - flipped.sum(axis=0))
                extreme[sampled] += np.count_nonzero(totals >= observed[sampled] - slack[sampled], axis=0)
        results: list[float | None] = []
        for column in range(sums.shape[1]):
            if not counts[:, column].any():
                results.append(None)
            elif moving[column] <= _EXACT_FLIPS:
                results.append(_exact_flip_p(sums[:, column]))
            else:
                results.append(float((1 + extreme[column]) / (1 + permutations)))
        return results

    def _bootstrap(self, values: Table, bounds: tuple[float, float]) -> list[Estimate | None]:
        """Estimate the mean of each column; no interval reaches beyond `bounds`, as no value does."""
        sums, counts = self._grouped(values)
        many = np.count_nonzero(counts, axis=0) >= _FEW_GROUPS
        draws = self.draws(values) if many.any() else values
        found: list[Estimate | None] = []
        for column in range(values.shape[1]):
            held = counts[:, column] > 0
            groups = int(np.count_nonzero(held))
            if not groups:
                found.append(None)
                continue
            total, n = sums[:, column].sum(), counts[:, column].sum()
            mean, error = float(total / n), clustered_error(sums[:, column], counts[:, column])
            low = high = None
            if many[column]:
                rest = (total - sums[held, column]) / (n - counts[held, column])
                low, high = bca_interval(_known(draws[:, column]), mean, rest, self.confidence)
            elif error is not None:
                low, high = t_interval(mean, error, groups, self.confidence)
                low, high = max(bounds[0], low), min(bounds[1], high)
            method = "none" if low is None else "bca" if many[column] else "t"
            found.append(
                Estimate(mean=mean, low=low, high=high, n=int(n), clusters=groups, method=method, se=error)
            )
        return found

    def _wilson(self, estimate: Estimate) -> Estimate:
        low, high = wilson_interval(estimate.mean * estimate.clusters, estimate.clusters, self.confidence)
        return replace(estimate, low=low, high=high, method="wilson")

    def _grouped(self, values: Table) -> tuple[Table, Table]:
        """Return sums and counts of each cluster, both of shape (clusters, columns)."""
        known = ~np.isnan(values)
        filled = np.where(known, values, 0.0)
        if not self.clustered:
            return filled, known.astype(np.float64)
        order = np.argsort(self._codes, kind="stable")
        starts = np.searchsorted(self._codes[order], np.arange(self.clusters))
        sums: Table = np.add.reduceat(filled[order], starts, axis=0)
        counts: Table = np.add.reduceat(known[order].astype(np.float64), starts, axis=0)
        return sums, counts

    def _weights(self) -> Iterator[Table]:
        """Yield how often each cluster is drawn, a few resamples at a time: (rows, clusters)."""
        small = self.resamples * self.clusters <= _KEPT_CELLS
        if small and self._kept is None:
            self._kept = [*self._draw_counts()]
        for counts in self._kept or self._draw_counts():
            yield counts.astype(np.float64)

    def _draw_counts(self) -> Iterator[NDArray[np.uint8]]:
        # A byte each: of hundreds of clusters, none is drawn 256 times in one resample.
        random = np.random.default_rng(self._seed)
        size = self.clusters
        for rows in _chunks(self.resamples, size):
            picks = random.integers(size, size=(rows, size), dtype=np.int64)
            picks += np.arange(rows, dtype=np.int64)[:, None] * size
            yield np.bincount(picks.ravel(), minlength=rows * size).reshape(rows, size).astype(np.uint8)

    def _halves(self, permutations: int) -> Iterator[Table]:
        """Yield 1 for the clusters that keep their sign and 0 for the others, (rows, clusters)."""
        random = np.random.default_rng([self._seed, 1])
        for rows in _chunks(permutations, self.clusters):
            yield random.integers(2, size=(rows, self.clusters), dtype=np.int8).astype(np.float64)


def _exact_flip_p(sums: Table) -> float:
    moving = sums[sums != 0]
    patterns = np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving))[None, :]
    totals = np.abs(((patterns & 1) * 2 - 1) @ moving)
    slack = 1e-12 * np.abs(moving).sum()
    return float(np.count_nonzero(totals >= abs(moving.sum()) - slack) / len(totals))


def _chunks(total: int, width: int) -> Iterator[int]:
    step = max(1, _CHUNK_CELLS // max(1, width))
    for start in range(0, total, step):
        yield min(step, total - start)


def _flat(estimate: Estimate) -> bool:
    low, high = estimate.low, estimate.high
    return low is not None and high is not None and high - low <= _ROUNDING


def _known(values: Table) -> Table:
    return values[~np.isnan(values)]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _rank(share: float, count: int) -> int:
    return min(count - 1, max(0, round(share * (count - 1))))
