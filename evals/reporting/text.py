"""Numbers as people read them, the same in every format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from evals.core import Score
from evals.reporting.model import Latency

__all__ = [
    "UNKNOWN",
    "at_worst",
    "by_judge",
    "concurrency",
    "count",
    "difference",
    "duration",
    "durations",
    "interval",
    "listed",
    "money",
    "outcomes",
    "p_equals",
    "p_value",
    "plural",
    "score",
    "short",
    "signed",
]

UNKNOWN = "unknown"
_NONE = "–"


def score(value: float | None) -> str:
    """Return a score in 0..1 with three decimals."""
    return _NONE if value is None else f"{value:.3f}"


def short(value: float | None) -> str:
    """Return a score in 0..1 with two decimals and no leading zero, for narrow cells."""
    return _NONE if value is None else f"{value:.2f}".removeprefix("0")


def at_worst(mean: float | None, bound: float | None) -> str:
    """Return `≥ 0.312`, `≤ 0.312` where less is better, where what is missing could worsen a mean.

    Args:
        mean: over what was measured.
        bound: the mean if all that is missing were wrong.
    """
    if mean is None or bound is None or abs(mean - bound) < 1e-12:
        return ""
    return f"{'≥' if bound < mean else '≤'} {score(bound)}"


def by_judge(given: Score) -> str:
    """Return ` (a 0.700, b 0.900)` where several judges gave a score, else nothing."""
    if given.by_judge is None or len(given.by_judge) < 2:
        return ""
    said = (
        f"{judge} {found.removeprefix('judge: ') if isinstance(found, str) else score(found)}"
        for judge, found in given.by_judge.items()
    )
    return f" ({', '.join(said)})"


def signed(value: float | None) -> str:
    """Return a difference with its sign; a true minus, so that it lines up with a plus."""
    if value is None:
        return _NONE
    rounded = round(value, 3) or 0.0  # no -0.000
    return f"{rounded:+.3f}".replace("-", "−") if rounded else "0.000"


def interval(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """Return `0.312–0.458`, or `−0.02 to +0.13` for differences; a dash where there is none."""
    if low is None or high is None:
        return _NONE
    return f"{signed(low)} to {signed(high)}" if sign else f"{score(low)}–{score(high)}"


def difference(value: float, low: float | None, high: float | None, *, alike: str = "no interval") -> str:
    """Return `+0.120 (−0.02 to +0.26)`; `alike` instead of the interval where there is none."""
    bounds = alike if low is None or high is None else interval(low, high, sign=True)
    return f"{signed(value)} ({bounds})"


def p_value(value: float) -> str:
    """Return a p-value with three decimals; `<0.001` below."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def p_equals(value: float) -> str:
    """Return `= 0.023`, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def money(value: Decimal | float | None) -> str:
    """Return dollars with three significant digits, at least two decimals; `unknown` for None."""
    if value is None:
        return UNKNOWN
    amount = Decimal(str(value)) if isinstance(value, float) else value
    if amount == 0:
        return "$0"
    decimals = min(12, max(2, 2 - amount.adjusted()))
    whole, _, cents = f"{amount:,.{decimals}f}".partition(".")
    return f"${whole}.{cents[:2]}{cents[2:].rstrip('0')}"


def durations(first: float | None, second: float | None) -> str:
    """Return `462 / 668 ms`: two waiting times, the unit once where it is the same."""
    if first is None or second is None:
        return duration(first)
    low, high = duration(first), duration(second)
    value, _, unit = low.rpartition(" ")
    return f"{value} / {high}" if value and high.endswith(f" {unit}") else f"{low} / {high}"


def duration(milliseconds: float | None) -> str:
    """Return a waiting time with about three significant digits, in ms or s; `unknown` for None."""
    if milliseconds is None:
        return UNKNOWN
    seconds = milliseconds / 1000
    if seconds >= 1:
        decimals = 2 if seconds < 10 else 1 if seconds < 100 else 0
        return f"{seconds:,.{decimals}f}".removesuffix(".0").removesuffix(".00") + " s"
    return f"{milliseconds:.1f}".removesuffix(".0") + " ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def concurrency(latency: Latency) -> str:
    """Return how many calls were in flight: `1`, or `1–16`."""
    if latency.concurrency is None:
        return _NONE
    low, high = latency.concurrency
    return str(low) if low == high else f"{low}–{high}"


def count(n: int, total: int) -> str:
    """Return the coverage `n/total`."""
    return f"{n}/{total}"


def listed(names: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def outcomes(found: Mapping[str, int]) -> str:
    """Return `ok 80, timeout 4`."""
    return ", ".join(f"{name} {n}" for name, n in found.items()) or "none"


def plural(n: int, noun: str) -> str:
    """Return `1 reply`, `2 replies`."""
    if n == 1:
        return f"1 {noun}"
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{n:,} {many}"
