"""Each metric over several runs as one HTML file: a plot a metric, its figures below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.metrics.catalog import metric_info
from evals.reporting import text
from evals.reporting.calibrated import calibration_lines
from evals.reporting.history import History, Series
from evals.reporting.layout import TableText
from evals.reporting.model import MetricResult
from evals.reporting.palette import FAINT, PAPER, style_of
from evals.reporting.svg import NARROW, WIDE, Size, svg_of
from evals.reporting.webpage import page_template

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["render_history_page"]

_SPREAD = 0.07


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """A metric: its plot in both sizes, which systems it holds in which colour, its figures."""

    metric: str
    what: str
    legend: tuple[tuple[str, str], ...]
    wide: str
    narrow: str
    table: TableText


def render_history_page(history: History) -> str:
    """Return the page. Names of runs and systems are escaped; nothing is asked of the network."""
    systems = list(dict.fromkeys(one.system for one in history.series))
    metrics = dict.fromkeys(one.metric for one in history.series)
    return page_template("history.html").render(
        runs=history.runs,
        notes=history.notes,
        panels=[_panel(history, metric, systems, number) for number, metric in enumerate(metrics)],
        text=text,
    )


def _panel(history: History, metric: str, systems: Sequence[str], number: int) -> _Panel:
    series = [one for one in history.series if one.metric == metric]
    info = metric_info(metric.partition("/")[2])
    ends = [one.results[-1] for one in series]
    said = "; ".join(f"{s.system} {_mean(result)} at last" for s, result in zip(series, ends, strict=True))

    def drawn(size: Size, short: str) -> str:
        return svg_of(
            lambda figure: _draw(figure, history, series, systems, size),
            size,
            f"{metric} over {text.plural(len(history.runs), 'run')}: {said}",
            f"h{number}{short}",
        )

    return _Panel(
        metric=metric,
        what=info.what + ("" if info.higher_is_better else "; less is better"),
        legend=tuple((one.system, style_of(systems, one.system)[0]) for one in series),
        wide=drawn(WIDE, "w"),
        narrow=drawn(NARROW, "n"),
        table=_table(history, metric, series),
    )


def _draw(
    figure: Figure, history: History, series: Sequence[Series], systems: Sequence[str], size: Size
) -> None:
    axes = figure.add_subplot()
    wide = size.width > 500
    figure.subplots_adjust(
        left=(52 if wide else 44) / size.width,
        right=1 - 14 / size.width,
        bottom=size.font * 2.6 / size.height,
        top=1 - 12 / size.height,
    )
    for place, one in enumerate(series):
        shift = (place - (len(series) - 1) / 2) * min(_SPREAD, 0.5 / len(series))
        _line(axes, one, style_of(systems, one.system), shift)
    _dress(axes, _dates(history, short=not wide), 8 if wide else 4)


def _line(axes: Axes, one: Series, style: tuple[str, str], shift: float) -> None:
    colour, marker = style
    known = [(place + shift, r) for place, r in enumerate(one.results) if r is not None and r.estimate]
    axes.plot([x for x, _ in known], [_value(r) for _, r in known], color=colour, linewidth=1.4, alpha=0.7)
    for x, result in known:
        estimate = result.estimate
        assert estimate is not None
        if estimate.low is not None and estimate.high is not None:
            axes.vlines(x, estimate.low, estimate.high, color=colour, linewidth=2.2, alpha=0.5)
        hollow = result.n < result.total
        fill, edge = (PAPER, colour) if hollow else (colour, PAPER)
        axes.plot(
            [x],
            [estimate.mean],
            marker=marker,
            markersize=8,
            markerfacecolor=fill,
            markeredgecolor=edge,
            zorder=5,
        )


def _dress(axes: Axes, dates: Sequence[str], most: int) -> None:
    axes.set_facecolor("none")
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.6, alpha=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    count = len(dates)
    axes.set_xlim(-0.6, count - 0.4)
    step = -(-count // most)
    # Counted from the end, so that the latest run has its date.
    places = range((count - 1) % step, count, step)
    axes.set_xticks([*places], [dates[place] for place in places])


def _dates(history: History, *, short: bool) -> list[str]:
    """Return the day of each run, with the time where a day has several; its name where no date is known."""
    days = [created[5:10] if short else created[:10] for _, created in history.runs]
    if len(set(days)) < len(days):
        days = [created[5:16].replace("T", " ") for _, created in history.runs]
    return [day or name for day, (name, _) in zip(days, history.runs, strict=True)]


def _value(result: MetricResult) -> float:
    return result.estimate.mean if result.estimate else float("nan")


def _mean(result: MetricResult | None) -> str:
    return text.score(result.estimate.mean if result and result.estimate else None)


def _table(history: History, metric: str, series: Sequence[Series]) -> TableText:
    rows = [
        (f"{run}\n{created[:16].replace('T', ' ')}".strip(), *(_cell(one.results[place]) for one in series))
        for place, (run, created) in enumerate(history.runs)
    ]
    return TableText(
        title=metric,
        columns=("run", *(one.system for one in series)),
        rows=tuple(reversed(rows)),
        notes=calibration_lines(history.calibration, [metric]),
    )


def _cell(result: MetricResult | None) -> str:
    if result is None:
        return "not measured"
    covered = text.count(result.n, result.total)
    if result.estimate is None:
        return f"{text.score(None)}\n{next(iter(result.reasons), 'no value')}\n{covered}"
    estimate = result.estimate
    least = text.at_worst(estimate.mean, result.mean_if_missing_wrong)
    lines = [text.score(estimate.mean), text.interval(estimate.low, estimate.high)]
    return "\n".join([*lines, f"{covered} {least}".strip()])
