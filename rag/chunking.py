"""Documents to passages: cut where the text itself breaks, to at most so many tokens of the embedding model.

Pages and sections are cut apart. Within them a text has boundaries of different strength (paragraph, line of
a list or table, sentence, line, word). From a passage's start the window of allowed ends is searched for the
boundary with the best sum of strength and fill, so that a paragraph's end at half the size wins over a
sentence's at the full size. Time is linear in the text's length.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Literal

from rag.breaks import (
    MAX_CHARS_PER_TOKEN,
    SENTENCE,
    Breaks,
    Tokens,
    TokenSpans,
    segments,
    tokenise,
)
from rag.core import Chunk, Document, Section, chunk_id
from rag.errors import ConfigError
from rag.text import trim

__all__ = ["TokenSpans", "chunk_document"]

_MIN_FILL = 0.2


def chunk_document(
    document: Document,
    *,
    token_spans: TokenSpans,
    chunk_tokens: int | Literal["whole"],
    overlap_tokens: int,
) -> list[Chunk]:
    """Cut a document into passages; `document.text[c.start:c.end] == c.text` for each.

    No passage crosses from a page into another, so that `page` is where all of its words stand. None crosses
    from a section into another, except that sections of less than a quarter of a passage join their
    neighbour on the page. Passages begin and end without white space. The next one repeats whole
    sentences of the last, as many as `overlap_tokens` holds, or else whole words.

    Args:
        document: what a loader gave.
        token_spans: character offsets of the embedding model's tokens in a text.
        chunk_tokens: most tokens of a passage; `"whole"` makes one passage of the document, of all
            its pages.
        overlap_tokens: most tokens that a passage repeats of the one before it.

    Raises:
        ConfigError: `chunk_tokens` below 1, or `overlap_tokens` negative or not below `chunk_tokens`.
    """
    if chunk_tokens == "whole":
        span = trim(document.text, 0, len(document.text))
        return _chunks(document, [span] if span else [])
    if chunk_tokens < 1:
        raise ConfigError(f"chunk_tokens must be at least 1, not {chunk_tokens}; 200 is usual.")
    if not 0 <= overlap_tokens < chunk_tokens:
        raise ConfigError(
            f"overlap_tokens must be from 0 to below chunk_tokens ({chunk_tokens}), not {overlap_tokens}."
        )
    tokens = tokenise(document.text, token_spans)
    cutter = _Cutter(document, tokens, token_spans, limit=chunk_tokens, overlap=overlap_tokens)
    spans = [span for segment in segments(document, tokens, chunk_tokens) for span in cutter.cut(*segment)]
    return _chunks(document, spans)


# ---------------------------------------------------------------- cutting


class _Cutter:
    """Cuts segments of one document into spans of at most `limit` tokens."""

    def __init__(
        self, document: Document, tokens: Tokens, token_spans: TokenSpans, *, limit: int, overlap: int
    ) -> None:
        self._text = document.text
        self._tokens = tokens
        self._token_spans = token_spans
        self._limit = limit
        self._overlap = overlap
        self._breaks = Breaks(document.text)

    def cut(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the spans of `text[start:end]` in order, each trimmed of white space."""
        trimmed = trim(self._text, start, end)
        if trimmed is None:
            return
        begin, end = trimmed
        places, weights = self._breaks.between(begin, end)
        done = begin
        while True:
            stop = self._stop(begin, done, end, places, weights)
            span = trim(self._text, begin, stop)
            if span:
                yield span
            done = stop
            # White space behind it belongs to no passage: else the next one might hold nothing new.
            while done < end and self._text[done].isspace():
                done += 1
            if done >= end:
                return
            begin = self._restart(span[0] if span else begin, stop, places, weights)
            if done - begin >= self._limit * MAX_CHARS_PER_TOKEN:  # a gap wider than a passage
                begin = done

    def _stop(self, begin: int, done: int, end: int, places: array[int], weights: array[float]) -> int:
        """Return where the passage that starts at `begin` ends; always past `done`."""
        first = self._tokens.index(begin)
        most = min(self._tokens.start(first + self._limit, end), begin + self._limit * MAX_CHARS_PER_TOKEN)
        if most >= end:
            return self._within_limit(begin, end, done)
        least = max(done, self._tokens.start(first + int(self._limit * _MIN_FILL), begin))
        best, chosen = -1.0, 0
        for index in range(bisect_right(places, least), bisect_right(places, most)):
            score = weights[index] + (places[index] - begin) / (most - begin)
            if score >= best:
                best, chosen = score, places[index]
        return self._within_limit(begin, chosen or self._word_end(max(begin, done), most), done)

    def _word_end(self, least: int, most: int) -> int:
        """Return the last place after white space in (least, most]; inside a word where there is none."""
        for place in range(most, max(least, most - 4 * MAX_CHARS_PER_TOKEN), -1):
            if self._text[place - 1].isspace():
                return place
        return most

    def _within_limit(self, begin: int, stop: int, done: int) -> int:
        """Take back what is over the limit when the passage is tokenised alone, as torn words may be."""
        while True:
            span = trim(self._text, begin, stop)
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
        back = self._tokens.index(stop) - self._overlap
        earliest = max(begin + 1, self._tokens.start(back, stop) if back > 0 else 0)
        for index in range(bisect_left(places, earliest), bisect_left(places, stop)):
            if weights[index] >= SENTENCE:
                return places[index]
        if self._breaks.in_row(earliest):
            return stop
        for place in range(earliest, min(stop, earliest + 4 * MAX_CHARS_PER_TOKEN)):
            if self._text[place - 1].isspace():
                return place
        return stop


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
        if following.start >= end or following.level <= section.level:
            break
        body = document.text[section.start : section.end].strip().lstrip("#").strip()
        if len(body) > len(section.title) + 8:
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
