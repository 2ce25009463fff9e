"""The words of a choice: limits, candidates, what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from evals.reporting import text
from evals.reporting.model import Comparison

__all__ = ["Candidate", "Choice", "Limits", "objections"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a system must keep to; None is no limit. `max_p95_ms` bounds the time to a whole answer."""

    min_quality: float | None = None
    max_usd_per_1k: Decimal | None = None
    max_p95_ms: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A system under choice.

    `quality` is what holds if all that is missing were wrong, `mean` that of the `n` of `total` samples
    measured, with its interval. `from_best` compares the best of those that qualify with this one; `tied`
    is True where chance explains the difference, and for the best itself. `unscored` are the metrics of the
    choice in which none of its answers was scored, and why; it has no quality then.
    """

    name: str
    quality: float | None
    mean: float | None
    low: float | None
    high: float | None
    n: int
    total: int
    usd_per_1k: Decimal | None
    total_p50_ms: float | None
    total_p95_ms: float | None
    timed: int
    pareto: bool
    pareto_probability: float | None
    unscored: tuple[str, ...] = ()
    qualifies: bool = False
    reasons: tuple[str, ...] = ()
    from_best: Comparison | None = None
    tied: bool = False

    @property
    def price_and_pace(self) -> tuple[bool, Decimal, float]:
        """Order of the cheaper, then the faster; an unknown price comes last."""
        pace = float("inf") if self.total_p50_ms is None else self.total_p50_ms
        return self.usd_per_1k is None, self.usd_per_1k or Decimal(0), pace


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which system to take: `chosen` is None where none qualifies, `best` has the highest quality.

    `ranking` holds the chosen one, the others that qualify by falling quality, then those that do not.
    `calibration` says of each of `metrics` that a judge stands behind how far it agrees with people.
    """

    run: str
    metrics: tuple[str, ...]
    limits: Limits
    chosen: str | None
    why: str
    ranking: tuple[Candidate, ...]
    best: str | None = None
    calibration: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def objections(candidate: Candidate, limits: Limits) -> tuple[str, ...]:
    """Return why a system does not qualify, in words; nothing where it does."""
    if candidate.quality is None:
        return (f"nothing of it was scored in {text.listed(candidate.unscored)}",)
    if candidate.quality == 0:
        return ("none of its answers was right",)
    return tuple(
        reason
        for reason in (_quality(candidate, limits), _price(candidate, limits), _pace(candidate, limits))
        if reason
    )


def _quality(candidate: Candidate, limits: Limits) -> str:
    least = limits.min_quality
    if least is None or candidate.quality is None or candidate.quality >= least:
        return ""
    found = text.score(candidate.quality)
    if candidate.n < candidate.total:
        missing = text.plural(candidate.total - candidate.n, "missing score")
        found = f"{text.score(candidate.mean)}, but {found} if the {missing} were wrong"
    return f"quality {found}, below {least:g}"


def _price(candidate: Candidate, limits: Limits) -> str:
    most = limits.max_usd_per_1k
    if most is None or (candidate.usd_per_1k is not None and candidate.usd_per_1k <= most):
        return ""
    if candidate.usd_per_1k is None:
        return "its price is unknown"
    return f"{text.money(candidate.usd_per_1k)} per 1,000 samples, above {text.money(most)}"


def _pace(candidate: Candidate, limits: Limits) -> str:
    most = limits.max_p95_ms
    if most is None or (candidate.total_p95_ms is not None and candidate.total_p95_ms <= most):
        return ""
    if candidate.total_p95_ms is None:
        return "its speed is unknown"
    return f"p95 of a whole answer {text.duration(candidate.total_p95_ms)}, above {text.duration(most)}"
