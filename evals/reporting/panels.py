"""What the page draws beside tables and plots: matrix, bars, strips, heat map, letters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.metrics.catalog import metric_info
from evals.reporting import text
from evals.reporting.breakdown import ByGroup, Choices
from evals.reporting.model import Comparison, Report, SystemSummary
from rag.core import Outcome

__all__ = [
    "Bar",
    "Heat",
    "Letters",
    "Matrix",
    "Square",
    "Strip",
    "heat_map",
    "leading_matrices",
    "letter_panel",
    "matrix",
    "outcome_bars",
    "strips",
]

_TONES = {
    "ok": "#3b8f5a", "length": "#e0b13c", "refusal": "#c98bdb",
    "correct": "#3b8f5a", "wrong": "#b9c0c8", "unparsed": "#e0b13c", "refused": "#c98bdb",
    "failed": "#d55e00",
}  # fmt: skip
_OWN, _INFRASTRUCTURE, _ABSENT = "#d55e00", "#7a3b6b", "transparent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Square:
    """A cell of the matrix: row minus column; `state` is better, worse, even or none."""

    state: str
    difference: str
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """Every system against every other in one metric."""

    metric: str
    names: tuple[str, ...]
    rows: tuple[tuple[Square | None, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A stacked bar: (label, count, percent, colour) from left to right."""

    name: str
    parts: tuple[tuple[str, int, float, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """Waiting times on a log scale: places in percent of the 5th, 25th, 50th, 75th and 95th percentile."""

    name: str
    places: tuple[float, ...]
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """A heat map: rows are groups; a cell is (text, share of the darkest tone, what holds at least)."""

    title: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, float | None, str], ...]], ...]

    @property
    def partial(self) -> bool:
        """True where a cell misses some of its samples."""
        return any(least for _, cells in self.rows for _, _, least in cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Letters:
    """How often each letter was chosen and was right; heights in percent of the most frequent."""

    name: str
    bars: tuple[tuple[str, int, int, float, float], ...]
    verdict: str


def matrix(comparisons: Sequence[Comparison], metric: str, names: Sequence[str]) -> Matrix:
    """Return the comparisons in `metric` as rows and columns of systems."""
    found: dict[tuple[str, str], Square] = {}
    for c in comparisons:
        if c.metric == metric:
            found[c.a, c.b] = _square(c, c.difference, c.a, c.b)
            found[c.b, c.a] = _square(c, -c.difference, c.b, c.a)
    rows = tuple(tuple(found.get((row, column)) for column in names) for row in names)
    return Matrix(metric=metric, names=tuple(names), rows=rows)


def _square(comparison: Comparison, difference: float, first: str, second: str) -> Square:
    better = metric_info(comparison.metric.partition("/")[2]).higher_is_better
    gain = difference if better else -difference
    state = "even" if not comparison.significant or gain == 0 else "better" if gain > 0 else "worse"
    sure = "beyond chance" if comparison.significant else "within chance"
    title = (
        f"{first} − {second}: {text.signed(difference)}, {sure}, p {text.p_equals(comparison.p_adjusted)}, "
        f"{text.plural(comparison.n, 'sample')}"
    )
    return Square(state=state, difference=text.signed(difference), title=title)


def outcome_bars(systems: Sequence[SystemSummary]) -> list[Bar]:
    """Return how the calls of each system ended."""
    bars = []
    for system in systems:
        absent = system.overall.samples - system.overall.received
        counts = {**system.overall.outcomes, **({"no reply yet": absent} if absent > 0 else {})}
        bars.append(_bar(system.name, counts))
    return bars


def _bar(name: str, counts: Mapping[str, int]) -> Bar:
    total = sum(counts.values()) or 1
    parts = tuple((label, n, round(100 * n / total, 3), _tone(label)) for label, n in counts.items() if n)
    return Bar(name=name, parts=parts)


def _tone(label: str) -> str:
    if label in _TONES:
        return _TONES[label]
    if label not in {str(outcome) for outcome in Outcome}:
        return _ABSENT
    return _OWN if Outcome(label).own_failure else _INFRASTRUCTURE


def strips(systems: Sequence[SystemSummary]) -> tuple[list[Strip], list[tuple[float, str]]]:
    """Return a strip for each system that was timed, and the ticks of their common scale."""
    known = [(s, s.overall.latency.total_quantiles) for s in systems if s.overall.latency.total_quantiles]
    ends = [max(1e-3, value) for _, quantiles in known for value in (quantiles[0], quantiles[-1])]
    if not ends:
        return [], []
    low, high = math.floor(math.log10(min(ends))), math.ceil(math.log10(max(ends)))
    span = max(1, high - low)

    def place(value: float) -> float:
        return round(100 * (math.log10(max(1e-3, value)) - low) / span, 2)

    def label(quantiles: Sequence[float]) -> str:
        least, _, middle, _, most = map(text.duration, quantiles)
        return f"{middle} ({least} to {most})"

    found = [
        Strip(
            name=system.name,
            places=tuple(place(value) for value in quantiles),
            label=label(quantiles),
        )
        for system, quantiles in known
    ]
    step = 1 if span <= 4 else 2
    ticks = [
        (round(100 * (n - low) / span, 2), text.duration(10.0**n)) for n in range(low, low + span + 1, step)
    ]
    return found, ticks


def heat_map(groups: ByGroup, names: Sequence[str]) -> Heat:
    """Return the map with the groups in their order and a column for each system."""
    rows = tuple(
        (
            f"{group} ({groups.sizes[place]})",
            tuple(_warmth(groups.means[name][place], groups.bounds[name][place]) for name in names),
        )
        for place, group in enumerate(groups.groups)
    )
    by = "category" if groups.by == "category" else "subject or document"
    return Heat(title=f"{groups.benchmark}/{groups.metric} by {by}", names=tuple(names), rows=rows)


def _warmth(mean: float | None, bound: float | None) -> tuple[str, float | None, str]:
    return text.score(mean), mean, text.at_worst(mean, bound)


def letter_panel(choices: Choices, names: Sequence[str]) -> tuple[list[Bar], list[Letters]]:
    """Return what became of the replies, and which letters were chosen, system by system."""
    shown = [name for name in names if name in choices.letters]
    kinds = ("correct", "wrong", "unparsed", "refused", "failed", "not measured")
    bars = [_bar(name, {kind: choices.verdicts[name].get(kind, 0) for kind in kinds}) for name in shown]
    return bars, [_letters(choices, name) for name in shown if choices.letters[name].n]


def _letters(choices: Choices, name: str) -> Letters:
    found = choices.letters[name]
    most = max(*found.chosen.values(), *found.right.values(), 1)
    bars = tuple(
        (letter, n, found.right[letter], round(100 * n / most, 1), round(100 * found.right[letter] / most, 1))
        for letter, n in found.chosen.items()
    )
    words = "too few replies to test"
    if found.p_value is not None:
        habit = "some letters are favoured" if found.p_value < 0.05 else "no letter is favoured beyond chance"
        words = f"chi-square {found.chi_square:.1f}, p {text.p_equals(found.p_value)}: {habit}"
    if (turned := choices.rotated.get(name)) is not None:
        orders = ", ".join(text.score(value) for value in turned.by_rotation.values())
        words += (
            f". Accuracy by order of options: {orders}; right in every order {text.score(turned.always)}, "
            f"in at least one {text.score(turned.ever)}"
        )
    return Letters(name=name, bars=bars, verdict=words)


def leading_matrices(report: Report, metrics: Sequence[str], names: Sequence[str]) -> list[Matrix]:
    """Return a matrix for each of `metrics` in which something was compared."""
    compared = {comparison.metric for comparison in report.comparisons}
    return [matrix(report.comparisons, metric, names) for metric in metrics if metric in compared]
