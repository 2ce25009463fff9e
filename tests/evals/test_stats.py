"""Statistics against scipy, statsmodels and values worked by hand; coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sp
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from evals.resampling import Resampler
from evals.stats import (
    Estimate,
    bca_interval,
    holm,
    mcnemar_p,
    pareto_front,
    percentile,
    wilson_interval,
)

RNG = np.random.default_rng(1)


def _interval(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_wilson_agrees_with_scipy_and_statsmodels() -> None:
    for successes, n in [(0, 10), (7, 10), (10, 10), (123, 400)]:
        expected = sp.binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    expected = proportion_confint(4.5, 9, method="wilson")  # a constant 0.5 over nine clusters
    assert wilson_interval(4.5, 9) == pytest.approx(expected, abs=1e-9)


def test_bca_agrees_with_scipy_on_the_same_draws() -> None:
    sample = RNG.gamma(2.0, size=40)
    found = sp.bootstrap((sample,), np.mean, n_resamples=999, method="BCa", rng=np.random.default_rng(3))
    rest = (sample.sum() - sample) / (len(sample) - 1)
    ours = bca_interval(found.bootstrap_distribution, sample.mean(), rest, 0.95)
    expected = (found.confidence_interval.low, found.confidence_interval.high)
    assert ours == pytest.approx(expected, abs=1e-9)


def test_mcnemar_agrees_with_statsmodels() -> None:
    for only_a, only_b in [(0, 0), (1, 9), (12, 12), (30, 11)]:
        expected = mcnemar([[5, only_a], [only_b, 7]], exact=True).pvalue if only_a + only_b else 1.0
        assert mcnemar_p(only_a, only_b) == pytest.approx(expected, abs=1e-9)


def test_holm_by_hand_and_by_statsmodels() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06], abs=1e-12)
    p_values = list(RNG.random(20) ** 3)
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-9)
    assert holm([]) == []


def test_sign_flips_agree_with_scipy() -> None:
    few, many = RNG.normal(0.4, 1, size=10), RNG.normal(0.3, 1, size=60)
    exact = sp.permutation_test((few,), np.sum, permutation_type="samples", n_resamples=np.inf)
    sampled = sp.permutation_test(
        (many,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    )
    (ours,) = Resampler([None] * 10).sign_flip_p(few[:, None])
    assert ours == pytest.approx(exact.pvalue, abs=1e-9)
    (ours,) = Resampler([None] * 60).sign_flip_p(many[:, None])
    assert ours == pytest.approx(sampled.pvalue, abs=0.01)


def test_sign_flips_turn_whole_clusters() -> None:
    # Three clusters with sums 2, 2, 1: only all-plus and all-minus of 8 patterns are as extreme.
    (p,) = Resampler(["a", "a", "b", "c"]).sign_flip_p(np.array([[1.0], [1.0], [2.0], [1.0]]))
    assert p == 2 / 8
    (p,) = Resampler([None, None]).sign_flip_p(np.array([[0.0], [0.0]]))
    assert p == 1.0
    (p,) = Resampler([None, None]).sign_flip_p(np.array([[np.nan], [np.nan]]))
    assert p is None


def test_percentiles_are_numpys() -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert percentile(list(range(101)), 0.95) == pytest.approx(95.0, abs=1e-9)
    assert percentile([], 0.5) is None


def test_pareto_by_hand() -> None:
    points = [(0.9, 5.0), (0.8, 1.0), (0.8, 2.0), (0.5, 0.0), (0.95, None), (None, 0.0), (0.4, None)]
    assert pareto_front(points) == [True, True, False, True, True, False, False]
    assert pareto_front([(0.5, 1.0), (0.5, 1.0)]) == [True, True]
    assert pareto_front([]) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 9)), min_size=1, max_size=12))
def test_whatever_is_beaten_is_beaten_by_the_front(points: list[tuple[float, float]]) -> None:
    front = [point for point, on in zip(points, pareto_front(points), strict=True) if on]
    assert front
    assert all(any(f[0] >= p[0] and f[1] <= p[1] for f in front) for p in points)


def test_methods_follow_the_data() -> None:
    n = 40
    table = np.column_stack([
        (np.arange(n) % 3 == 0).astype(float),  # right or wrong
        RNG.random(n),  # graded
        np.ones(n),  # the same for all
        np.full(n, np.nan),  # nothing measured
    ])  # fmt: skip
    binary, graded, constant, nothing = Resampler([None] * n).means(table)
    assert nothing is None
    assert [e.method for e in (binary, graded, constant) if e] == ["wilson", "bca", "wilson"]
    assert _interval(binary) == pytest.approx(wilson_interval(14, n), abs=1e-9)
    assert _interval(constant) == pytest.approx(wilson_interval(n, n), abs=1e-9)
    assert graded is not None
    assert graded.mean == pytest.approx(table[:, 1].mean(), abs=1e-12)


def test_one_group_has_no_interval() -> None:
    (alone,) = Resampler(["a", "a", "a"]).means(np.array([[0.2], [0.5], [0.8]]))
    assert alone is not None
    assert (alone.n, alone.clusters, alone.low, alone.method) == (3, 1, None, "none")
    assert alone.mean == pytest.approx(0.5)


@pytest.mark.parametrize("difference", [1.0, 0.0, 0.1])
@pytest.mark.parametrize("n", [2, 3, 40])
def test_differences_that_are_all_alike_claim_no_certainty(difference: float, n: int) -> None:
    (found,) = Resampler([None] * n).differences(np.full((n, 1), difference))
    assert found is not None
    assert (found.low, found.high, found.method) == (None, None, "none")
    assert found.mean == pytest.approx(difference)


def test_ratios_that_are_all_alike_claim_no_certainty() -> None:
    (found,) = Resampler([None] * 5).ratios(np.full((5, 1), 0.002), np.ones((5, 1)))
    assert found is not None
    assert (found.mean, found.low, found.high) == (pytest.approx(0.002), None, None)


def test_clusters_with_equal_means_are_not_certain() -> None:
    values = np.tile([0.0, 1.0], 12)[:, None]
    (found,) = Resampler([f"c{i // 2}" for i in range(24)]).means(values)
    assert found is not None
    assert found.method == "wilson"
    assert _interval(found) == pytest.approx(wilson_interval(6, 12), abs=1e-9)


def test_missing_values_are_left_out() -> None:
    table = np.array([[0.2], [np.nan], [0.6], [0.4]])
    (found,) = Resampler([None] * 4).means(table)
    assert found is not None
    assert (found.n, found.mean) == (3, pytest.approx(0.4))


def test_the_same_seed_gives_the_same_interval() -> None:
    table = RNG.random((30, 2))
    one, two, other = (Resampler([None] * 30, seed=seed).means(table) for seed in (5, 5, 6))
    assert one == two
    assert one != other


def test_clusters_widen_the_interval_as_the_clustered_error_does() -> None:
    means = RNG.normal(0.5, 0.15, size=40)
    values = np.repeat(means, 10)[:, None]  # ten copies of each: no more than forty observations
    clusters = [f"c{i // 10}" for i in range(400)]
    low, high = _interval(Resampler(clusters).means(values)[0])
    t = sp.t.interval(0.95, 39, loc=means.mean(), scale=sp.sem(means))
    assert high - low == pytest.approx(t[1] - t[0], rel=0.12)
    naive_low, naive_high = _interval(Resampler([None] * 400).means(values)[0])
    assert high - low > 2.5 * (naive_high - naive_low)


def test_ratio_by_hand_and_without_bound() -> None:
    costs = np.full((50, 3), 0.002)
    correct = np.column_stack([np.arange(50) % 2.0, np.zeros(50), np.r_[1.0, np.zeros(49)]])
    half, never, once = Resampler([None] * 50).ratios(costs, correct)
    assert half is not None
    assert half.mean == pytest.approx(0.004, abs=1e-12)
    low, high = _interval(half)
    assert 0.0025 < low < 0.004 < high < 0.0065
    assert never is None
    assert once is not None
    assert (once.mean, once.high) == (pytest.approx(0.1), None)


@pytest.mark.parametrize("kind", ["graded", "right or wrong", "clustered", "difference"])
def test_intervals_cover_what_they_promise(kind: str) -> None:
    rng = np.random.default_rng(11)
    n, runs = 60, 400
    if kind == "graded":
        table, truth, clusters = rng.beta(2, 4, size=(n, runs)), 1 / 3, [None] * n
    elif kind == "right or wrong":
        table, truth, clusters = (rng.random((n, runs)) < 0.8).astype(float), 0.8, [None] * n
    elif kind == "clustered":
        shared = np.repeat(rng.normal(0.5, 0.1, size=(40, runs)), 4, axis=0)
        table, truth = shared + rng.normal(0, 0.1, size=(160, runs)), 0.5
        clusters = [f"c{i // 4}" for i in range(160)]
    else:
        table, truth, clusters = rng.beta(2, 4, (n, runs)) - rng.beta(2, 2, (n, runs)), -1 / 6, [None] * n
    resampler = Resampler(clusters, resamples=1000)
    found = resampler.differences(table) if kind == "difference" else resampler.means(table)
    covered = np.mean([low <= truth <= high for low, high in map(_interval, found)])
    assert 0.92 <= covered <= 0.98
