"""What a format's parser gives back, and the builder that keeps its offsets exact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rag.core import Metadata, Page, Section
from rag.errors import LoadError

__all__ = [
    "MAX_TEXT_CHARS",
    "Parsed",
    "TextBuilder",
    "clean",
    "one_line",
    "path_part",
    "sections_from",
    "stem",
]

MAX_TEXT_CHARS = 100_000_000
"""Longest text of one file, in characters."""

_DROPPED = re.compile("[\0\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """A document as its format's parser read it, before it has a source.

    `key` is the id of a row that is a document of its own, else None. An empty `title` means that the
    format named none.
    """

    text: str
    title: str = ""
    pages: tuple[Page, ...] = ()
    sections: tuple[Section, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    key: str | None = None


def clean(text: str) -> str:
    """Return `text` with LF line ends, without NULs and byte order marks, lone surrogates replaced.

    Neither SQLite nor Chroma holds a lone surrogate, and a NUL ends a string in both.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _DROPPED.sub("", text)
    return _SURROGATE.sub("\ufffd", text)


def one_line(text: str, limit: int = 300) -> str:
    """Return `text` cleaned, with white space collapsed, cut to `limit` characters."""
    return _SPACE.sub(" ", clean(text[: limit * 4])).strip()[:limit].rstrip()


def path_part(name: str) -> str:
    """Return a URL without its query and fragment, and any other name as it is."""
    return name.partition("?")[0].partition("#")[0] if "://" in name else name


def stem(name: str) -> str:
    """Return the last part of a path or URL without its suffix."""
    path = PurePosixPath(path_part(name).rstrip("/"))
    return one_line(path.stem) or one_line(name) or "untitled"


def sections_from(marks: Sequence[tuple[int, int, str]], end: int) -> tuple[Section, ...]:
    """Turn headings (start offset, level, title), in order, into sections that end where the next starts.

    Of several headings at one offset the last stands.
    """
    kept: list[tuple[int, int, str]] = []
    for mark in marks:
        if kept and kept[-1][0] == mark[0]:
            kept.pop()
        kept.append(mark)
    ends = [mark[0] for mark in kept[1:]] + [end] * bool(kept)
    return tuple(
        Section(title=title, level=level, start=start, end=stop)
        for (start, level, title), stop in zip(kept, ends, strict=True)
    )


class TextBuilder:
    """Collects blocks of text in order and knows where each heading fell."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._marks: list[tuple[int, int, str]] = []
        self._length = 0

    def add(self, block: str, *, tight: bool = False) -> None:
        """Append a block; after a blank line, or on the next line where `tight`.

        White space alone is dropped.

        Raises:
            LoadError: the text grows past `MAX_TEXT_CHARS`.
        """
        block = clean(block).strip("\n ")
        if not block.strip():
            return
        if self._length:
            self._append("\n" if tight else "\n\n")
        self._append(block)
        if self._length > MAX_TEXT_CHARS:
            raise LoadError(
                f"its text is longer than {MAX_TEXT_CHARS:,} characters; split the file into smaller ones."
            )

    def heading(self, title: str, level: int) -> None:
        """Append a heading, which starts a section."""
        title = one_line(title)
        if not title:
            return
        start = self._length + (2 if self._length else 0)
        self.add(title)
        self._marks.append((start, level, title))

    def build(self) -> tuple[str, tuple[Section, ...]]:
        """Return the text and its sections."""
        return "".join(self._parts), sections_from(self._marks, self._length)

    def _append(self, part: str) -> None:
        self._parts.append(part)
        self._length += len(part)
