"""Documents to passages: cut where the text itself breaks, to at most so many tokens of the embedding model.

A text has boundaries of different strength (page, paragraph, line of a list or table, sentence, line, word).
From a passage's start the window of allowed ends is searched for the boundary with the best sum of strength
and fill, so that a paragraph's end at half the size wins over a sentence's at the full size. Time is linear
in the text's length.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rag.core import Chunk, Document, Section, chunk_id
from rag.errors import ConfigError

__all__ = ["TokenSpans", "chunk_document"]

TokenSpans: TypeAlias = Callable[[str], Sequence[tuple[int, int]]]

_SLICE_CHARS = 50_000
_MAX_CHARS_PER_TOKEN = 16  # a model may count a word of a million letters as one unknown token
_MIN_FILL = 0.2
_TINY = 0.25
_ROW_CHARS = 400

_PAGE, _PARAGRAPH, _LINE, _SENTENCE, _WRAP = 1.2, 1.0, 0.6, 0.4, 0.1
_BOUNDARY = re.compile(
    r"(?P<paragraph>\n[ \t]*\n\s*)"
    r"|(?P<line>\n[ \t]*)"
    r"|(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]»]))[ \t]+(?=[\"'“‘(\[«¿¡]?[^\W_a-zà-öø-ÿ])"
    r"|(?<=[。！？])"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Dra|Sr|Sra|Prof|St|No|Nos|vs|etc|Inc|Ltd|Co|Fig|Figs|Eq|Sec|Art|Arts|Av|cf|ca|approx|"
    r"e\.g|i\.e|p|pp|n|vol|ed|al|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|art|arts|inc|fls|nº)|\b[A-Z])\.$"
)
_ITEM = re.compile(r"[-*+•▪●◦|#>]|\(?\w{1,4}[.)]\s|[^\n|]{0,200} \| |\w[^\n:.]{0,40}: ")
_CLOSED = re.compile(r"[.!?…:;|。！？][\"'”’)\]»]?$")
_SPACE = re.compile(r"\s")


def chunk_document(
    document: Document,
    *,
    token_spans: TokenSpans,
    chunk_tokens: int | Literal["whole"],
    overlap_tokens: int,
) -> list[Chunk]:
    """Cut a document into passages; `document.text[c.start:c.end] == c.text` for each.

    No passage crosses from a section into another, except that sections of less than a quarter of a passage
    join their neighbour. Passages begin and end without white space. The next one repeats whole
    sentences of the last, as many as `overlap_tokens` holds, or else whole words.

    Args:
        document: what a loader gave.
        token_spans: character offsets of the embedding model's tokens in a text.
        chunk_tokens: most tokens of a passage; `"whole"` makes one passage of the document.
        overlap_tokens: most tokens that a passage repeats of the one before it.

    Raises:
        ConfigError: `chunk_tokens` below 1, or `overlap_tokens` negative or not below `chunk_tokens`.
    """
    if chunk_tokens == "whole":
        span = _trim(document.text, 0, len(document.text))
        return _chunks(document, [span] if span else [])
    if chunk_tokens < 1:
        raise ConfigError(f"chunk_tokens must be at least 1, not {chunk_tokens}; 200 is usual.")
    if not 0 <= overlap_tokens < chunk_tokens:
        raise ConfigError(
            f"overlap_tokens must be from 0 to below chunk_tokens ({chunk_tokens}), not {overlap_tokens}."
        )
    tokens = _tokens(document.text, token_spans)
    cutter = _Cutter(document, tokens, token_spans, limit=chunk_tokens, overlap=overlap_tokens)
    spans = [span for segment in _segments(document, tokens, chunk_tokens) for span in cutter.cut(*segment)]
    return _chunks(document, spans)


# ---------------------------------------------------------------- tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tokens:
    """Offsets of all tokens of a text; long ones are split so that none has more than 16 characters."""

    starts: array[int]
    ends: array[int]

    def count(self, start: int, end: int) -> int:
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)


def _tokens(text: str, token_spans: TokenSpans) -> _Tokens:
    """Tokenise in slices that end at white space, for memory."""
    starts, ends = array("I"), array("I")
    for begin, end in _slices(text):
        for start, stop in token_spans(text[begin:end]):
            for piece in range(start, stop, _MAX_CHARS_PER_TOKEN):
                starts.append(begin + piece)
                ends.append(begin + min(piece + _MAX_CHARS_PER_TOKEN, stop))
    return _Tokens(starts=starts, ends=ends)


def _slices(text: str) -> Iterator[tuple[int, int]]:
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


def _segments(document: Document, tokens: _Tokens, limit: int) -> list[tuple[int, int]]:
    """Return the spans that no passage crosses: sections, tiny ones joined to a neighbour."""
    groups: list[tuple[int, int, int, int]] = []  # start, end, tokens, level of the last section
    for start, end, level in _section_spans(document):
        size = tokens.count(start, end)
        if groups:
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


# ---------------------------------------------------------------- cutting


class _Cutter:
    """Cuts segments of one document into spans of at most `limit` tokens."""

    def __init__(
        self, document: Document, tokens: _Tokens, token_spans: TokenSpans, *, limit: int, overlap: int
    ) -> None:
        self._text = document.text
        self._tokens = tokens
        self._token_spans = token_spans
        self._limit = limit
        self._overlap = overlap
        self._page_starts = {page.start for page in document.pages}

    def cut(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of `text[start:end]` in order, each trimmed of white space."""
        trimmed = _trim(self._text, start, end)
        if trimmed is None:
            return
        begin, end = trimmed
        places, weights = self._boundaries(begin, end)
        done = begin
        while True:
            stop = self._stop(begin, done, end, places, weights)
            span = _trim(self._text, begin, stop)
            if span:
                yield span
            if stop >= end:
                return
            done = stop
            begin = self._restart(span[0] if span else begin, stop, places, weights)

    def _boundaries(self, start: int, end: int) -> tuple[array[int], array[float]]:
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
            return _PAGE if place in self._page_starts else _PARAGRAPH
        if match["line"] is not None:
            closed = _CLOSED.search(text, max(0, match.start() - 3), match.start())
            return _LINE if closed or _ITEM.match(text, place) else _WRAP
        if _ABBREVIATION.search(text, max(0, match.start() - 8), match.start()):
            return 0.0
        return _WRAP if self._in_row(match.start()) else _SENTENCE

    def _in_row(self, place: int) -> bool:
        """Tell whether a place is inside a table row, behind its first cell."""
        least = max(0, place - _ROW_CHARS)
        line = self._text.rfind("\n", least, place) + 1 or least
        return self._text.find(" | ", line, place) >= 0

    def _stop(self, begin: int, done: int, end: int, places: array[int], weights: array[float]) -> int:
        """Return where the passage that starts at `begin` ends; always past `done`."""
        starts = self._tokens.starts
        first = bisect_left(starts, begin)
        beyond = first + self._limit
        most = starts[beyond] if beyond < len(starts) else end
        most = min(most, begin + self._limit * _MAX_CHARS_PER_TOKEN)
        if most >= end:
            return self._within_limit(begin, end, done)
        least = max(done, starts[min(first + int(self._limit * _MIN_FILL), len(starts) - 1)])
        best, chosen = -1.0, 0
        for index in range(bisect_right(places, least), bisect_right(places, most)):
            score = weights[index] + (places[index] - begin) / (most - begin)
            if score >= best:
                best, chosen = score, places[index]
        return self._within_limit(begin, chosen or self._word_end(max(begin, done), most), done)

    def _word_end(self, least: int, most: int) -> int:
        """Return the last place after white space in (least, most]; inside a word where there is none."""
        for place in range(most, max(least, most - 4 * _MAX_CHARS_PER_TOKEN), -1):
            if self._text[place - 1].isspace():
                return place
        return most

    def _within_limit(self, begin: int, stop: int, done: int) -> int:
        """Take back what is over the limit when the passage is tokenised alone, as torn words may be."""
        while True:
            span = _trim(self._text, begin, stop)
            if span is None or not self._suspect(*span):
                return stop
            over = len(self._token_spans(self._text[span[0] : span[1]])) - self._limit
            if over <= 0 or span[1] - span[0] <= 1:
                return stop
            shorter = span[1] - max(1, min((span[1] - span[0]) // 4, over))
            if shorter <= max(done, begin):
                return stop
            stop = self._word_end(max(done, begin), shorter)

    def _suspect(self, start: int, end: int) -> bool:
        text = self._text
        inside = end < len(text) and not text[end].isspace() and not text[end - 1].isspace()
        torn = start > 0 and not text[start - 1].isspace()
        return inside or torn or self._tokens.count(start, end) >= self._limit

    def _restart(self, begin: int, stop: int, places: array[int], weights: array[float]) -> int:
        """Return where the next passage starts: up to `overlap` tokens back, at the start of a sentence."""
        if self._overlap == 0:
            return stop
        starts = self._tokens.starts
        back = bisect_left(starts, stop) - self._overlap
        earliest = max(begin + 1, starts[back] if back > 0 else 0)
        for index in range(bisect_left(places, earliest), bisect_left(places, stop)):
            if weights[index] >= _SENTENCE:
                return places[index]
        if self._in_row(earliest):
            return stop
        for place in range(earliest, min(stop, earliest + 4 * _MAX_CHARS_PER_TOKEN)):
            if self._text[place - 1].isspace():
                return place
        return stop


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


# ---------------------------------------------------------------- passages


def _chunks(document: Document, spans: Sequence[tuple[int, int]]) -> list[Chunk]:
    pages = [page.start for page in document.pages]
    heads = [section.start for section in document.sections]
    paths = _paths(document.sections)
    chunks = []
    for start, end in spans:
        text = document.text[start:end]
        page = bisect_right(pages, start) - 1
        chunks.append(
            Chunk(
                id=chunk_id(document.source, start, end, text),
                document_id=document.id,
                source=document.source,
                title=document.title,
                text=text,
                start=start,
                end=end,
                page=document.pages[max(page, 0)].number if pages else None,
                section=_section(document, paths, bisect_right(heads, start) - 1, end),
                language=document.language,
                metadata=document.metadata,
            )
        )
    return chunks


def _section(document: Document, paths: Sequence[str], index: int, end: int) -> str | None:
    """Name the section a passage starts in, passing over headings that have no text of their own."""
    if not paths or (index < 0 and document.sections[0].start >= end):
        return None
    index = max(index, 0)
    while index + 1 < len(paths):
        section, following = document.sections[index], document.sections[index + 1]
        body = document.text[section.start : section.end].strip().lstrip("#").strip()
        if following.start >= end or following.level <= section.level or len(body) > len(section.title) + 8:
            break
        index += 1
    return paths[index]


def _paths(sections: Sequence[Section]) -> list[str]:
    above: list[Section] = []
    paths = []
    for section in sections:
        above = [head for head in above if head.level < section.level]
        above.append(section)
        paths.append(" / ".join(head.title for head in above))
    return paths
