"""The tables of a report as cells of text, shared by the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evals.metrics.catalog import metric_info
from evals.reporting import text
from evals.reporting.calibrated import calibration_lines
from evals.reporting.model import BenchmarkSummary, Comparison, Latency, MetricResult, Report, SystemSummary

__all__ = [
    "TableText",
    "comparison_tables",
    "cost_table",
    "detectable",
    "gate_tables",
    "latency_table",
    "leaderboard",
    "leading_comparisons",
    "leading_metrics",
    "metric_tables",
    "outcome_table",
    "ranked",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableText:
    """A table ready to print. A cell may hold lines: the figure, then what qualifies it.

    `words` are the columns that hold words and are set left; numbers are set right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int] = frozenset({0})
    notes: tuple[str, ...] = field(default=())


def ranked(report: Report) -> list[SystemSummary]:
    """Return the systems, best first by what holds if all that is missing were wrong, then by the mean.

    Those without a quality come last; what is still equal goes by name.
    """

    def place(system: SystemSummary) -> tuple[float, float, str]:
        quality = system.quality
        return (
            (-quality.mean_if_missing_wrong, -quality.mean, system.name) if quality else (1, 1, system.name)
        )

    return sorted(report.systems, key=place)


def leading_metrics(report: Report) -> list[str]:
    """Return the metrics that stand for quality, one a benchmark at most, as `BENCHMARK/METRIC`."""
    return [f"{benchmark.name}/{benchmark.leading}" for benchmark in report.benchmarks if benchmark.leading]


def leading_comparisons(report: Report) -> list[Comparison]:
    """Return the comparisons in the leading metrics."""
    leading = set(leading_metrics(report))
    return [comparison for comparison in report.comparisons if comparison.metric in leading]


def leaderboard(report: Report) -> TableText:
    """Quality, cost and speed of each system on one line."""
    rivals = len(report.systems) > 1
    leading = leading_metrics(report)
    rows = tuple(
        (
            system.name + (" *" if system.pareto and rivals else ""),
            *(_mean(system.metrics.get(name)) for name in leading),
            text.money(system.overall.cost.per_1k_samples) + _assumed(system),
            text.duration(system.overall.latency.ttft_p50),
            text.duration(system.overall.latency.total_p50),
        )
        for system in ranked(report)
    )
    notes = [
        "Under each mean: its 95 % interval, and the samples measured of those it applies to.",
        "Per 1k: for 1,000 samples. TTFT: to the first token; total: to the whole answer; p50: the median.",
    ]
    if any("≥" in cell for row in rows for cell in row):
        notes.append("≥: the mean if all that is missing were wrong; systems are ranked by it.")
    if rivals and any(system.pareto for system in report.systems):
        notes.append("* not beaten in quality, cost and speed together")
    if any(_assumed(system) for system in report.systems):
        notes.append("† from an assumed price per busy hour")
    notes += calibration_lines(report.calibration, leading)
    return TableText(
        title="Systems",
        columns=("system", *leading, "cost per 1k", "TTFT p50", "total p50"),
        rows=rows,
        notes=tuple(notes),
    )


def metric_tables(report: Report) -> list[TableText]:
    """One table a benchmark: each metric of each system with interval, coverage and lower bound."""
    tables = []
    for benchmark in report.benchmarks:
        rows: list[tuple[str, ...]] = []
        for metric in benchmark.metrics:
            results = [(s.name, s.metrics.get(f"{benchmark.name}/{metric}")) for s in ranked(report)]
            cells = [(name, *_metric_cells(result)) for name, result in results if result is not None]
            rows += [(metric if place == 0 else "", *row) for place, row in enumerate(cells)]
        tables.append(
            TableText(
                title=f"{benchmark.name}: {text.plural(benchmark.samples, 'sample')}",
                columns=("metric", "system", "mean", "95 % interval", "n", "bound"),
                rows=tuple(rows),
                words=frozenset({0, 1}),
                notes=(*_metric_notes(benchmark), *calibration_lines(report.calibration, benchmark.metrics)),
            )
        )
    return tables


def comparison_tables(
    comparisons: Sequence[Comparison], calibration: Mapping[str, Sequence[str]]
) -> list[TableText]:
    """Paired differences with their intervals, one table a metric, and how far that agrees with people."""
    metrics = dict.fromkeys(comparison.metric for comparison in comparisons)
    return [
        _compared(
            metric,
            [c for c in comparisons if c.metric == metric],
            calibration_lines(calibration, [metric]),
        )
        for metric in metrics
    ]


def _compared(metric: str, comparisons: Sequence[Comparison], known: Sequence[str]) -> TableText:
    sure = any(comparison.significant for comparison in comparisons)
    return TableText(
        title=f"{metric}: paired differences on the same samples",
        columns=("first − second", "difference (95 % interval)", "p (Holm)", "n", "MDE"),
        rows=tuple(
            (
                f"{c.a} − {c.b}",
                text.difference(c.difference, c.low, c.high),
                text.p_value(c.p_adjusted) + (" *" if c.significant else ""),
                str(c.n),
                detectable(c),
            )
            for c in comparisons
        ),
        notes=(
            "* beyond chance at 5 % after Holm's correction over all pairs in this metric"
            if sure
            else "No difference is beyond chance at 5 % after Holm's correction.",
            "MDE: the smallest true difference that n samples would show beyond chance 4 times in 5",
            *(["no interval: every difference is alike"] if any(c.low is None for c in comparisons) else []),
            *known,
        ),
    )


def detectable(comparison: Comparison) -> str:
    """Return the minimum detectable effect of a comparison."""
    # No two systems differ by more than 1: nothing could have been seen.
    found = comparison.minimum_detectable
    return "> 1" if found is not None and found > 1 else text.score(found)


def latency_table(report: Report) -> TableText:
    """Waiting times in detail."""
    return TableText(
        title="Latency",
        columns=("system", "TTFT p50 / p95", "total p50 / p95", "tokens/s", "in flight", "n"),
        rows=tuple((s.name, *_latency_cells(s.overall.latency)) for s in ranked(report)),
        notes=(
            "Answered replies, none from a cache; retrieval comes before and is not in it.",
            "In flight: calls under way when one was sent.",
        ),
    )


def cost_table(report: Report) -> TableText:
    """Money in detail."""
    return TableText(
        title="Cost",
        columns=("system", "total", "per correct", "3:1 per Mtok", "price"),
        rows=tuple((system.name, *_cost_cells(system, leading_metrics(report))) for system in ranked(report)),
        words=frozenset({0, 4}),
        notes=(
            "Per correct: with its 95 % interval; a partial score counts as that part of an answer.",
            "3:1: price of a million tokens, three of input to one of output.",
        ),
    )


def gate_tables(report: Report) -> list[TableText]:
    """Which gates were kept; none where the config has none."""
    if not report.gates:
        return []
    columns = ("metric", "system", "bound", "reason")
    rows = tuple(
        ("kept" if gate["passed"] else "failed", *(str(gate[name]) for name in columns))
        for gate in report.gates
    )
    known = calibration_lines(report.calibration, [str(gate["metric"]) for gate in report.gates])
    title, words = "Gates", frozenset(range(5))
    return [TableText(title=title, columns=("gate", *columns), rows=rows, words=words, notes=known)]


def outcome_table(report: Report) -> TableText:
    """How the calls ended."""
    names = list(dict.fromkeys(name for system in report.systems for name in system.overall.outcomes))
    return TableText(
        title="Outcomes",
        columns=("system", "asked", "received", "scored", *names),
        rows=tuple(
            (
                system.name,
                str(system.overall.samples),
                str(system.overall.received),
                str(system.overall.scored),
                *(str(system.overall.outcomes.get(name, 0)) for name in names),
            )
            for system in ranked(report)
        ),
    )


def _metric_notes(benchmark: BenchmarkSummary) -> tuple[str, ...]:
    notes = [
        "n: samples measured of those that the metric applies to.",
        "bound: the mean if all that is missing were wrong.",
    ]
    if benchmark.clustered:
        notes.append(
            f"Intervals allow for {text.plural(benchmark.clusters, 'cluster')} of dependent samples."
        )
    lower = [metric for metric in benchmark.metrics if not metric_info(metric).higher_is_better]
    if lower:
        notes.append(f"Lower is better: {', '.join(lower)}.")
    return tuple(notes)


def _metric_cells(result: MetricResult) -> tuple[str, str, str, str]:
    estimate = result.estimate
    bound = text.score(result.mean_if_missing_wrong)
    if estimate is None:
        reason = next(iter(result.reasons), "no value")
        return text.score(None), reason, text.count(0, result.total), bound
    covered = text.count(result.n, result.total)
    return text.score(estimate.mean), text.interval(estimate.low, estimate.high), covered, bound


def _mean(result: MetricResult | None) -> str:
    if result is None or result.estimate is None:
        return text.score(None)
    estimate = result.estimate
    lines = [text.score(estimate.mean), text.interval(estimate.low, estimate.high)]
    least = text.at_worst(estimate.mean, result.mean_if_missing_wrong)
    return "\n".join([*lines, f"{text.count(result.n, result.total)} {least}".strip()])


def _latency_cells(latency: Latency) -> tuple[str, ...]:
    speed = latency.output_tokens_per_s_p50
    return (
        text.durations(latency.ttft_p50, latency.ttft_p95),
        text.durations(latency.total_p50, latency.total_p95),
        text.UNKNOWN if speed is None else f"{speed:,.0f}",
        text.concurrency(latency),
        str(latency.n),
    )


def _cost_cells(system: SystemSummary, leading: Sequence[str]) -> tuple[str, ...]:
    cost = system.overall.cost
    blended = system.price.blended_per_mtok if system.price else None
    return (
        text.money(cost.total),
        _per_correct(system, leading),
        "–" if blended is None and system.price else text.money(blended),
        _price(system),
    )


def _per_correct(system: SystemSummary, leading: Sequence[str]) -> str:
    found = system.overall.cost.per_correct
    if found is None:
        measured = [one.estimate for name in leading if (one := system.metrics.get(name)) and one.estimate]
        nothing_right = measured and all(estimate.mean == 0 for estimate in measured)
        return "none correct" if nothing_right and system.overall.cost.total is not None else text.UNKNOWN
    lines = [text.money(found.mean)]
    if found.low is not None:
        low = text.money(found.low)
        lines.append(f"≥ {low}" if found.high is None else f"{low}–{text.money(found.high)}")
    return "\n".join(lines)


def _assumed(system: SystemSummary) -> str:
    return " †" if system.price and system.price.kind == "per_hour" else ""


def _price(system: SystemSummary) -> str:
    price = system.price
    if price is None:
        return text.UNKNOWN
    if price.kind == "per_hour":
        return f"{text.money(price.usd_per_hour)} per busy hour, assumed"
    if price.kind == "free":
        return "$0, runs here"
    rates = f"{text.money(price.input_per_mtok)} in, {text.money(price.output_per_mtok)} out per Mtok"
    return rates + (f", {price.as_of}" if price.as_of else "")
