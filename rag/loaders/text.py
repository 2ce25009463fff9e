"""Plain text: kept as it is."""

from __future__ import annotations

from rag.loaders.decode import decode
from rag.loaders.parsed import Parsed, one_line

__all__ = ["parse"]

_MAX_TITLE = 120


def parse(data: bytes, name: str) -> list[Parsed]:
    """Read plain text; the title is a first line that stands alone, if there is one.

    Raises:
        LoadError: the bytes are not text.
    """
    del name
    text = decode(data)
    return [Parsed(text=text, title=_title(text), metadata={"format": "text"})]


def _title(text: str) -> str:
    head = text[:2000].lstrip()
    first, newline, rest = head.partition("\n")
    stands_alone = bool(newline) and (
        not rest.strip() or rest[: len(rest) - len(rest.lstrip())].count("\n") > 0
    )
    if stands_alone and 0 < len(first.strip()) <= _MAX_TITLE and not first.rstrip().endswith((".", ",", ";")):
        return one_line(first)
    return ""
