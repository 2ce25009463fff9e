"""The values of a report: everything that is shown, already computed, whatever the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from evals.core import Score
from evals.reporting.breakdown import ByGroup, Choices
from evals.reporting.judges import Agreement, JudgeSummary
from evals.stats import Estimate
from rag.core import Chunk, Citation

__all__ = [
    "AnswerView",
    "BenchmarkSummary",
    "Cell",
    "Comparison",
    "Cost",
    "Latency",
    "MetricResult",
    "Price",
    "Quality",
    "Report",
    "SampleView",
    "SystemSummary",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What a system's price was when it ran, in USD.

    `kind` is `per_token`, `free` (it runs here), or `per_hour` of busy time, which is the user's assumption;
    `source` says who names it.
    """

    kind: str
    source: str = ""

    input_per_mtok: Decimal | None = None
    output_per_mtok: Decimal | None = None
    usd_per_hour: Decimal | None = None
    as_of: str | None = None

    @property
    def blended_per_mtok(self) -> Decimal | None:
        """Price of a million tokens, input to output 3:1, as artificialanalysis.ai blends them."""
        if self.input_per_mtok is None or self.output_per_mtok is None:
            return None
        return (3 * self.input_per_mtok + self.output_per_mtok) / 4


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricResult:
    """A metric of a system on a benchmark.

    `estimate` is over the samples measured, None where there are none. `total` counts the samples that the
    metric applies to, `not_applicable` the others, and `mean_if_missing_wrong` is the bound that holds if
    everything missing were wrong. `reasons` counts why values are absent.
    """

    benchmark: str
    metric: str
    estimate: Estimate | None
    total: int
    not_applicable: int
    mean_if_missing_wrong: float | None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`BENCHMARK/METRIC`."""
        return f"{self.benchmark}/{self.metric}"

    @property
    def n(self) -> int:
        """Samples measured."""
        return self.estimate.n if self.estimate else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Money spent on replies, in USD; None is unknown.

    `total` is what the run cost, also for replies that later ones stand in for.
    `replies` were priced, `unpriced` failed calls had no known price and are left out; one answered reply
    without a price makes all of it unknown. `per_correct` is the cost of one correct answer, where a partial
    score counts as that part of an answer.
    """

    total: Decimal | None
    per_1k_samples: Decimal | None
    per_1k_interval: tuple[float, float] | None = None
    per_correct: Estimate | None = None
    replies: int
    unpriced: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Latency:
    """Waiting times of `n` answered replies that came from no cache, in milliseconds; None is unknown.

    `total_quantiles` are the 5th, 25th, 50th, 75th and 95th percentile. `concurrency` is the least and the
    most calls that were in flight when one was sent. Retrieval comes before and is not in it.
    """

    n: int
    ttft_p50: float | None
    ttft_p95: float | None
    total_p50: float | None
    total_p95: float | None
    total_p50_interval: tuple[float, float] | None = None
    total_quantiles: tuple[float, ...] = ()
    output_tokens_per_s_p50: float | None
    concurrency: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One system on one benchmark: what became of its calls, what they cost and how long they took.

    `cached` counts the replies that came from the reply cache.
    """

    samples: int
    received: int
    scored: int
    outcomes: Mapping[str, int]
    cost: Cost
    latency: Latency
    cached: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """The mean of the leading metric over all benchmarks, each with equal weight.

    Systems are ranked by `mean_if_missing_wrong`, so that none gains by failing at what is hard.
    """

    metrics: tuple[str, ...]
    mean: float
    mean_if_missing_wrong: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemSummary:
    """A system over all benchmarks, and on each.

    `kind` is `provider`, `runnable` or `recorded`. `collection` is what it is given passages from, if any.
    `pareto` is True where no other system is at least as good, as cheap and as fast, and better in one;
    `pareto_probability` is the share of the bootstrap's draws in which that holds.
    """

    name: str
    kind: str
    provider: str
    model: str
    collection: str | None
    price: Price | None
    overall: Cell
    benchmarks: Mapping[str, Cell]
    metrics: Mapping[str, MetricResult]
    quality: Quality | None
    pareto: bool
    pareto_probability: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The paired difference a - b of a metric over the samples that both were measured on.

    `low` and `high` are None where nothing is known of chance, as where every difference is alike; else
    `interval` says how they were found.
    `p_adjusted` is Holm's over all pairs of
    systems in this metric; `test` names the test. `minimum_detectable` is the smallest true difference that
    would be found beyond chance four times in five on these samples, with that correction at its strictest.
    """

    a: str
    b: str
    metric: str
    n: int
    difference: float
    low: float | None
    high: float | None
    p_value: float
    p_adjusted: float
    significant: bool
    test: str
    interval: str = "none"
    minimum_detectable: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkSummary:
    """A benchmark of the run.

    `clusters` counts the groups of dependent samples, `clustered` says whether intervals and tests allow for
    them. `leading` is the metric that stands for quality, None where it has none.
    """

    name: str
    kind: str
    samples: int
    clusters: int
    clustered: bool
    metrics: tuple[str, ...]
    leading: str | None
    data: str = ""
    split: str | None = None
    sha256: str = ""
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerView:
    """What one system made of a sample."""

    system: str
    outcome: str
    text: str
    refused: bool
    citations: tuple[Citation, ...]
    scores: tuple[Score, ...]
    total_ms: float | None
    cost: Decimal | None
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleView:
    """A sample with every system's answer; `spread` is how far their leading scores lie apart.

    `passages` are those that were retrieved, by retrieval setting. A refusal is right where it is
    `unanswerable`.
    """

    benchmark: str
    id: str
    question: str
    targets: tuple[str, ...]
    choices: tuple[str, ...]
    answers: tuple[AnswerView, ...]
    unanswerable: bool
    spread: float
    passages: tuple[tuple[str, tuple[Chunk, ...]], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All numbers of a run. Building it twice from one folder gives the same value.

    `calibration` says of each metric that stands for a person's judgement how far it agrees with people.
    `samples` are those to look at, `answers_file` the name of a file beside the page that holds all replies.
    """

    run: str
    created: str
    state: str
    seed: int
    repeats: int
    confidence: float
    resamples: int
    spec: Mapping[str, object]
    versions: Mapping[str, str]
    benchmarks: tuple[BenchmarkSummary, ...]
    systems: tuple[SystemSummary, ...]
    comparisons: tuple[Comparison, ...]
    samples: tuple[SampleView, ...]
    summary: tuple[str, ...]
    warnings: tuple[str, ...]
    gates: tuple[Mapping[str, object], ...] = ()
    by_group: tuple[ByGroup, ...] = ()
    choices: tuple[Choices, ...] = ()
    judges: tuple[JudgeSummary, ...] = ()
    agreement: tuple[Agreement, ...] = ()
    calibration: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    answers_file: str | None = None
