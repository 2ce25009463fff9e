"""A report as JSON, in the shape of `ragassay eval report --format json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from evals.reporting.breakdown import Choices
from evals.reporting.judges import judges_to_json
from evals.reporting.model import (
    BenchmarkSummary,
    Cell,
    Comparison,
    Cost,
    Latency,
    MetricResult,
    Report,
    SystemSummary,
)
from evals.stats import Estimate

__all__ = ["comparison_to_json", "dump_json", "money", "render_json", "to_json"]

T = TypeVar("T")


def render_json(report: Report) -> str:
    """Return one JSON document."""
    return dump_json(to_json(report))


def dump_json(value: object) -> str:
    """Return plain values as one JSON document; NaN is refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values: money as decimal strings, times in ms, unknown null."""
    return {
        "run": report.run,
        "created": report.created,
        "state": report.state,
        "seed": report.seed,
        "repeats": report.repeats,
        "confidence": report.confidence,
        "spec": dict(report.spec),
        "versions": dict(report.versions),
        "benchmarks": {
            benchmark.name: {**_benchmark(benchmark), **_breakdown(report, benchmark.name)}
            for benchmark in report.benchmarks
        },
        "systems": [_system(system) for system in report.systems],
        "comparisons": [comparison_to_json(comparison) for comparison in report.comparisons],
        "gates": [dict(gate) for gate in report.gates],
        **judges_to_json(report.judges, report.agreement),
        "calibration": {name: list(lines) for name, lines in report.calibration.items()},
        "summary": list(report.summary),
        "warnings": list(report.warnings),
    }


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a paired difference as plain values."""
    return {
        "a": comparison.a,
        "b": comparison.b,
        "metric": comparison.metric,
        "n": comparison.n,
        "difference": comparison.difference,
        "ci_low": comparison.low,
        "ci_high": comparison.high,
        "p_value": comparison.p_value,
        "p_adjusted": comparison.p_adjusted,
        "significant": comparison.significant,
        "test": comparison.test,
        "minimum_detectable_effect": comparison.minimum_detectable,
    }


def _benchmark(benchmark: BenchmarkSummary) -> dict[str, Any]:
    return {
        "kind": benchmark.kind,
        "samples": benchmark.samples,
        "clusters": benchmark.clusters,
        "clustered": benchmark.clustered,
        "metrics": list(benchmark.metrics),
        "leading_metric": benchmark.leading,
        "data": benchmark.data,
        "split": benchmark.split,
        "sha256": benchmark.sha256,
        "licence": benchmark.licence,
        "citation": benchmark.citation,
    }


def _breakdown(report: Report, benchmark: str) -> dict[str, Any]:
    choices = next((one for one in report.choices if one.benchmark == benchmark), None)
    return {
        "by_category": _groups(report, benchmark, "category", "categories"),
        "by_cluster": _groups(report, benchmark, "cluster", "clusters"),
        "choices": None if choices is None else {name: _choices(choices, name) for name in choices.letters},
    }


def _groups(report: Report, benchmark: str, by: str, several: str) -> dict[str, Any] | None:
    for groups in report.by_group:
        if (groups.benchmark, groups.by) == (benchmark, by):
            return {
                "metric": groups.metric,
                several: dict(zip(groups.groups, groups.sizes, strict=True)),
                **{
                    key: {name: dict(zip(groups.groups, means, strict=True)) for name, means in found.items()}
                    for key, found in (("means", groups.means), ("means_if_missing_wrong", groups.bounds))
                },
            }
    return None


def _choices(choices: Choices, system: str) -> dict[str, Any]:
    found, turned = choices.letters[system], choices.rotated.get(system)
    return {
        "verdicts": dict(choices.verdicts[system]),
        "letters_chosen": dict(found.chosen),
        "letters_right": dict(found.right),
        "chi_square": found.chi_square,
        "p_value": found.p_value,
        "rotations": None
        if turned is None
        else {
            "items": turned.items,
            "accuracy": {str(turn): value for turn, value in turned.by_rotation.items()},
            "right_in_every_order": turned.always,
            "right_in_some_order": turned.ever,
        },
    }


def _system(system: SystemSummary) -> dict[str, Any]:
    quality = system.quality
    return {
        "name": system.name,
        "kind": system.kind,
        "provider": system.provider,
        "model": system.model,
        "collection": system.collection,
        **_cell(system.overall),
        "metrics": {name: _metric(result) for name, result in system.metrics.items()},
        "cost": _cost(system.overall.cost, system),
        "quality": None
        if quality is None
        else {
            "metrics": list(quality.metrics),
            "mean": quality.mean,
            "mean_if_missing_wrong": quality.mean_if_missing_wrong,
            "ci_low": quality.low,
            "ci_high": quality.high,
        },
        "pareto": system.pareto,
        "pareto_probability": system.pareto_probability,
        "benchmarks": {
            name: {**_cell(cell), "cost": _cost(cell.cost)} for name, cell in system.benchmarks.items()
        },
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "samples": cell.samples,
        "received": cell.received,
        "scored": cell.scored,
        "outcomes": dict(cell.outcomes),
        "cached": cell.cached,
        "latency": _latency(cell.latency),
    }


def _metric(result: MetricResult) -> dict[str, Any]:
    estimate = result.estimate
    return {
        "mean": estimate.mean if estimate else None,
        "ci_low": estimate.low if estimate else None,
        "ci_high": estimate.high if estimate else None,
        "n": result.n,
        "total": result.total,
        "not_applicable": result.not_applicable,
        "mean_if_missing_wrong": result.mean_if_missing_wrong,
        "interval": estimate.method if estimate else "none",
        "standard_error": estimate.se if estimate else None,
        "reasons": dict(result.reasons),
    }


def _cost(cost: Cost, system: SystemSummary | None = None) -> dict[str, Any]:
    price = system.price if system else None
    plain: dict[str, Any] = {
        "total_usd": money(cost.total),
        "per_1k_samples_usd": money(cost.per_1k_samples),
        "per_1k_samples_interval_usd": _bounds(cost.per_1k_interval, money),
        "priced_replies": cost.replies,
        "unpriced_replies": cost.unpriced,
    }
    if system is not None:
        plain["per_correct_usd"] = _money_estimate(cost.per_correct)
        plain["blended_per_mtok_usd"] = money(price.blended_per_mtok) if price else None
        plain["price_kind"] = price.kind if price else None
        plain["price_source"] = price.source if price else None
        plain["price_as_of"] = price.as_of if price else None
        plain["usd_per_hour_assumed"] = money(price.usd_per_hour) if price else None
    return plain


def _money_estimate(estimate: Estimate | None) -> Mapping[str, str | None] | None:
    if estimate is None:
        return None
    return {
        "mean": money(estimate.mean),
        "ci_low": money(estimate.low),
        "ci_high": money(estimate.high),
    }


def _bounds(found: tuple[float, float] | None, form: Callable[[float], T]) -> dict[str, T] | None:
    return None if found is None else {"ci_low": form(found[0]), "ci_high": form(found[1])}


def money(value: Decimal | float | None) -> str | None:
    """Return at most 12 decimals without an exponent: a fraction of a cent per token needs them."""
    if value is None:
        return None
    plain = f"{Decimal(str(value)):.12f}"
    return plain.rstrip("0").rstrip(".")


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "n": latency.n,
        "ttft_ms": {"p50": latency.ttft_p50, "p95": latency.ttft_p95},
        "total_ms": {"p50": latency.total_p50, "p95": latency.total_p95},
        "total_p50_interval_ms": _bounds(latency.total_p50_interval, float),
        "output_tokens_per_s": {"p50": latency.output_tokens_per_s_p50},
        "concurrency": list(latency.concurrency) if latency.concurrency else None,
    }
