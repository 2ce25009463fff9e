"""A report as one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from evals.metrics.catalog import metric_info, of_retrieval
from evals.reporting import text
from evals.reporting.judge_tables import judge_tables
from evals.reporting.layout import (
    comparison_tables,
    cost_table,
    gate_tables,
    latency_table,
    leaderboard,
    leading_metrics,
    outcome_table,
    ranked,
)
from evals.reporting.methods import difference_methods, interval_methods
from evals.reporting.model import BenchmarkSummary, Cell, Comparison, MetricResult, Report
from evals.reporting.palette import style_of
from evals.reporting.panels import heat_map, leading_matrices, letter_panel, outcome_bars, strips
from evals.reporting.plots import Point, Scatter, is_numbered, scatter_svg
from evals.reporting.svg import NARROW, WIDE

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["page_template", "render_html"]

_NEUTRAL = "var(--soft)"
_MOST_JOINED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bar:
    """A row of a forest plot: the interval's place on the scale 0..1 in percent, and its figures.

    `bound` is the place of the mean if all that is missing were wrong, None where nothing is.
    """

    name: str
    colour: str
    left: float | None
    width: float | None
    point: float | None
    mean: str
    interval: str
    n: str
    bound: float | None
    remark: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Figure:
    """A plot in both sizes; `numbers` name the points of the narrow one where it has no room for names."""

    title: str
    wide: str
    narrow: str
    numbers: tuple[tuple[int, str, str], ...] = ()


def render_html(report: Report) -> str:
    """Return the page. Everything that came from models, documents or configs is escaped.

    What UTF-8 cannot say, such as half of a surrogate pair, is a question mark.
    """
    order = [system.name for system in ranked(report)]
    leading = set(leading_metrics(report))
    strips_drawn, ticks = strips(ranked(report))
    script = _script()
    rest = [comparison for comparison in report.comparisons if comparison.metric not in leading]
    page = page_template("template.html").render(
        report=report,
        systems=ranked(report),
        colour={name: style_of(order, name)[0] for name in order},
        leaderboard=leaderboard(report),
        figures=_figures(report, order),
        hollow=_incomplete(report),
        forests=[(benchmark, _forest(report, benchmark, order)) for benchmark in report.benchmarks],
        comparisons=comparison_tables(
            [c for c in report.comparisons if c.metric in leading], report.calibration
        ),
        more_comparisons=comparison_tables(_telling(rest), report.calibration),
        tables=[latency_table(report), cost_table(report), outcome_table(report), *judge_tables(report)],
        gates=gate_tables(report),
        matrices=leading_matrices(report, leading_metrics(report), order),
        heats=[heat_map(groups, order) for groups in report.by_group],
        letters=[(one.benchmark, *letter_panel(one, order)) for one in report.choices],
        outcome_bars=outcome_bars(ranked(report)),
        strips=strips_drawn,
        ticks=ticks,
        script=script,
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        interval_methods=interval_methods(report),
        difference_methods=difference_methods(report),
        spec=_yaml(report.spec),
        text=text,
    )
    return page.encode("utf-8", "replace").decode()


@cache
def page_template(name: str, package: str = "evals.reporting") -> Template:
    """Return a page's template, which may use `style.css` and the tables of `cells.html` of this package.

    Args:
        name: the template's file.
        package: where it lies.
    """
    from importlib import resources

    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def read(asked: str) -> str:
        place = package if asked == name else "evals.reporting"
        return resources.files(place).joinpath(asked).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


@cache
def _script() -> str:
    from importlib import resources

    return resources.files("evals.reporting").joinpath("page.js").read_text(encoding="utf-8")


def _telling(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Leave out metrics in which no two systems differ: all saw the same passages."""
    differing = {c.metric for c in comparisons if c.difference != 0}
    return [c for c in comparisons if c.metric in differing]


def _figures(report: Report, order: Sequence[str]) -> list[_Figure]:
    figures = []
    for number, benchmark in enumerate(report.benchmarks):
        if benchmark.leading is None:
            continue
        name = f"{benchmark.name}/{benchmark.leading}"
        cost = _points(report, benchmark, order, _cost)
        time = _points(report, benchmark, order, _time)
        for kind, points, label, tick in (
            ("cost", cost, "USD per 1,000 samples, log scale", text.money),
            ("time", time, "median time to a whole answer, log scale", text.duration),
        ):
            if not any(point.x for point in points):
                continue  # all are free, or nothing is known: there is no axis to draw
            title = f"{name} against {kind}"
            plot = Scatter(
                title=f"{title}: {_described(points, tick)}",
                x_label=label,
                y_label=name,
                points=points,
                systems=order,
                tick=tick,
            )
            wide, narrow = (
                scatter_svg(plot, size, f"f{number}{kind}{short}")
                for size, short in ((WIDE, "w"), (NARROW, "n"))
            )
            numbers = enumerate(order, start=1) if is_numbered(plot, NARROW) else ()
            legend = tuple((n, system, style_of(order, system)[0]) for n, system in numbers)
            figures.append(_Figure(title=title, wide=wide, narrow=narrow, numbers=legend))
    return figures


def _incomplete(report: Report) -> bool:
    """Return whether a system was measured on only some of the samples of a leading metric."""
    leading = leading_metrics(report)
    found = [system.metrics.get(name) for system in report.systems for name in leading]
    return any(result is not None and result.n < result.total for result in found)


_Place = tuple[float | None, tuple[float, float] | None]


def _cost(cell: Cell) -> _Place:
    per_1k = cell.cost.per_1k_samples
    return None if per_1k is None else float(per_1k), cell.cost.per_1k_interval


def _time(cell: Cell) -> _Place:
    return cell.latency.total_p50, cell.latency.total_p50_interval


def _points(
    report: Report, benchmark: BenchmarkSummary, order: Sequence[str], x: Callable[[Cell], _Place]
) -> list[Point]:
    systems = {system.name: system for system in report.systems}
    points = []
    for name in order:
        result = systems[name].metrics.get(f"{benchmark.name}/{benchmark.leading}")
        if result is not None and result.estimate is not None:
            one = result.estimate
            value, spread = x(systems[name].benchmarks[benchmark.name])
            points.append(
                Point(
                    system=name,
                    x=value,
                    y=one.mean,
                    low=one.low,
                    high=one.high,
                    x_interval=spread,
                    least=result.mean_if_missing_wrong if result.n < result.total else None,
                )
            )
    return points


def _described(points: Sequence[Point], tick: Callable[[float], str]) -> str:
    return "; ".join(
        f"{p.system} {text.score(p.y)} at {text.UNKNOWN if p.x is None else tick(p.x)}" for p in points
    )


def _forest(
    report: Report, benchmark: BenchmarkSummary, order: Sequence[str]
) -> list[tuple[str, str, Sequence[str], list[_Bar]]]:
    """Return for each metric its name, what it measures, its calibration, and a row for each system."""
    systems = {system.name: system for system in report.systems}
    groups: list[tuple[str, str, Sequence[str], list[_Bar]]] = []
    for metric in benchmark.metrics:
        results = [(name, systems[name].metrics.get(f"{benchmark.name}/{metric}")) for name in order]
        bars = [
            _bar(name, style_of(order, name)[0], result) for name, result in results if result is not None
        ]
        if of_retrieval(metric):
            bars = _shared(bars)
        known = report.calibration.get(metric, ())
        groups.append((metric, metric_info(metric).what, known, bars))
    return groups


def _shared(bars: Sequence[_Bar]) -> list[_Bar]:
    """Join the rows of systems that saw the same passages, and so have the same figures."""
    joined: dict[tuple[object, ...], list[_Bar]] = {}
    for bar in bars:
        joined.setdefault((bar.mean, bar.interval, bar.n, bar.remark), []).append(bar)
    groups = [*joined.values()]
    several = sum(len(group) > 1 for group in groups)
    found = []
    for group in groups:
        name = ", ".join(bar.name for bar in group)
        if several == 1 and len(group) > _MOST_JOINED:
            name = f"{'all' if len(groups) == 1 else 'the other'} {len(group)} systems"
        found.append(group[0] if len(group) == 1 else replace(group[0], name=name, colour=_NEUTRAL))
    return found


def _bar(name: str, colour: str, result: MetricResult) -> _Bar:
    estimate = result.estimate
    low, high = (estimate.low, estimate.high) if estimate else (None, None)
    drawn = low is not None and high is not None
    worst = text.at_worst(estimate.mean if estimate else None, result.mean_if_missing_wrong)
    return _Bar(
        name=name,
        colour=colour,
        left=_percent(low) if drawn else None,
        width=max(0.4, _percent(high) - _percent(low)) if drawn else None,
        point=_percent(estimate.mean) if estimate else None,
        mean=text.score(estimate.mean if estimate else None),
        interval=text.interval(low, high),
        n=f"{text.count(result.n, result.total)} {worst}".strip(),
        bound=_percent(result.mean_if_missing_wrong) if worst else None,
        remark=next(iter(result.reasons), "not measured") if estimate is None else "",
    )


def _percent(value: float | None) -> float:
    return round(100 * min(1.0, max(0.0, value or 0.0)), 2)


def _yaml(spec: Any) -> str:
    import yaml

    return yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True, width=96) if spec else ""
