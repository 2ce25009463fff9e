"""Reports: a run folder to numbers, and numbers to a table, JSON, Markdown or one HTML file.

Needs no network, provider, index or data set; the same folder gives the same report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evals.reporting.model import Report
from rag.errors import StorageError, UnknownNameError, UsageError
from rag.registry import Registry

__all__ = ["EXPORTS", "FORMATS", "Report", "build", "render", "report", "write_text"]

FORMATS = Registry(
    "report format",
    {
        "table": "evals.reporting.table:render_table",
        "json": "evals.reporting.as_json:render_json",
        "md": "evals.reporting.markdown:render_markdown",
        "html": "evals.reporting.webpage:render_html",
    },
)

EXPORTS = Registry(
    "export format",
    {
        "csv": "evals.reporting.export:render_csv",
        "parquet": "evals.reporting.export:write_parquet",
        "dataset": "evals.reporting.export:write_dataset",
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
    *run_folders: Path | str,
    format: str = "table",  # noqa: A002  # the option's own name
    output: Path | str | None = None,
) -> str:
    """Return the report of runs as text, and write it to `output` where that is given.

    Of several runs, tables and Markdown follow one another, JSON is a list, rows name their run.

    Args:
        run_folders: what `run` made.
        format: one of FORMATS (`table`, `json`, `md`, `html`) or of EXPORTS, a row for each reply: `csv`,
            `parquet`, or `dataset`, a folder for `datasets.load_dataset`. The last two need `output`, and
            nothing is returned of them.
        output: a file, replaced where it exists; for `dataset` a folder. A page shows 500 samples; of a run
            that has more, all replies are written beside it as Parquet.

    Raises:
        RunError: a folder is not a run, or a part of it cannot be read.
        UsageError: no run was given, several for a page, or no `output` for a binary format.
        UnknownNameError: no such format; the message suggests the nearest.
        StorageError: `output` cannot be written.
    """
    if not run_folders:
        raise UsageError("name the run folder to report on.")
    if format not in (*FORMATS, *EXPORTS):
        raise UnknownNameError("report format", format, [*FORMATS, *EXPORTS])
    path = None if output is None else Path(output).expanduser()
    if format in EXPORTS:
        return _exported(run_folders, format, path)
    if format == "html" and path is not None and len(run_folders) == 1:
        return _page(run_folders[0], path)
    text = _rendered(run_folders, format)
    if path is not None:
        write_text(path, text)
    return text


def _page(run_folder: Path | str, path: Path) -> str:
    """Write the page, and all replies beside it where it holds only some of the samples."""
    from evals.reporting.load import load_run
    from evals.reporting.numbers import build_report

    run = load_run(run_folder)
    found = build_report(run)
    if len(found.samples) < len(run.samples):
        beside = path.with_suffix(".answers.parquet")
        EXPORTS.load("parquet")([run], beside)
        found = replace(found, answers_file=beside.name)
    text = render(found, "html")
    write_text(path, text)
    return text


def _rendered(run_folders: Sequence[Path | str], form: str) -> str:
    if len(run_folders) == 1:
        return render(build(run_folders[0]), form)
    if form == "html":
        raise UsageError(f"{len(run_folders)} runs were given: a page shows one; make a page for each.")
    reports = [build(folder) for folder in run_folders]
    if form == "json":
        from evals.reporting.as_json import dump_json, to_json

        return dump_json([to_json(report) for report in reports])
    return "\n".join(render(report, form) for report in reports)


def _exported(run_folders: Sequence[Path | str], form: str, path: Path | None) -> str:
    from evals.reporting.load import load_run

    if path is None and form != "csv":
        raise UsageError(
            f"--format {form} needs --output: a {'folder' if form == 'dataset' else 'file'} to write."
        )
    runs = [load_run(folder) for folder in run_folders]
    if form == "csv":
        text: str = EXPORTS.load(form)(runs)
        if path is not None:
            write_text(path, text)
        return text
    EXPORTS.load(form)(runs, path)
    return ""


def write_text(path: Path, text: str) -> None:
    """Write a text, its folder too where it is new.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror or exc}.") from exc
