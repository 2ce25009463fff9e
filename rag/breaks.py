"""Where a text may be cut and how strong each place is: the tokens, segments and boundaries of chunking."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from rag.core import Document
from rag.text import ABBREVIATION, SENTENCE_END, SENTENCE_START, WIDE_STOP

__all__ = [
    "MAX_CHARS_PER_TOKEN",
    "SENTENCE",
    "Breaks",
    "TokenSpans",
    "Tokens",
    "segments",
    "slices",
    "tokenise",
]

TokenSpans: TypeAlias = Callable[[str], Sequence[tuple[int, int]]]
"""Gives the character offsets of each token of a text."""

_SLICE_CHARS = 50_000
MAX_CHARS_PER_TOKEN = 16  # a model may count a word of a million letters as one unknown token
_TINY = 0.25
_ROW_CHARS = 400

PARAGRAPH, LINE, SENTENCE, WRAP = 1.0, 0.6, 0.4, 0.1
_BOUNDARY = re.compile(
    r"(?P<paragraph>\n[ \t]*\n\s*)"
    r"|(?P<line>\n[ \t]*)"
    rf"|{SENTENCE_END}[ \t]+{SENTENCE_START}|{WIDE_STOP}"
)
_ITEM = re.compile(r"[-*+•▪●◦|#>]|\(?\w{1,4}[.)]\s|[^\n|]{0,200} \| |\w[^\n:.]{0,40}: ")
_CLOSED = re.compile(r"[.!?…:;|。！？][\"'”’)\]»]?$")


# ---------------------------------------------------------------- tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Where the tokens of a text start; long ones are split so that none has more than 16 characters."""

    starts: array[int]

    def index(self, place: int) -> int:
        """Return how many tokens start before a place."""
        return bisect_left(self.starts, place)

    def start(self, index: int, beyond: int) -> int:
        """Return where a token starts; `beyond` past the last one."""
        return self.starts[index] if index < len(self.starts) else beyond

    def count(self, start: int, end: int) -> int:
        """Return how many tokens start in a span."""
        return self.index(end) - self.index(start)


def tokenise(text: str, token_spans: TokenSpans) -> Tokens:
    """Tokenise in slices that end at white space."""
    starts = array("I")
    for begin, end in slices(text):
        for start, stop in token_spans(text[begin:end]):
            starts.extend(range(begin + start, begin + stop, MAX_CHARS_PER_TOKEN))
    return Tokens(starts=starts)


def slices(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of a text, at most 50,000 characters each, that a tokeniser is given: for memory."""
    begin = 0
    while begin < len(text):
        end = min(begin + _SLICE_CHARS, len(text))
        if end < len(text):
            for mark in ("\n\n", "\n", " "):
                found = text.rfind(mark, begin + _SLICE_CHARS // 2, end)
                if found > 0:
                    end = found + len(mark)
                    break
        yield begin, end
        begin = end


# ---------------------------------------------------------------- segments


def segments(document: Document, tokens: Tokens, limit: int) -> list[tuple[int, int]]:
    """Return the spans that no passage crosses: the sections of each page, tiny ones joined to another."""
    pages = {page.start for page in document.pages}
    groups: list[tuple[int, int, int, int]] = []  # start, end, tokens, level of the last section
    for start, end, level in _parts(document):
        size = tokens.count(start, end)
        if groups and start not in pages:
            first, _, before, last_level = groups[-1]
            fits = before + size <= limit
            tiny = min(before, size) < limit * _TINY
            heads = before < limit * _TINY and level > last_level
            if (tiny and fits) or heads:
                groups[-1] = (first, end, before + size, level)
                continue
        groups.append((start, end, size, level))
    return [(start, end) for start, end, _, _ in groups]


def _section_spans(document: Document) -> Iterator[tuple[int, int, int]]:
    position = 0
    for section in document.sections:
        if section.start > position:
            yield position, section.start, 0
        yield section.start, section.end, section.level
        position = section.end
    if position < len(document.text):
        yield position, len(document.text), 0


def _parts(document: Document) -> Iterator[tuple[int, int, int]]:
    """Yield the parts of sections on each page: start, end, level of the section."""
    pages = [page.start for page in document.pages]
    for start, end, level in _section_spans(document):
        inner = pages[bisect_right(pages, start) : bisect_left(pages, end)]
        for begin, stop in pairwise([start, *inner, end]):
            yield begin, stop, level


# ---------------------------------------------------------------- boundaries


class Breaks:
    """The places between words where a text may be cut."""

    def __init__(self, text: str) -> None:
        self._text = text

    def between(self, start: int, end: int) -> tuple[array[int], array[float]]:
        """Return where text may be cut between words, and how strong each place is."""
        places, weights = array("I"), array("f")
        for match in _BOUNDARY.finditer(self._text, start, end):
            place = match.end()
            if place >= end:
                break
            weight = self._weight(match)
            if weight:
                places.append(place)
                weights.append(weight)
        return places, weights

    def _weight(self, match: re.Match[str]) -> float:
        text, place = self._text, match.end()
        if match["paragraph"] is not None:
            return PARAGRAPH
        if match["line"] is not None:
            closed = _CLOSED.search(text, max(0, match.start() - 3), match.start())
            return LINE if closed or _ITEM.match(text, place) else WRAP
        if ABBREVIATION.search(text, max(0, match.start() - 8), match.start()):
            return 0.0
        return WRAP if self.in_row(match.start()) else SENTENCE

    def in_row(self, place: int) -> bool:
        """Tell whether a place is inside a table row, behind its first cell."""
        least = max(0, place - _ROW_CHARS)
        line = self._text.rfind("\n", least, place) + 1 or least
        return self._text.find(" | ", line, place) >= 0
