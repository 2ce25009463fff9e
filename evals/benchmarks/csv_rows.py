"""Rows of CSV in which a broken line costs itself, and not the lines after it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

__all__ = ["csv_rows"]

_LIST_COLUMNS = frozenset({"answers", "relevant", "contexts"})
_UNCLOSED = "unexpected end of data"


def csv_rows(path: Path, note: Callable[[str, str], None]) -> Iterator[tuple[str, Any]]:
    """Yield (place, row): a mapping where the first row names a `question`, else the list of cells.

    Args:
        path: of the file, in UTF-8.
        note: is told the place of a line that cannot be read, and why. A quote that is never closed is such a
            line: read on, it would swallow every row after it.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = file.readlines()
    header: list[str] | None = None
    for place, cells in _records(lines, path.name, note):
        if header is None:
            header = [cell.strip().lower() for cell in cells]
            if "question" in header:
                continue
            header = []
        if cells:
            yield place, _row(header, cells) if header else cells


def _records(
    lines: Sequence[str], name: str, note: Callable[[str, str], None]
) -> Iterator[tuple[str, list[str]]]:
    """Yield (place, cells), starting again at the line after one that cannot be read."""
    start = 0
    while start < len(lines):
        reader, first = csv.reader(islice(lines, start, None)), start
        try:
            for cells in reader:
                end = first + reader.line_num
                if end == len(lines) and end > start + 1:
                    _check_closed(lines[start:])
                place = f"{name} line {start + 1}" if end == start + 1 else f"{name} lines {start + 1}-{end}"
                start = end
                if _is_utf8(cells):
                    yield place, cells
                else:
                    note(place, "not UTF-8")
        except csv.Error as exc:
            problem = "a quote is opened and never closed" if str(exc) == _UNCLOSED else str(exc)
            note(f"{name} line {start + 1}", problem)
            start += 1


def _check_closed(lines: Sequence[str]) -> None:
    """Raise csv.Error where the last row of a file ends inside a quote, which the plain reader lets pass."""
    try:
        list(csv.reader(lines, strict=True))
    except csv.Error as exc:
        if str(exc) == _UNCLOSED:
            raise


def _is_utf8(cells: Sequence[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _row(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(header, cells, strict=False))
    for name in _LIST_COLUMNS & row.keys():
        row[name] = _list(row[name].strip())
    return row


def _list(cell: str) -> Any:
    """Return the JSON list in `cell`, or `cell` itself as the only text of a list; None where it is empty."""
    if not cell:
        return None
    if cell.startswith("["):
        try:
            return orjson.loads(cell)
        except orjson.JSONDecodeError:
            return [cell]  # a text may start with a bracket
    return [cell]
