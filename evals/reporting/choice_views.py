"""A choice as text and as JSON."""

from __future__ import annotations

from typing import Any

from evals.reporting import text
from evals.reporting.as_json import comparison_to_json, money
from evals.reporting.calibrated import calibration_lines
from evals.reporting.layout import TableText
from evals.reporting.table import plain_text
from evals.reporting.verdicts import Candidate, Choice

__all__ = ["choice_to_json", "render_choice"]

_FEW_FOR_P95 = 20


def render_choice(choice: Choice, width: int | None = None) -> str:
    """Return which system to take, why, and how each stands."""
    head = [f"Take {choice.chosen}." if choice.chosen else "Take none.", choice.why]
    table = TableText(
        title="Ranking",
        columns=("system", "quality", "95 % interval", "USD per 1k", "p95", "verdict"),
        rows=tuple(_row(choice, candidate) for candidate in choice.ranking),
        words=frozenset({0, 5}),
        notes=(
            f"quality: {text.listed(choice.metrics)}, if all that is missing were wrong",
            *(["interval: of what was measured"] if any(c.n < c.total for c in choice.ranking) else []),
            *_thin(choice),
            *calibration_lines(choice.calibration, choice.metrics),
        ),
    )
    return plain_text(head, [table] if choice.ranking else [], (), width)


def choice_to_json(choice: Choice) -> dict[str, Any]:
    """Return a choice as plain values: money as decimal strings, times in ms, unknown null."""
    limits = choice.limits
    return {
        "run": choice.run,
        "metrics": list(choice.metrics),
        "limits": {
            "min_quality": limits.min_quality,
            "max_usd_per_1k": money(limits.max_usd_per_1k),
            "max_p95_ms": limits.max_p95_ms,
        },
        "chosen": choice.chosen,
        "best_quality": choice.best,
        "why": choice.why,
        "calibration": {name: list(lines) for name, lines in choice.calibration.items()},
        "ranking": [_candidate(candidate) for candidate in choice.ranking],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "qualifies": candidate.qualifies,
        "reasons": list(candidate.reasons),
        "quality_if_missing_wrong": candidate.quality,
        "quality_mean": candidate.mean,
        "ci_low": candidate.low,
        "ci_high": candidate.high,
        "n": candidate.n,
        "total": candidate.total,
        "per_1k_samples_usd": money(candidate.usd_per_1k),
        "total_ms": {"p50": candidate.total_p50_ms, "p95": candidate.total_p95_ms},
        "pareto": candidate.pareto,
        "pareto_probability": candidate.pareto_probability,
        "tied_with_best": candidate.tied,
        "from_best": comparison_to_json(candidate.from_best) if candidate.from_best else None,
    }


def _row(choice: Choice, candidate: Candidate) -> tuple[str, ...]:
    if candidate.reasons:
        verdict = "; ".join(candidate.reasons)
    elif candidate.name == choice.chosen:
        verdict = "taken"
    elif candidate.name == choice.best:
        verdict = "best, within chance"
    else:
        verdict = "within chance of the best" if candidate.tied else "worse beyond chance"
    return (
        candidate.name,
        text.score(candidate.quality),
        text.interval(candidate.low, candidate.high),
        text.money(candidate.usd_per_1k),
        text.duration(candidate.total_p95_ms),
        verdict,
    )


def _thin(choice: Choice) -> list[str]:
    few = [c.name for c in choice.ranking if 0 < c.timed < _FEW_FOR_P95]
    return (
        [f"p95 of fewer than {_FEW_FOR_P95} replies is little more than the slowest: {', '.join(few)}"]
        if few
        else []
    )
