"""Reports: a run folder to numbers, and numbers to a table, JSON, Markdown or one HTML file.

Needs no network, provider, index or data set; the same folder gives the same report.
"""

from __future__ import annotations

from pathlib import Path

from evals.reporting.model import Report
from rag.errors import StorageError
from rag.registry import Registry

__all__ = ["FORMATS", "Report", "build", "render", "report"]

FORMATS = Registry(
    "report format",
    {
        "table": "evals.reporting.table:render_table",
        "json": "evals.reporting.as_json:render_json",
        "md": "evals.reporting.markdown:render_markdown",
        "html": "evals.reporting.webpage:render_html",
    },
)


def build(run_folder: Path | str) -> Report:
    """Return the numbers of a run.

    Raises:
        RunError: `run_folder` is not a run folder, or a part of it cannot be read.
    """
    from evals.reporting.load import load_run
    from evals.reporting.numbers import build_report

    return build_report(load_run(run_folder))


def render(report: Report, format: str = "table") -> str:  # noqa: A002 - the option's name
    """Return the report as text in one of FORMATS.

    Raises:
        UnknownNameError: no such format; the message suggests the nearest.
    """
    text: str = FORMATS.load(format)(report)
    return text


def report(
    run_folder: Path | str,
    *,
    format: str = "table",  # noqa: A002  # the option's own name
    output: Path | str | None = None,
) -> str:
    """Return the report of a run as text, and write it to `output` where that is given.

    Args:
        run_folder: what `run` made.
        format: one of FORMATS: `table`, `json`, `md` or `html`.
        output: a file, replaced where it exists.

    Raises:
        RunError: `run_folder` is not a run folder, or a part of it cannot be read.
        UnknownNameError: no such format; the message suggests the nearest.
        StorageError: `output` cannot be written.
    """
    text = render(build(run_folder), format)
    if output is not None:
        path = Path(output).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise StorageError(f"cannot write {path}: {exc.strerror or exc}.") from exc
    return text
