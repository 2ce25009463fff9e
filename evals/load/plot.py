"""Latency and throughput over the load, as inline SVG in the colours of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.reporting import text
from evals.reporting.palette import FAINT, style_of
from evals.reporting.svg import Size, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curves", "Line", "curves_svg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One curve: a value for each level, None where unknown, with the ends of its interval where known."""

    name: str
    values: Sequence[float | None]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """What to draw over the loads `at`, in rising order. `tick` writes a value of the y axis."""

    title: str
    x_label: str
    y_label: str
    at: Sequence[float]
    lines: Sequence[Line]
    tick: Callable[[float], str] = text.duration


def curves_svg(curves: Curves, size: Size, prefix: str) -> str:
    """Return the curves as an `<svg>` element; the y axis starts at 0, the x axis is logarithmic.

    Args:
        curves: what to draw.
        size: WIDE or NARROW of `evals.reporting.svg`.
        prefix: put before each id in the SVG, so that several fit on one page.
    """
    return svg_of(lambda figure: _draw(figure, curves, size), size, curves.title, prefix)


def _draw(figure: Figure, curves: Curves, size: Size) -> None:
    wide = size.width > 500
    axes = figure.add_axes(
        (
            (74 if wide else 58) / size.width,
            size.font * 4.0 / size.height,
            1 - (94 if wide else 72) / size.width,
            1 - size.font * 8.4 / size.height,
        )
    )
    _dress(axes, curves)
    names = [line.name for line in curves.lines]
    for line in curves.lines:
        colour, marker = style_of(names, line.name)
        points = [(x, y) for x, y in zip(curves.at, line.values, strict=True) if y is not None]
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=colour,
            marker=marker,
            markersize=7,
            linewidth=2,
            label=line.name,
        )
        for x, low, high in zip(curves.at, line.lows, line.highs, strict=False):
            if low is not None and high is not None:
                axes.vlines(x, low, high, color=colour, linewidth=2.2, alpha=0.45)
    axes.set_ylim(bottom=0, top=1.06 * axes.get_ylim()[1])
    if len(names) > 1:
        columns = len(names) if wide else 3
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, frameon=False, borderaxespad=0.2
        )
    left = (10 if wide else 4) / size.width
    figure.text(left, 1 - size.font * 0.5 / size.height, curves.y_label, ha="left", va="top")
    figure.text(0.5, size.font * 0.5 / size.height, curves.x_label, ha="center", va="bottom")


def _dress(axes: Axes, curves: Curves) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_facecolor("none")
    axes.grid(visible=True, color=FAINT, linewidth=0.6, alpha=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xscale("log")
    low, high = min(curves.at), max(curves.at)
    axes.set_xlim(low / 1.25, high * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(list(curves.at)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: curves.tick(value)))
