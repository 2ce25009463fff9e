"""Names beside the points of a plot, placed so that they hit neither each other nor a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from evals.reporting.palette import PAPER, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Box", "place_labels"]

Box: TypeAlias = tuple[float, float, float, float]

_NEAR, _RING, _RINGS = 11.0, 13.0, 7
# Right, left, above, below, the corners, and half-way up and down the sides.
_DIRECTIONS: tuple[tuple[float, float], ...] = (
    *((1, 0), (-1, 0), (0, 1), (0, -1)),
    *((1, 1), (1, -1), (-1, 1), (-1, -1)),
    *((1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5)),
)


class _Named(Protocol):
    @property
    def system(self) -> str: ...

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...

    @property
    def sure(self) -> float: ...


def place_labels(
    figure: Figure,
    panels: Sequence[Axes],
    points: Sequence[_Named],
    places: Sequence[tuple[float, float]],
    *,
    systems: Sequence[str],
    lines: Sequence[Box] = (),
    numbered: bool = False,
) -> None:
    """Write each point's name at the first free spot around it, nearest first; far ones get a leader line.

    Args:
        figure: already drawn once, so that text can be measured.
        panels: its axes; names stay inside their point's where they fit, else inside the common frame.
        points: what to name, in the order of `places`.
        places: where they are, in pixels of the figure.
        systems: fixes the colours.
        lines: other things to keep clear of, in pixels.
        numbered: write the place among `systems` in place of the name, from 1.
    """
    if not points:
        return
    frames = [_frame([axes]) for axes in panels]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    taken += [_whisker(panels, point, place) for point, place in zip(points, places, strict=True)]
    taken += lines
    edges = [_edge(axes) for axes in panels[1:]]
    for point, (x, y) in zip(points, places, strict=True):
        name = str(list(systems).index(point.system) + 1) if numbered else point.system
        width, height = _measure(figure, name)
        # A name that strays into the next panel would seem to stand for a value there.
        own = next((one for one in frames if one[0] - 3 <= x <= one[2] + 3), None)
        fits = own is not None and own[2] - own[0] >= width
        frame, walls = (own, edges) if own is not None and fits else (_frame(panels), [])
        box = _spot((x, y), (width, height), frame, [*taken, *walls])
        taken.append(box)
        _write(figure, name, (x, y), box, style_of(systems, point.system)[0])


def _spot(place: tuple[float, float], size: tuple[float, float], frame: Box, taken: Sequence[Box]) -> Box:
    best: tuple[float, Box] | None = None
    for ring in range(_RINGS):
        reach = _NEAR + ring * _RING
        for across, up in _DIRECTIONS:
            box = _box(place, size, (across * reach, up * reach), (across, up))
            cost = sum(_overlap(box, other) for other in taken) + 40 * _outside(box, frame)
            if cost == 0:
                return box
            if best is None or cost < best[0]:
                best = (cost, box)
    assert best is not None
    return best[1]


def _box(
    place: tuple[float, float],
    size: tuple[float, float],
    shift: tuple[float, float],
    side: tuple[float, float],
) -> Box:
    x, y = place[0] + shift[0], place[1] + shift[1]
    left = x if side[0] > 0 else x - size[0] if side[0] < 0 else x - size[0] / 2
    bottom = y if side[1] == 1 else y - size[1] if side[1] == -1 else y - size[1] / 2
    return left, bottom, left + size[0], bottom + size[1]


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Box, frame: Box) -> float:
    return sum(
        max(0.0, gap) for gap in (frame[0] - box[0], frame[1] - box[1], box[2] - frame[2], box[3] - frame[3])
    )


def _frame(panels: Sequence[Axes]) -> Box:
    boxes = [axes.get_window_extent() for axes in panels]
    return (
        min(box.x0 for box in boxes) + 2,
        min(box.y0 for box in boxes) + 2,
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )


def _edge(axes: Axes) -> Box:
    box = axes.get_window_extent()
    return box.x0 - 2, box.y0, box.x0 + 2, box.y1


def _whisker(panels: Sequence[Axes], point: _Named, place: tuple[float, float]) -> Box:
    x, y = place
    data = panels[0].transData
    known = [value for value in (point.low, point.high, point.sure) if value is not None]
    ends = [y, *(float(data.transform((1.0, value))[1]) for value in known)]
    return x - 2, min(ends), x + 2, max(ends)


def _measure(figure: Figure, name: str) -> tuple[float, float]:
    from matplotlib.text import Text

    text = Text(0, 0, name, figure=figure)
    extent = text.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    return float(extent.width) + 4, float(extent.height) + 3


def _write(figure: Figure, name: str, place: tuple[float, float], box: Box, colour: str) -> None:
    from matplotlib.lines import Line2D

    x, y = place
    nearest = (min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3]))
    to_figure = figure.transFigure.inverted().transform
    if abs(nearest[0] - x) + abs(nearest[1] - y) > _NEAR + _RING:
        (x0, y0), (x1, y1) = to_figure((x, y)), to_figure(nearest)
        figure.add_artist(Line2D([x0, x1], [y0, y1], color=colour, linewidth=0.8, alpha=0.8))
    across, up = to_figure(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.5}
    figure.text(across, up, name, ha="center", va="center_baseline", bbox=paper)
