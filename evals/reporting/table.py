"""A report as a table for the terminal."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence

from evals.reporting.judge_tables import judge_tables
from evals.reporting.layout import (
    TableText,
    comparison_tables,
    cost_table,
    gate_tables,
    latency_table,
    leaderboard,
    leading_comparisons,
    metric_tables,
    outcome_table,
)
from evals.reporting.model import Report

__all__ = ["plain_text", "render_table"]

_NARROWEST = 80
_LONG_NAME = 24


def render_table(report: Report, width: int | None = None) -> str:
    """Return the report as plain text; paired differences of the leading metrics only.

    Args:
        report: the numbers.
        width: in columns; by default the terminal's, at least 80 and at most 120.
    """
    tables = [leaderboard(report), *gate_tables(report), *metric_tables(report)]
    tables += comparison_tables(leading_comparisons(report), report.calibration)
    tables += [latency_table(report), cost_table(report), outcome_table(report), *judge_tables(report)]
    head = [f"Run {report.run}, {report.created or 'date unknown'}", *(f"- {s}" for s in report.summary)]
    return plain_text(head, tables, report.warnings, width)


def plain_text(
    head: Sequence[str], tables: Sequence[TableText], warnings: Sequence[str], width: int | None = None
) -> str:
    """Return lines, tables and what to know before believing them as plain text.

    Args:
        head: lines above the tables.
        tables: in their order.
        warnings: listed below them.
        width: in columns; by default the terminal's, at least 80 and at most 120.
    """
    from rich.console import Console

    columns = width or min(120, max(_NARROWEST, shutil.get_terminal_size((_NARROWEST, 24)).columns))
    console = Console(
        file=io.StringIO(),
        width=columns,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
        _environ={**os.environ, "COLUMNS": str(columns)},
    )
    for line in head:
        console.print(line)
    for table in tables:
        _print(console, table)
    if warnings:
        console.print("\nKnow before you believe:")
    for warning in warnings:
        console.print(f"- {warning}")
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def _names(table: TableText) -> set[int]:
    """Return the columns of short names, which stand whole where a column of sentences can wrap instead."""
    cells = {place: [row[place] for row in table.rows] for place in table.words}
    sentences = {place for place, column in cells.items() if any(" " in cell for cell in column)}
    if not sentences:
        return set()
    return {p for p in cells.keys() - sentences if max(map(len, cells[p]), default=0) <= _LONG_NAME}


def _print(console: object, table: TableText) -> None:
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    assert isinstance(console, Console)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    names = _names(table)
    tall = any("\n" in cell for row in table.rows for cell in row)
    for place, column in enumerate(table.columns):
        words = place in table.words
        grid.add_column(
            Text(column.replace("/", "/\n").replace(" per ", "\nper ")),
            justify="left" if words else "right",
            overflow="fold",
            no_wrap=not words or place in names,
        )
    for number, row in enumerate(table.rows):
        starts_group = bool(row[0]) and number > 0
        if starts_group and (tall or any(not other[0] for other in table.rows)):
            grid.add_row()
        grid.add_row(*(Text(cell) for cell in row))
    console.print(f"\n{table.title}")
    console.print(grid)
    for note in table.notes:
        console.print(Padding(Text(note), (0, 0, 0, 2)))
