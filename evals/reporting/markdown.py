"""A report as GitHub-flavoured Markdown."""

from __future__ import annotations

import re

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

__all__ = ["escape", "render_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~])")


def render_markdown(report: Report) -> str:
    """Return the report as Markdown; names and messages in it are escaped, so that they stay text."""
    parts = [f"# Evaluation {escape(report.run)}", f"{escape(report.created or 'Date unknown')}."]
    parts.append("\n".join(f"- {escape(line)}" for line in report.summary))
    tables = [leaderboard(report), *gate_tables(report), *metric_tables(report)]
    tables += comparison_tables(leading_comparisons(report), report.calibration)
    parts += [_table(table) for table in [*tables, latency_table(report), cost_table(report)]]
    parts += [_table(table) for table in [outcome_table(report), *judge_tables(report)]]
    if report.warnings:
        parts.append("## Know before you believe")
        parts.append("\n".join(f"- {escape(warning)}" for warning in report.warnings))
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, on one line; line feeds become `<br>`."""
    lines = (_SPECIAL.sub(r"\\\1", line.strip()) for line in text.splitlines())
    return "<br>".join(line.replace("<", "&lt;").replace(">", "&gt;") for line in lines)


def _table(table: TableText) -> str:
    lines = [
        _row(table.columns),
        _row([":---" if place in table.words else "---:" for place in range(len(table.columns))], raw=True),
        *(_row(row) for row in table.rows),
    ]
    notes = "\n".join(f"_{escape(note)}_<br>" for note in table.notes)
    return "\n\n".join(part for part in (f"## {escape(table.title)}", "\n".join(lines), notes) if part)


def _row(cells: tuple[str, ...] | list[str], *, raw: bool = False) -> str:
    return "| " + " | ".join(cell if raw else escape(cell) for cell in cells) + " |"
