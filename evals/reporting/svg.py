"""What matplotlib draws, as inline SVG that follows its page.

Plots are drawn twice, wide and narrow, so that their text has a readable size on either screen. Colours of
ink, grid and paper are CSS variables of the page, so that plots follow its dark mode.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evals.reporting.palette import FAINT, INK, VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NARROW", "WIDE", "Size", "svg_of"]

_FONT = "DejaVu Sans"
_DPI = 72
_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Width and height in CSS pixels, and the size of text in them."""

    width: int
    height: int
    font: int


WIDE = Size(width=1060, height=440, font=13)
NARROW = Size(width=340, height=400, font=12)


def svg_of(draw: Callable[[Figure], None], size: Size, title: str, prefix: str) -> str:
    """Return what `draw` draws as an `<svg>` element that follows the page's colours.

    Args:
        draw: fills the empty figure it is given.
        size: WIDE or NARROW.
        title: what a screen reader says.
        prefix: put before each id in the SVG, so that several fit on one page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: dict[str, Any] = {
        "font.family": _FONT,
        "font.size": size.font,
        "svg.fonttype": "none",
        "svg.hashsalt": "ragassay",
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "axes.linewidth": 1.0,
    }
    # matplotlib's settings are global to the process: reports drawn in two threads must not mix them.
    with _lock, mpl.rc_context(settings):
        figure = Figure(figsize=(size.width / _DPI, size.height / _DPI), dpi=_DPI)
        FigureCanvasAgg(figure)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(buffer.getvalue(), title, prefix)


def _inline(svg: str, title: str, prefix: str) -> str:
    """Make the SVG fit for a page: no prologue, ids of its own, CSS colours, a name for screen readers."""
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = svg.replace(f"'{_FONT}'", "inherit").replace(_FONT, "inherit")
    svg = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt" height="([\d.]+)pt"', r"\1", svg, count=1)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    name = escape(title, quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{name}"', 1).strip()
