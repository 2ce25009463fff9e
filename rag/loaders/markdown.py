"""Markdown: text kept verbatim, so that quotes from it are quotes of the file; headings become sections."""

from __future__ import annotations

import re

from rag.loaders.decode import decode
from rag.loaders.parsed import Parsed, one_line, sections_from

__all__ = ["parse"]

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING = re.compile(r"(?:^|(?<=[ \t]))#+[ \t]*$")  # not that of `# C#`
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_NOT_PARAGRAPH = re.compile(r"\s*(?:[-*+>|#]|\d{1,9}[.)]\s|$)|\t| {4}")
_LINK = re.compile(r"!?\[([^\[\]]{0,500})\](?:\([^()]{0,1000}\)|\[[^\[\]]{0,200}\])")
_EMPHASIS = re.compile(r"(\*\*|__|\*|`|~~)(?=\S)|(?<=\S)(\*\*|__|\*|`|~~)")
_FRONT_KEY = re.compile(r"(title|author|date)[ \t]*:[ \t]*(.+)$", re.IGNORECASE)
_MAX_FRONT_LINES = 200


def parse(data: bytes, name: str) -> list[Parsed]:
    """Read Markdown; the title is its first `#` heading, else the front matter's, else its first heading.

    Raises:
        LoadError: the bytes are not text.
    """
    del name
    text = decode(data)
    lines = text.split("\n")
    front, skip = _front_matter(lines)
    marks = _headings(lines, skip)
    tops = [title for _, level, title in marks if level == 1]
    title = tops[0] if tops else front.get("title") or (marks[0][2] if marks else "")
    metadata: dict[str, str | int | float | bool] = {"format": "markdown"}
    if "author" in front:
        metadata["author"] = front["author"]
    if "date" in front:
        metadata["created"] = front["date"]
    return [
        Parsed(text=text, title=title, sections=sections_from(marks, len(text)), metadata=metadata),
    ]


def _front_matter(lines: list[str]) -> tuple[dict[str, str], int]:
    """Return the plain keys of a leading `---` block and the number of lines that it takes."""
    if not lines or lines[0].rstrip() != "---":
        return {}, 0
    found: dict[str, str] = {}
    for number, line in enumerate(lines[1:_MAX_FRONT_LINES], start=1):
        if line.rstrip() in {"---", "..."}:
            return found, number + 1
        match = _FRONT_KEY.match(line)
        if match:
            found.setdefault(match[1].lower(), one_line(match[2].strip().strip("\"'")))
    return {}, 0


def _headings(lines: list[str], skip: int) -> list[tuple[int, int, str]]:
    marks: list[tuple[int, int, str]] = []
    offset = sum(len(line) + 1 for line in lines[:skip])
    fence = ""
    previous, previous_offset = "", offset
    for line in lines[skip:]:
        fenced = _FENCE.match(line) if "`" in line or "~" in line else None
        if fence:
            if fenced and fenced[1].startswith(fence) and not fenced[2].strip():
                fence = ""
            previous = ""
        elif fenced and not (fenced[1][0] == "`" and "`" in fenced[2]):
            fence, previous = fenced[1], ""
        else:
            mark = _heading_at(line, offset, previous, previous_offset)
            if mark:
                marks.append(mark)
            previous = "" if mark else line
        previous_offset = offset
        offset += len(line) + 1
    return marks


def _heading_at(line: str, offset: int, previous: str, previous_offset: int) -> tuple[int, int, str] | None:
    atx = _ATX.match(line)
    if atx:
        title = _plain(_CLOSING.sub("", atx[2] or ""))
        return (offset, len(atx[1]), title) if title else None
    if previous and not _NOT_PARAGRAPH.match(previous) and (setext := _SETEXT.match(line)):
        title = _plain(previous)
        return (previous_offset, 1 if setext[1][0] == "=" else 2, title) if title else None
    return None


def _plain(markup: str) -> str:
    return one_line(_EMPHASIS.sub("", _LINK.sub(r"\1", markup[:2000])))
