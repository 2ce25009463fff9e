"""Citations: find each quote in its source, or say that it is not there.

A model is asked to end its answer with lines `[n] "verbatim words"`. They are parsed, hidden from the reader
and searched in passage n. A quote counts as found only when it stands there word for word, after
normalising Unicode, white space and hyphenation; a similar passage is not enough, since 0.9 similarity would
pass "USD 0.60" for "USD 0.90".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from rag.core import Chunk, Citation, Match, TextSink
from rag.quotes import MARKER, find_quote
from rag.refusals import refuses
from rag.text import content_words, fold, sentence_spans, words

__all__ = ["CitationFilter", "ParsedAnswer", "read_answer"]

_CITATION_LINE = re.compile(r"^\s*(?:[-*•]\s*)?\[(\d{1,3})\]\s*[:\-–—]?\s*[\"“„«](.+?)[\"”“»]\s*[.;,]?\s*$")
_NEXT_ON_LINE = re.compile(r"[\"”“»]\s*[.;,]?\s*\[(\d{1,3})\]\s*[:\-–—]?\s*[\"“„«]")
_COULD_BE_CITATION = re.compile(
    r"^\s*(?:[-*•]\s*)?(?:\[(?:\d{0,3}(?:\](?:\s*[:\-–—]?\s*(?:[\"“„«].*)?)?)?)?)?$"
)
_NEAR = 0.75
_ALIGNED_SHARE = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedAnswer:
    """An answer as shown: citation lines taken off and checked."""

    text: str
    citations: tuple[Citation, ...]
    refused: bool


def read_answer(text: str, passages: Sequence[Chunk]) -> ParsedAnswer:
    """Split a model's reply into the text shown and its checked citations.

    Args:
        text: the reply, with or without citation lines.
        passages: the passages of the prompt; `[1]` is the first.

    The text shown is the reply without its citation lines; of a reply that has no other lines, the quotes.

    Returns:
        One Citation per distinct (marker, quote), and one per marker of the text that has no quote, aligned
        with the words of the sentence it stands in. `[9]` of three passages gives a citation with no chunk.
    """
    lines: list[str] = []
    quotes: list[tuple[int, str]] = []
    for line in text.splitlines():
        held = _quotes_of(line)
        quotes += held
        if not held:
            lines.append(line)
    shown = "\n".join(lines).strip()
    if not shown:
        shown = _in_a_line(quotes)
    if refuses(shown, quoted=bool(quotes)):
        return ParsedAnswer(text=shown, citations=(), refused=True)
    citations = [_quoted(marker, quote, passages) for marker, quote in dict.fromkeys(quotes)]
    unquoted = _markers_without({marker for marker, _ in quotes}, shown)
    citations += [_unquoted(marker, sentence, passages) for marker, sentence in unquoted]
    return ParsedAnswer(text=shown, citations=tuple(sorted(citations, key=lambda c: c.marker)), refused=False)


class CitationFilter:
    """Passes streamed text on to `sink` and holds back lines that are, or may become, citation lines.

    Call it with each piece, then `finish()`. What has reached `sink` then is the text that `read_answer`
    shows, but for white space at its ends; the quotes of a reply that has only citation lines come last.
    """

    def __init__(self, sink: TextSink) -> None:
        self._sink = sink
        self._line = ""
        self._passed = 0
        self._newlines = ""
        self._returned = False
        self._shows = False
        self._quotes: list[tuple[int, str]] = []

    def __call__(self, piece: str) -> None:
        if not piece:
            return
        # The two characters of a line end may come in two pieces.
        fresh = piece.removeprefix("\n") if self._returned else piece
        self._returned = piece.endswith("\r")
        for part in fresh.splitlines(keepends=True):
            (line,) = part.splitlines()
            self._line += line
            if line != part:
                self._end_of_line()
            elif self._passed or not _COULD_BE_CITATION.match(self._line):
                self._pass_on()

    def finish(self) -> None:
        """Pass on what was held back: the last line, or the quotes of a reply without any other text."""
        self._end_of_line()
        if not self._shows and self._quotes:
            self._sink(_in_a_line(self._quotes))
            self._shows = True

    def _end_of_line(self) -> None:
        quotes = _quotes_of(self._line)
        self._quotes += quotes
        if not quotes:
            self._pass_on()
            self._newlines += "\n"
        self._line, self._passed = "", 0

    def _pass_on(self) -> None:
        fresh = self._line[self._passed :]
        if fresh:
            self._sink(self._newlines + fresh)
            self._newlines = ""
            self._passed = len(self._line)
            self._shows = self._shows or not fresh.isspace()


def _quotes_of(line: str) -> list[tuple[int, str]]:
    """Return the markers and the words of a citation line, which should hold one of each."""
    found = _CITATION_LINE.match(line)
    if not found:
        return []
    parts = [found[1], *_NEXT_ON_LINE.split(found[2])]
    return [(int(marker), quote.strip()) for marker, quote in zip(parts[::2], parts[1::2], strict=True)]


def _in_a_line(quotes: Sequence[tuple[int, str]]) -> str:
    return " ".join(f"{quote} [{marker}]" for marker, quote in quotes)


def _quoted(marker: int, quote: str, passages: Sequence[Chunk]) -> Citation:
    chunk = _passage(marker, passages)
    if chunk is None:
        return _citation(marker, None, quote, None, "none")
    span = find_quote(quote, chunk.text)
    if span:
        return _citation(marker, chunk, quote, span, "exact")
    best, similarity = _best_span(quote, chunk.text)
    return _citation(
        marker, chunk, quote, best if similarity >= _NEAR else None, "near" if similarity >= _NEAR else "none"
    )


def _unquoted(marker: int, sentence: str, passages: Sequence[Chunk]) -> Citation:
    chunk = _passage(marker, passages)
    if chunk is None:
        return _citation(marker, None, "", None, "none")
    span, _ = _best_span(sentence, chunk.text)
    wanted = set(content_words(sentence))
    held = set(content_words(chunk.text[span[0] : span[1]])) if span else set()
    if not span or not wanted or len(wanted & held) / len(wanted) < _ALIGNED_SHARE:
        return _citation(marker, chunk, "", None, "none")
    return _citation(marker, chunk, chunk.text[span[0] : span[1]], span, "aligned")


def _passage(marker: int, passages: Sequence[Chunk]) -> Chunk | None:
    return passages[marker - 1] if 1 <= marker <= len(passages) else None


def _citation(
    marker: int, chunk: Chunk | None, quote: str, span: tuple[int, int] | None, match: Match
) -> Citation:
    return Citation(
        marker=marker,
        chunk_id=chunk.id if chunk else None,
        source=chunk.source if chunk else None,
        page=chunk.page if chunk else None,
        start=chunk.start + span[0] if chunk and span else None,
        end=chunk.start + span[1] if chunk and span else None,
        quote=quote,
        verified=match == "exact",
        match=match,
    )


def _best_span(wanted: str, text: str) -> tuple[tuple[int, int] | None, float]:
    """Return the sentence of `text` most like `wanted`, and their similarity in words (0 to 1)."""
    target = words(fold(wanted))
    best: tuple[int, int] | None = None
    best_score = 0.0
    for start, end in sentence_spans(text):
        here = words(fold(text[start:end]))
        blocks = SequenceMatcher(None, target, here, autojunk=False).get_matching_blocks()
        score = sum(block.size for block in blocks) / max(len(target), 1)
        if score > best_score:
            best, best_score = (start, end), score
    return best, best_score


def _markers_without(quoted: set[int], shown: str) -> list[tuple[int, str]]:
    """Return each marker of the text that has no quote, with the sentence it first stands in."""
    found: dict[int, str] = {}
    for start, end in sentence_spans(shown):
        for match in MARKER.finditer(shown, start, end):
            for number in map(int, match[1].split(",")):
                if number not in quoted:
                    before = (
                        shown[start : match.start()]
                        if match.start() > start
                        else shown[max(0, start - 300) : start]
                    )
                    found.setdefault(number, MARKER.sub("", before))
    return list(found.items())
