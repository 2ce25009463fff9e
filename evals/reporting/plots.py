"""Scatter plots of quality against cost and against waiting time, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from evals.reporting.labels import Box, place_labels
from evals.reporting.palette import FAINT, INK, PAPER, style_of
from evals.reporting.svg import Size, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Point", "Scatter", "is_numbered", "scatter_svg"]

_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A system in a scatter plot; `x` is None where it is unknown.

    `least` is what holds if all that is missing were wrong, None where nothing is missing.
    """

    system: str
    x: float | None
    y: float
    low: float | None
    high: float | None
    x_interval: tuple[float, float] | None = None
    least: float | None = None

    @property
    def sure(self) -> float:
        """The quality that counts for the front."""
        return self.y if self.least is None else self.least


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """What to draw. `tick` writes a value of the x axis; `systems` fixes the colours across plots."""

    title: str
    x_label: str
    y_label: str
    points: Sequence[Point]
    systems: Sequence[str]
    tick: Callable[[float], str]
    zero_label: str = "free"


def is_numbered(plot: Scatter, size: Size) -> bool:
    """Return whether points bear numbers, the places of their systems: there is no room for many names."""
    return size.width < 500 and len(plot.points) > _MOST_NAMED


def scatter_svg(plot: Scatter, size: Size, prefix: str) -> str:
    """Return the plot as an `<svg>` element: intervals, Pareto front, a label at each point.

    The x axis is logarithmic. Points at zero stand in a strip of their own on the left, those whose x is
    unknown in one on the right.

    Args:
        plot: what to draw.
        size: WIDE or NARROW.
        prefix: put before each id in the SVG, so that several fit on one page.
    """
    return svg_of(lambda figure: _draw(figure, plot, size), size, plot.title, prefix)


def _draw(figure: Figure, plot: Scatter, size: Size) -> None:
    panels = _panels(figure, plot, size)
    bottom, top = _y_range(plot.points)
    places: list[tuple[float, float]] = []
    for kind, axes in panels.items():
        members = [p for p in plot.points if _kind(p) == kind]
        ends = [x for p in members if p.x for x in (p.x, *(p.x_interval or ())) if x > 0]
        _dress(axes, kind, ends, plot, wide=size.width > 500)
        axes.set_ylim(bottom, top)
        for number, point in enumerate(members):
            x = point.x if kind == "known" and point.x else (number + 1) / (len(members) + 1)
            _mark(axes, x, point, plot, known=kind == "known")
    figure.canvas.draw()
    for kind, axes in panels.items():
        members = [p for p in plot.points if _kind(p) == kind]
        for number, point in enumerate(members):
            x = point.x if kind == "known" and point.x else (number + 1) / (len(members) + 1)
            across, up = axes.transData.transform((x, point.y))
            places.append((float(across), float(up)))
    lines = _front(panels["known"], plot.points) if "known" in panels else []
    lines += _bars(panels["known"], plot.points) if "known" in panels else []
    ordered = [p for kind in panels for p in plot.points if _kind(p) == kind]
    place_labels(
        figure,
        list(panels.values()),
        ordered,
        places,
        systems=plot.systems,
        lines=lines,
        numbered=is_numbered(plot, size),
    )


def _kind(point: Point) -> str:
    if point.x is None:
        return "unknown"
    return "known" if point.x > 0 else "zero"


def _panels(figure: Figure, plot: Scatter, size: Size) -> dict[str, Axes]:
    """Return the axes from left to right: a strip for zero, the log axis, a strip for unknown."""
    kinds = [kind for kind in ("zero", "known", "unknown") if any(_kind(p) == kind for p in plot.points)]
    wide = size.width > 500
    strip = max(0.12, 44 / size.width)
    widths = [1.0 if kind == "known" else (strip if "known" in kinds else 1.0) for kind in kinds]
    left, right = (58 if wide else 46) / size.width, 1 - (14 if wide else 24) / size.width
    grid = figure.add_gridspec(
        1,
        max(1, len(kinds)),
        width_ratios=widths or [1.0],
        left=left,
        right=right,
        bottom=size.font * (4.4 if wide else 5.6) / size.height,
        top=1 - (size.font * 2.2) / size.height,
        wspace=0.04 if wide else 0.07,
    )
    panels: dict[str, Axes] = {}
    for number, kind in enumerate(kinds):
        panels[kind] = figure.add_subplot(grid[0, number])
        if number:
            panels[kind].tick_params(labelleft=False, left=False)
    if panels:
        figure.text(left, 1 - size.font * 0.5 / size.height, plot.y_label, ha="left", va="top")
        figure.text((left + right) / 2, size.font * 0.5 / size.height, plot.x_label, ha="center", va="bottom")
    return panels


def _dress(axes: Axes, kind: str, values: Sequence[float], plot: Scatter, *, wide: bool) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axes.set_facecolor("none")
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.6, alpha=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if kind != "known":
        axes.set_xlim(0, 1)
        # On a narrow plot the strips' names go a line lower, clear of the figures between them.
        name = plot.zero_label if kind == "zero" else "unknown"
        axes.set_xticks([0.5], [name if wide else f"\n{name}"])
        axes.tick_params(bottom=False)
        axes.spines["left"].set_linestyle((0, (2, 3)))
        return
    low, high = min(values), max(values)
    middle, span = math.sqrt(low * high), max(math.log10(high / low), 0.9)
    reach = 10 ** (span / 2 + 0.18 * span)
    axes.set_xscale("log")
    axes.set_xlim(middle / reach, middle * reach)
    decades = math.log10(reach * reach)
    steps = (1.0, 2.0, 5.0) if decades < (3 if wide else 1.4) else (1.0, 3.0) if decades < 2.2 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=steps, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plot.tick(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, axis="x", color=FAINT, linewidth=0.6, alpha=0.5)


def _mark(axes: Axes, x: float, point: Point, plot: Scatter, *, known: bool) -> None:
    colour, marker = style_of(plot.systems, point.system)
    if point.low is not None and point.high is not None:
        axes.vlines(x, point.low, point.high, color=colour, linewidth=2.2, alpha=0.55)
    if known and point.x_interval is not None and point.x_interval[0] > 0:
        axes.hlines(point.y, *point.x_interval, color=colour, linewidth=2.2, alpha=0.55)
    hollow = point.least is not None
    if point.least is not None:
        axes.vlines(x, point.least, point.y, color=colour, linewidth=1.4, linestyle=(0, (1, 1.6)))
        axes.plot([x], [point.least], marker="_", markersize=9, color=colour, markeredgewidth=1.8)
    fill, edge = (PAPER, colour) if hollow else (colour, PAPER)
    axes.plot(
        [x],
        [point.y],
        marker=marker,
        markersize=8 if hollow else 9,
        markerfacecolor=fill,
        markeredgecolor=edge,
        markeredgewidth=1.8 if hollow else 1.0,
        zorder=5,
    )


def _bars(axes: Axes, points: Sequence[Point]) -> list[Box]:
    """Return where the intervals along the x axis run, in pixels."""
    boxes = []
    for point in points:
        if point.x and point.x_interval is not None and point.x_interval[0] > 0:
            (left, y), (right, _) = (axes.transData.transform((x, point.y)) for x in point.x_interval)
            boxes.append((float(left) - 3, float(y) - 2, float(right) + 3, float(y) + 2))
    return boxes


def _front(axes: Axes, points: Sequence[Point]) -> list[Box]:
    """Draw the best quality to be had up to each x, and return where the line runs, in pixels.

    It starts from the best that costs nothing.
    """
    best = max((p.sure for p in points if p.x == 0), default=None)
    left, right = axes.get_xlim()
    corners = [] if best is None else [(left, best)]
    for point in sorted((p for p in points if p.x), key=lambda p: (p.x or 0.0, -p.sure)):
        if best is None or point.sure > best:
            if best is not None:
                corners.append((float(point.x or 0.0), best))
            corners.append((float(point.x or 0.0), point.sure))
            best = point.sure
    if not corners or best is None:
        return []
    corners.append((right, best))
    axes.plot(
        [x for x, _ in corners],
        [y for _, y in corners],
        color=INK,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        alpha=0.7,
        zorder=1,
    )
    pixels = [tuple(map(float, axes.transData.transform(corner))) for corner in corners]
    return [
        (min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
        for a, b in pairwise(pixels)
    ]


def _y_range(points: Sequence[Point]) -> tuple[float, float]:
    lows = [min(p.sure, p.y if p.low is None else p.low) for p in points]
    highs = [p.y if p.high is None else p.high for p in points]
    low, high = min(lows, default=0.0), max(highs, default=1.0)
    margin = max(0.04, 0.08 * (high - low))
    return low - margin, high + margin
