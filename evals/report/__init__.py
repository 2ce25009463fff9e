"""Reports: a run folder to numbers, and numbers to a table, JSON, Markdown or one HTML file.

Needs no network, provider, index or data set; the same folder gives the same report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from evals.report.model import Report
from rag.errors import StorageError
from rag.registry import Registry

__all__ = ["FORMATS", "Report", "build", "render", "report"]

FORMATS = Registry(
    "report format",
    {
        "table": "evals.report.table:render_table",
        "json": "evals.report.as_json:render_json",
        "md": "evals.report.markdown:render_markdown",
        "html": "evals.report.webpage:render_html",
    },
)


def build(run_folder: Path | str) -> Report:
    """Return the numbers of a run.

    Raises:
        RunError: `run_folder` is not a run folder, or a part of it cannot be read.
    """
    from evals.report.load import load_run
    from evals.report.numbers import build_report

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


class _Callable(ModuleType):
    """`evals.report` is this package and, once imported, hides the function of that name: both are one."""

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        return report(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
