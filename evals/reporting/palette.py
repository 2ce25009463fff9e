"""A colour and a marker for each system, the same in every plot and told apart without colour."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["COLOURS", "FAINT", "INK", "MARKERS", "PAPER", "VARIABLES", "style_of"]

# Stand-ins that no system uses, replaced by CSS variables in the finished SVG.
INK, FAINT, PAPER = "#010203", "#040506", "#070809"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", PAPER: "var(--paper)"}

# Okabe and Ito's palette (2008), safe for colour-blind readers, its yellow and black replaced by tones that
# stand out on white and on dark alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "p", "<", "h")


def style_of(systems: Sequence[str], name: str) -> tuple[str, str]:
    """Return colour and matplotlib marker of a system; with more than eight, colours meet other markers."""
    place = list(systems).index(name)
    turn = place // len(COLOURS)
    return COLOURS[place % len(COLOURS)], MARKERS[(place + 3 * turn) % len(MARKERS)]
