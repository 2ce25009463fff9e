"""The result in plain words: who is best, cheapest, fastest, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from evals.reporting import text
from evals.reporting.model import BenchmarkSummary, Comparison, MetricResult, SystemSummary

__all__ = ["summary"]


def summary(
    benchmarks: Sequence[BenchmarkSummary],
    systems: Sequence[SystemSummary],
    comparisons: Sequence[Comparison],
) -> tuple[str, ...]:
    """Return a few sentences, each a finding with its interval."""
    lines = [_leader(benchmark, systems, comparisons) for benchmark in benchmarks if benchmark.leading]
    if not any(result.estimate for system in systems for result in system.metrics.values()):
        lines = ["Nothing was scored."]
    lines += [_cheapest(systems), _fastest(systems), _front(systems)]
    return tuple(line for line in lines if line)


def _leader(
    benchmark: BenchmarkSummary, systems: Sequence[SystemSummary], comparisons: Sequence[Comparison]
) -> str:
    metric = f"{benchmark.name}/{benchmark.leading}"
    found = [
        (result, system.name)
        for system in systems
        if (result := system.metrics.get(metric)) and result.estimate
    ]
    if not found:
        return f"On {benchmark.name} nothing could be scored."
    # What is missing counts as wrong, so that no system leads by failing at what is hard.
    found.sort(key=lambda item: (-(item[0].mean_if_missing_wrong or 0.0), -_mean(item[0])))
    best, name = found[0]
    highest = max(_mean(result) for result, _ in found)
    if highest == 0:
        whose = name if len(systems) == 1 else "any system"
        nothing = f"no scored answer of {whose} was right: {benchmark.leading} is 0 throughout"
        return f"On {benchmark.name} {nothing}."
    if len(systems) == 1:
        value = f"{text.score(_mean(best))}{_sureness(best)}"
        return f"On {benchmark.name}, {benchmark.leading} of {name} is {value}."
    line = f"On {benchmark.name}, {name} {'has the highest' if _mean(best) == highest else 'comes first in'} "
    line += f"{benchmark.leading}: {text.score(_mean(best))}{_sureness(best)}"
    if len(found) < 2:
        return f"{line}."
    return f"{line}; {_lead(name, found[1][1], metric, comparisons)}."


def _mean(result: MetricResult) -> float:
    return result.estimate.mean if result.estimate else 0.0


def _sureness(result: MetricResult) -> str:
    remarks = []
    if result.estimate and result.estimate.low is not None:
        remarks.append(f"95 % interval {text.interval(result.estimate.low, result.estimate.high)}")
    if result.n < result.total:
        bound = text.score(result.mean_if_missing_wrong)
        remarks.append(f"{result.n:,} of {result.total:,} samples measured, {bound} if the rest were wrong")
    return f" ({'; '.join(remarks)})" if remarks else ""


def _lead(first: str, second: str, metric: str, comparisons: Sequence[Comparison]) -> str:
    for found in comparisons:
        if found.metric != metric or {found.a, found.b} != {first, second}:
            continue
        swapped = found.a != first
        difference = -found.difference if swapped else found.difference
        bounds = (found.low, found.high)
        low, high = [None if b is None else -b for b in reversed(bounds)] if swapped else bounds
        lead = f"its lead over {second}" if difference >= 0 else f"its difference from {second}"
        alike = "no interval: every difference is alike"
        return (
            f"{lead} is {text.difference(difference, low, high, alike=alike)}, "
            f"{'beyond chance' if found.significant else 'not beyond chance'} "
            f"({_p(found, [c for c in comparisons if c.metric == metric])})"
        )
    return f"it was not measured on the same samples as {second}"


def _p(comparison: Comparison, family: Sequence[Comparison]) -> str:
    # The interval stands alone, p answers for all pairs: without a word on it they may seem to disagree.
    p = f"p {text.p_equals(comparison.p_adjusted)}"
    return p if len(family) < 2 else f"{p} after correction for {len(family)} comparisons"


def _cheapest(systems: Sequence[SystemSummary]) -> str:
    priced = [(s.overall.cost.per_1k_samples, s.name) for s in systems]
    known = sorted((cost, name) for cost, name in priced if cost is not None)
    unknown = [name for cost, name in priced if cost is None]
    if not known:
        if any(system.price for system in systems):
            return "What the systems cost is unknown."
        return "No system's price is known." if systems else ""
    line = f"Cheapest: {known[0][1]} at {text.money(known[0][0])} per 1,000 samples"
    if known[0][0] == known[-1][0]:
        line = f"{', '.join(name for _, name in known)}: {text.money(known[0][0])} per 1,000 samples"
    else:
        line += f", dearest {known[-1][1]} at {text.money(known[-1][0])}"
    return f"{line}{'; cost unknown: ' + ', '.join(unknown) if unknown else ''}."


def _fastest(systems: Sequence[SystemSummary]) -> str:
    known = sorted(
        (s.overall.latency.total_p50, s.name, s) for s in systems if s.overall.latency.total_p50 is not None
    )
    if not known:
        return ""
    parts = [
        f"{name} {text.duration(total)} (concurrency {text.concurrency(system.overall.latency)})"
        for total, name, system in ([known[0], known[-1]] if len(known) > 1 else known)
    ]
    return f"Median time to a whole answer: {' to '.join(parts)}."


def _share(system: SystemSummary) -> str:
    share = system.pareto_probability
    return "" if share is None else f" (in {share:.0%} of resamples)".replace("%", " %")


def _front(systems: Sequence[SystemSummary]) -> str:
    front = [f"{s.name}{_share(s)}" for s in systems if s.pareto]
    # Without a price a system is not beaten; nobody knows where it stands.
    beaten = [s.name for s in systems if not s.pareto and s.quality and s.overall.cost.total is not None]
    if not front or not beaten:
        return ""
    return f"Not beaten in quality, cost and speed together: {', '.join(front)}. Beaten: {', '.join(beaten)}."
