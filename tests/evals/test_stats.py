"""Statistics against scipy, statsmodels and values worked by hand; coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
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
    clustered_error,
    combined_interval,
    holm,
    mcnemar_p,
    minimum_detectable,
    overall_interval,
    pareto_front,
    pareto_membership,
    percentile,
    t_interval,
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
    for n in range(1, 30):  # rounding does not part the interval from its mean
        assert wilson_interval(0, n)[0] == 0
        assert wilson_interval(n, n)[1] == 1
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
    assert half.se is None
    assert never is None
    assert once is not None
    assert (once.mean, once.high) == (pytest.approx(0.1), None)


def test_the_clustered_error_agrees_with_statsmodels() -> None:
    values = RNG.normal(0.5, 0.2, size=90)
    clusters = RNG.integers(17, size=90)
    fitted = sm.OLS(values, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    (found,) = Resampler([f"c{c}" for c in clusters]).means(values[:, None])
    assert found is not None
    assert found.se == pytest.approx(fitted.bse[0], abs=1e-9)
    (alone,) = Resampler([None] * 90).means(values[:, None])
    assert alone is not None
    assert alone.se == pytest.approx(sp.sem(values), abs=1e-9)


def test_the_clustered_error_by_hand() -> None:
    # Mean 2 over four values; the clusters deviate by -2 and 2 in all: sqrt(2 / 1 * (4 + 4)) / 4 = 1.
    assert clustered_error(np.array([2.0, 6.0]), np.array([2.0, 2.0])) == pytest.approx(1.0, abs=1e-12)
    assert clustered_error(np.array([2.0, 0.0]), np.array([2.0, 0.0])) is None


def test_student_agrees_with_scipy_and_stays_within_bounds() -> None:
    values = RNG.normal(0.4, 0.1, size=12)
    expected = sp.t.interval(0.95, 11, loc=values.mean(), scale=sp.sem(values))
    assert t_interval(values.mean(), sp.sem(values), 12) == pytest.approx(expected, abs=1e-9)
    (few,) = Resampler([None] * 12).means(values[:, None])
    assert few is not None
    assert few.method == "t"
    assert _interval(few) == pytest.approx(expected, abs=1e-9)
    (wide,) = Resampler([None] * 3).means(np.array([[0.1], [0.9], [0.95]]))
    assert _interval(wide) == (0.0, 1.0)
    (wide,) = Resampler([None] * 3).differences(np.array([[-1.0], [1.0], [0.5]]))
    assert _interval(wide) == (-1.0, 1.0)


def test_the_minimum_detectable_effect() -> None:
    # Many groups: 1.959964 + 0.841621 standard errors, the factor of every textbook.
    assert minimum_detectable(0.01, 10**9) == pytest.approx(0.02801585218, abs=1e-9)
    expected = (sp.t.ppf(0.975, 19) + sp.t.ppf(0.8, 19)) * 0.05
    assert minimum_detectable(0.05, 20) == pytest.approx(expected, abs=1e-9)
    strict = (sp.t.ppf(1 - 0.005, 19) + sp.t.ppf(0.9, 19)) * 0.05
    assert minimum_detectable(0.05, 20, level=0.01, power=0.9) == pytest.approx(strict, abs=1e-9)


def test_an_effect_of_that_size_is_found_four_times_in_five() -> None:
    rng, n, runs = np.random.default_rng(4), 60, 4000
    effect = minimum_detectable(0.3 / n**0.5, n)
    found = sp.ttest_1samp(rng.normal(effect, 0.3, size=(n, runs)), 0.0, axis=0).pvalue < 0.05
    assert np.mean(found) == pytest.approx(0.8, abs=0.02)


def test_pareto_membership_over_draws() -> None:
    # The first system is better and dearer in one draw, worse and dearer in the other.
    draws = np.array([[[-0.9, 2.0], [-0.8, 1.0]], [[-0.7, 2.0], [-0.8, 1.0]]])
    assert pareto_membership(draws).tolist() == [[True, True], [False, True]]


def test_sample_counts_are_the_draws_of_the_bootstrap() -> None:
    resampler = Resampler(["a", "a", "b", "c", "c"], resamples=50, seed=3)
    counts = resampler.sample_counts(20)
    assert counts.shape == (20, 5)
    assert (counts[:, 0] == counts[:, 1]).all()
    values = np.array([[0.1], [0.2], [0.3], [0.4], [0.9]])
    drawn = (counts @ values / counts.sum(axis=1, keepdims=True))[:, 0]
    assert drawn == pytest.approx(resampler.draws(values)[:20, 0], abs=1e-12)


COVERAGE = ("graded", "right or wrong", "clustered", "clusters of right or wrong", "difference", "ratio")


def coverage(kind: str, groups: int, runs: int, resamples: int) -> float:
    """The share of `runs` made-up runs of known truth whose 95 % interval holds it."""
    rng = np.random.default_rng(11)
    n, clusters = groups, [None] * groups
    if kind == "graded":
        table, truth = rng.beta(2, 4, size=(n, runs)), 1 / 3
    elif kind == "right or wrong":
        table, truth = (rng.random((n, runs)) < 0.8).astype(float), 0.8
    elif kind == "clustered":
        shared = np.repeat(rng.normal(0.5, 0.1, size=(n, runs)), 4, axis=0)
        table, truth = shared + rng.normal(0, 0.1, size=(4 * n, runs)), 0.5
    elif kind == "clusters of right or wrong":
        rate = np.repeat(rng.beta(4, 2, size=(n, runs)), 4, axis=0)
        table, truth = (rng.random((4 * n, runs)) < rate).astype(float), 2 / 3
    elif kind == "difference":
        table, truth = rng.beta(2, 4, (n, runs)) - rng.beta(2, 2, (n, runs)), -1 / 6
    else:
        costs, right = rng.gamma(4, 0.001, (n, runs)), (rng.random((n, runs)) < 0.6).astype(float)
        found = Resampler(clusters, resamples=resamples).ratios(costs, right)
        return _covered(found, 0.004 / 0.6)
    if kind.startswith("cluster"):
        clusters = [f"c{i // 4}" for i in range(4 * n)]
    resampler = Resampler(clusters, resamples=resamples)
    return _covered(resampler.differences(table) if kind == "difference" else resampler.means(table), truth)


def _covered(found: list[Estimate | None], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in map(_interval, found)]))


@pytest.mark.parametrize("kind", COVERAGE)
def test_intervals_cover_what_they_promise(kind: str) -> None:
    assert 0.92 <= coverage(kind, 60, runs=500, resamples=1000) <= 0.98


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", COVERAGE)
@pytest.mark.parametrize("groups", [15, 60, 200])
def test_coverage_in_full(kind: str, groups: int) -> None:
    if groups == 15 and kind in {"right or wrong", "ratio"}:
        pytest.skip("15 replies, right or wrong, take 16 values: no interval of theirs covers 95 %")
    covered = coverage(kind, groups, runs=4000, resamples=2000)
    print(f"\n{kind}, {groups} groups: {covered:.4f}")
    assert 0.93 <= covered <= 0.97


def _estimate(values: np.ndarray) -> Estimate:
    (found,) = Resampler([*[None] * len(values)]).means(values[:, None])
    assert found is not None
    return found


def test_the_interval_over_benchmarks_is_welchs() -> None:
    ours, theirs = RNG.random(12), RNG.random(40) / 2
    expected = sp.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    found = overall_interval([_estimate(ours), _estimate(-theirs)], (-1.0, 1.0))
    assert found == pytest.approx((expected.low / 2, expected.high / 2), abs=1e-9)
    alone = _estimate(ours)
    assert overall_interval([alone], (0.0, 1.0)) == (alone.low, alone.high)


def test_the_interval_over_benchmarks_is_made_of_theirs() -> None:
    few, many = _estimate(np.ones(10)), _estimate(np.tile([0.0, 1.0], 100))
    low, high = (sp.binomtest(k, n).proportion_ci(method="wilson") for k, n in ((10, 10), (100, 200)))
    below = math.hypot(1 - low.low, 0.5 - high.low) / 2
    above = math.hypot(1 - low.high, 0.5 - high.high) / 2
    assert combined_interval([few, many]) == pytest.approx((0.75 - below, 0.75 + above), abs=1e-9)
    assert combined_interval([few]) == pytest.approx((few.low, few.high))
    alone = _estimate(np.array([1.0]))
    assert combined_interval([few, alone]) == (None, None)


def test_a_benchmark_all_right_by_luck_does_not_narrow_the_interval_over_all() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        parts = [_estimate((rng.random(n) < share).astype(float)) for n, share in ((10, 0.9), (28, 0.5))]
        low, high = combined_interval(parts)
        assert low is not None
        assert high is not None
        held += low <= 0.7 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_benchmark_of_one_sample_leaves_no_interval_over_all() -> None:
    parts = [_estimate(RNG.random(50)), _estimate(np.array([1.0]))]
    assert overall_interval(parts, (0.0, 1.0)) == (None, None)
    flat = _estimate(np.full(50, 0.3))
    assert overall_interval([flat, flat], (0.0, 1.0)) == (None, None)
