"""CSV: each row as lines `header: value`, so that a row makes sense on its own."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from rag.errors import LoadError
from rag.loaders.decode import decode
from rag.loaders.parsed import Parsed, TextBuilder, one_line

__all__ = ["parse", "sniff_delimiter"]

_DELIMITERS = ",;\t|"
_SAYS_DELIMITER = re.compile(r'"?sep=([,;\t|])"?\n', re.IGNORECASE)  # Excel's first line
_SAMPLE_LINES = 60
_MAX_FIELD_CHARS = 20_000_000


def parse(data: bytes, name: str) -> list[Parsed]:
    """Read a table with a header row; cells beyond the header are `column N`, empty ones are left out.

    A file with no delimiter at all is kept as plain text.

    Raises:
        LoadError: the bytes are not text, or the rows cannot be told apart.
    """
    del name
    text = decode(data)
    said = _SAYS_DELIMITER.match(text)
    delimiter = said[1] if said else sniff_delimiter(text)
    if delimiter is None:
        return [Parsed(text=text, metadata={"format": "csv"})]
    csv.field_size_limit(_MAX_FIELD_CHARS)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    builder = TextBuilder()
    header: list[str] = []
    if said:
        next(rows)
    count = 0
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [one_line(cell) or f"column {i}" for i, cell in enumerate(row, start=1)]
                continue
            builder.add(_row(header, row))
            count += 1
    except csv.Error as exc:
        raise LoadError(
            f"line {rows.line_num} cannot be read as CSV ({exc}); check its quotes and delimiters."
        ) from exc
    if count == 0 and header:
        builder.add(" | ".join(header))
    body, _ = builder.build()
    return [Parsed(text=body, metadata={"format": "csv", "rows": count})]


def sniff_delimiter(text: str) -> str | None:
    """Return the delimiter that splits the first lines most evenly; None where none does."""
    sample = "\n".join(text[:100_000].split("\n")[:_SAMPLE_LINES])
    best: tuple[float, int] = (0.0, 0)
    chosen = None
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        try:
            widths = [
                len(row)
                for row in csv.reader(
                    io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True
                )
                if row
            ]
        except csv.Error:
            continue
        counts = Counter(width for width in widths if width > 1)
        if not counts:
            continue
        width, rows = counts.most_common(1)[0]
        score = (rows / len(widths), width)
        if score > best:
            best, chosen = score, delimiter
    return chosen


def _row(header: list[str], row: list[str]) -> str:
    lines = []
    for number, cell in enumerate(row):
        value = " ".join(cell.split())
        if value:
            label = header[number] if number < len(header) else f"column {number + 1}"
            lines.append(f"{label}: {value}")
    return "\n".join(lines)
