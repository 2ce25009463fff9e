"""What a reader must know before believing a number."""

from __future__ import annotations

from collections.abc import Sequence

from evals.codec import Key
from evals.metrics.catalog import of_retrieval
from evals.reporting import text
from evals.reporting.data import RunData
from evals.reporting.model import BenchmarkSummary, SystemSummary
from evals.reporting.programs import program_failures
from rag.core import Outcome

__all__ = ["run_warnings"]

_FEW_SAMPLES = 30
_FEW_FOR_P95 = 20
_COPIED = ("faithfulness_lexical", "faithfulness_hybrid", "k_precision", "citation_precision")


def run_warnings(
    run: RunData, benchmarks: Sequence[BenchmarkSummary], systems: Sequence[SystemSummary]
) -> tuple[str, ...]:
    """Return one sentence a caveat, the gravest first."""
    found = [*_incomplete(run, systems), *run.warnings]
    for benchmark in benchmarks:
        found += _benchmark(benchmark)
    for system in systems:
        found += [*_calls(system), *_stored(system), *_money(system), *_untimed(system)]
    found += [
        *_few_timed(systems),
        *program_failures(run),
        *_cut_short(run, benchmarks),
        *_by_construction(systems),
        *_assumed_prices(systems),
        *_different_load(systems),
    ]
    return tuple(dict.fromkeys(found))


def _incomplete(run: RunData, systems: Sequence[SystemSummary]) -> list[str]:
    found = []
    absent = sum(system.overall.samples - system.overall.received for system in systems)
    if absent > 0:
        asked = sum(system.overall.samples for system in systems)
        found.append(
            f"{absent:,} of {asked:,} replies are missing: the run is not finished; "
            f"'ragassay eval resume' goes on with it."
        )
    unscored = sum(Key.of(record) not in run.scores for record in run.records)
    if unscored:
        found.append(f"{text.plural(unscored, 'reply')} not scored yet; run 'ragassay eval rescore'.")
    broken = sum(score.error is not None for scores in run.scores.values() for score in scores)
    if broken:
        first = next(s for scores in run.scores.values() for s in scores if s.error is not None)
        found.append(
            f"{text.plural(broken, 'score')} failed in the metric itself: {first.metric}: {first.error}."
        )
    return found


def _benchmark(benchmark: BenchmarkSummary) -> list[str]:
    found = []
    if benchmark.samples == 0:
        return [f"{benchmark.name} has no samples."]
    if benchmark.samples < _FEW_SAMPLES:
        found.append(
            f"{benchmark.name} has only {text.plural(benchmark.samples, 'sample')}: "
            "intervals are wide and small differences cannot be seen."
        )
    if benchmark.clusters < benchmark.samples and not benchmark.clustered:
        found.append(
            f"{benchmark.name} has only {text.plural(benchmark.clusters, 'cluster')} of dependent samples, "
            "too few to allow for: its samples count as independent, so its intervals may be too narrow."
        )
    if benchmark.split and benchmark.split.endswith("_v0"):
        found.append(
            f"{benchmark.name} uses the split {benchmark.split}, the authors' first upload: "
            "its scores do not compare with those published on the final release."
        )
    return found


def _calls(system: SystemSummary) -> list[str]:
    found = []
    failed = {k: n for k, n in system.overall.outcomes.items() if Outcome(k).infrastructure}
    if failed:
        found.append(
            f"{system.name}: {text.plural(sum(failed.values()), 'call')} failed and "
            f"{'is' if sum(failed.values()) == 1 else 'are'} not scored ({text.outcomes(failed)})."
        )
    own = {k: n for k, n in system.overall.outcomes.items() if Outcome(k).own_failure}
    if own:
        found.append(
            f"{system.name}: {text.plural(sum(own.values()), 'reply')} count as wrong, "
            f"the system's own failure ({text.outcomes(own)})."
        )
    cut = system.overall.outcomes.get(Outcome.LENGTH, 0)
    if cut:
        found.append(
            f"{system.name}: {text.plural(cut, 'answer')} reached max_tokens and were scored as they stand."
        )
    return found


def _stored(system: SystemSummary) -> list[str]:
    stored = system.overall.cached
    if not stored:
        return []
    share = f"{stored:,} of {text.plural(system.overall.received, 'reply')}"
    priced = "priced at what they cost when they were asked, though they cost this run nothing"
    return [f"{system.name}: {share} came from the reply cache: {priced}, and left out of every speed."]


def _cut_short(run: RunData, benchmarks: Sequence[BenchmarkSummary]) -> list[str]:
    metrics = dict.fromkeys(metric for benchmark in benchmarks for metric in benchmark.metrics)
    shallow: dict[int, list[str]] = {}
    for system in run.systems:
        if system.k is not None:
            shallow.setdefault(system.k, []).append(system.name)
    found = []
    for k, names in sorted(shallow.items()):
        deeper = [name for name in metrics if of_retrieval(name) and int(name.partition("@")[2] or 0) > k]
        recalls = [name for name in deeper if name.startswith("recall@")]
        parts = []
        if recalls:
            parts.append(f"{text.listed(recalls)} {'is' if len(recalls) == 1 else 'are'} recall@{k}")
        if others := [name for name in deeper if name not in recalls]:
            parts.append(f"{text.listed(others)} {'sees' if len(others) == 1 else 'see'} no more")
        if parts:
            found.append(
                f"{', '.join(names)}: only {text.plural(k, 'passage')} retrieved: {'; '.join(parts)}."
            )
    return found


def _by_construction(systems: Sequence[SystemSummary]) -> list[str]:
    copied: dict[str, list[str]] = {}
    for system in systems:
        if system.provider == "extractive":
            metrics = sorted({r.metric for r in system.metrics.values() if r.metric in _COPIED and r.n})
            if metrics:
                copied.setdefault(", ".join(metrics), []).append(system.name)
    return [
        f"{', '.join(names)}: answers quote the passages, so {metrics} {'are' if ',' in metrics else 'is'} 1 "
        "by construction, not by merit."
        for metrics, names in copied.items()
    ]


def _money(system: SystemSummary) -> list[str]:
    cost = system.overall.cost
    found = []
    if cost.total is None and system.overall.received:
        if system.price is None:
            found.append(f"{system.name}: its price is unknown, and so is what it cost.")
        else:
            answered = any(Outcome(name).answered for name in system.overall.outcomes)
            why = "replies came without usage" if answered else "calls that fail do not tell their usage"
            found.append(f"{system.name}: what it cost is unknown: {why}.")
    elif cost.unpriced:
        found.append(
            f"{system.name}: its cost leaves out {text.plural(cost.unpriced, 'failed call')} "
            "whose usage is unknown."
        )
    return found


def _untimed(system: SystemSummary) -> list[str]:
    if system.overall.latency.n == 0 and system.overall.received:
        return [f"{system.name}: no reply was timed, so its speed is unknown."]
    return []


def _few_timed(systems: Sequence[SystemSummary]) -> list[str]:
    few: dict[int, list[str]] = {}
    for system in systems:
        if 0 < system.overall.latency.n < _FEW_FOR_P95:
            few.setdefault(system.overall.latency.n, []).append(system.name)
    return [
        f"{', '.join(names)}: p95 over {text.plural(n, 'reply')} is little more than the slowest one."
        for n, names in few.items()
    ]


def _assumed_prices(systems: Sequence[SystemSummary]) -> list[str]:
    rates: dict[str, list[str]] = {}
    for system in systems:
        if system.price and system.price.kind == "per_hour":
            rates.setdefault(text.money(system.price.usd_per_hour), []).append(system.name)
    return [
        f"{', '.join(names)}: cost assumes {rate} per busy hour, a figure from the config, not a bill."
        for rate, names in rates.items()
    ]


def _different_load(systems: Sequence[SystemSummary]) -> list[str]:
    loads = {s.name: text.concurrency(s.overall.latency) for s in systems if s.overall.latency.concurrency}
    if len(set(loads.values())) < 2:
        return []
    listed = ", ".join(f"{name} {load}" for name, load in loads.items())
    return [f"Latencies were measured with different numbers of calls in flight: {listed}."]
