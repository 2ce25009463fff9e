"""Gates: bounds that a run must keep, checked before its first call and judged when it is scored.

A gate looks at what holds if everything missing were wrong, as `choose` does: nothing passes by failing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from evals.folder import RunFolder
from evals.metrics.catalog import metric_info
from rag.config import Config, GateConfig
from rag.errors import ConfigError, StoppedError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from evals.reporting.data import RunData
    from evals.reporting.model import MetricResult, SystemSummary
    from evals.runner.result import RunResult
    from evals.runner.spec import RunSpec

__all__ = ["GateVerdict", "check_gates", "judge_gates"]

_GATE_FAILED = 3
_LABELS = {"min": "min", "max": "max", "no_regression_from": "no regression"}


@dataclass(frozen=True, kw_only=True, slots=True)
class GateVerdict:
    """Whether a system keeps one bound of a gate; `reason` tells the figure and the bound."""

    metric: str
    system: str
    bound: str
    passed: bool
    reason: str


def check_gates(config: Config, metrics: Mapping[str, Sequence[str]]) -> None:
    """Refuse gates that could never be judged, before anything is paid for.

    Args:
        config: whose gates these are.
        metrics: the metrics of each benchmark.

    Raises:
        UnknownNameError: a gate names a metric or a system that the run lacks; suggests the nearest.
        ConfigError: the metric needs passages, and no system of the gate is given any.
        RunError: `no_regression_from` is no run folder.
    """
    known = [f"{benchmark}/{metric}" for benchmark, names in metrics.items() for metric in names]
    systems = [system.name for system in config.systems]
    for name, gate in config.gates.items():
        if name not in known:
            raise UnknownNameError("metric", name, known, "A gate is named BENCHMARK/METRIC.")
        if gate.system is not None and gate.system not in systems:
            raise UnknownNameError("system", gate.system, systems, f"The gate of {name} names it.")
        if not _bound_by(name, gate, config):
            raise ConfigError(
                f"the gate of {name} can never be kept: the metric needs passages, and "
                f"{gate.system or 'every system'} is asked without; name a system with 'rag:'."
            )
        if gate.no_regression_from is not None:
            RunFolder.open(config.path(gate.no_regression_from))


def _bound_by(name: str, gate: GateConfig, config: Config) -> list[str]:
    """Return the systems of a gate: the one it names, else all that may have a value of its metric."""
    passages = metric_info(name.partition("/")[2]).needs_passages
    return [
        system.name
        for system in config.systems
        if gate.system in (None, system.name)
        and not (passages and system.provider is not None and system.rag is None)
    ]


def judge_gates(folder: RunFolder, spec: RunSpec, result: RunResult) -> RunResult:
    """Return `result` with a verdict for each gate and system; writes `junit.xml` and notes it in `run.json`.

    The exit code becomes 3 where a gate failed, unless the run was stopped and can go on.
    """
    config = spec.config
    if not config.gates:
        return result
    from evals.reporting.load import load_run
    from evals.reporting.numbers import summarise_systems
    from evals.reporting.part import read_parts
    from evals.runner.junit import write_junit

    data = load_run(folder.path)
    systems = {system.name: system for system in summarise_systems(data, read_parts(data))}
    verdicts = tuple(
        verdict
        for name, gate in config.gates.items()
        for verdict in _verdicts(
            name, gate, {system: systems[system] for system in _bound_by(name, gate, config)}, data, config
        )
    )
    write_junit(folder, verdicts)
    folder.update(gates=[asdict(verdict) for verdict in verdicts])
    failed = [verdict for verdict in verdicts if not verdict.passed]
    messages = [f"gate failed: {v.system}, {v.metric}: {v.reason}" for v in failed]
    stopped = result.exit_code == StoppedError.exit_code
    return replace(
        result,
        exit_code=_GATE_FAILED if failed and not stopped else result.exit_code,
        messages=(*result.messages, *messages),
        gates=verdicts,
    )


def _verdicts(
    name: str, gate: GateConfig, systems: Mapping[str, SystemSummary], data: RunData, config: Config
) -> Iterator[GateVerdict]:
    for system in systems.values():
        for bound in ("min", "max"):
            limit: float | None = getattr(gate, bound)
            if limit is not None:
                yield _bounded(name, system, bound, limit)
    if gate.no_regression_from is not None:
        yield from _unchanged(name, gate, systems, data, config)


def _bounded(name: str, system: SystemSummary, bound: str, limit: float) -> GateVerdict:
    result = system.metrics.get(name)
    value = None if result is None or result.estimate is None else result.mean_if_missing_wrong
    if result is None or value is None:
        passed, reason = False, _nothing(result)
    else:
        passed = value >= limit if bound == "min" else value <= limit
        relation = (
            ("at least" if bound == "min" else "at most")
            if passed
            else ("below" if bound == "min" else "above")
        )
        shown = f"{value:.4g}"
        if float(shown) == limit != value:  # "0.5, below 0.5" would say nothing
            shown = repr(value)
        reason = f"{shown}{_missing(result)}, {relation} {limit:g}"
    label = f"{_LABELS[bound]} {limit:g}"
    return GateVerdict(metric=name, system=system.name, bound=label, passed=passed, reason=reason)


def _nothing(result: MetricResult | None) -> str:
    from evals.reporting import text

    why = text.outcomes(result.reasons) if result is not None and result.reasons else "no reply"
    return f"nothing was scored: {why}"


def _missing(result: MetricResult) -> str:
    missing = result.total - result.n
    return f", if the {missing} missing of {result.total} were wrong" if missing else ""


def _unchanged(
    name: str, gate: GateConfig, systems: Mapping[str, SystemSummary], data: RunData, config: Config
) -> Iterator[GateVerdict]:
    """Judge each system against the earlier run; a new one passes, unless the gate names it."""
    from evals.reporting import text
    from evals.reporting.judges import judge_change
    from evals.reporting.load import load_run
    from evals.reporting.rundiff import compare_runs, gain

    assert gate.no_regression_from is not None
    chosen = replace(
        data,
        systems=[system for system in data.systems if system.name in systems],
        benchmarks=[one for one in data.benchmarks if one.name == name.partition("/")[0]],
    )
    before = load_run(config.path(gate.no_regression_from))
    had = {system.name for system in before.systems}
    trouble = "the earlier run has no score of it on these samples"
    try:
        diff = compare_runs(before, chosen, missing_wrong=True)
    except UsageError as exc:  # they share nothing
        found, trouble = {}, str(exc)
    else:
        found = {c.system: c.comparison for c in diff.changes if c.comparison.metric == name}
    other = judge_change(before.judges, data.judges) if metric_info(name.partition("/")[2]).judged else ""
    judges = f"; {other}" if other else ""
    for system in systems:
        comparison = found.get(system)
        passed, reason = False, trouble if name in systems[system].metrics else _nothing(None)
        if gate.system is None and system not in had:
            passed, reason = True, "new: the earlier run lacks it"
        if comparison is not None:
            passed = not (comparison.significant and gain(comparison) < 0)
            change = text.difference(comparison.difference, comparison.low, comparison.high)
            word = "not worse beyond chance" if passed else "worse beyond chance"
            counted = f"on {comparison.n} samples{_missing(systems[system].metrics[name])}"
            reason = f"{word}: {change} {counted}, p {text.p_equals(comparison.p_adjusted)}{judges}"
        label = f"no regression from {gate.no_regression_from.name}"
        yield GateVerdict(metric=name, system=system, bound=label, passed=passed, reason=reason)
