"""Plain-text tools that several parts share: sentences, words, languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import cache

__all__ = ["STOP_WORDS", "content_words", "detect_language", "fold", "sentence_spans", "words"]

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*", re.UNICODE)
_ABBREVIATION = re.compile(
    r"\b(?:[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|Sr|Sra|St|Inc|Ltd|Co|Corp|vs|etc|e\.g|i\.e|cf|[Ff]ig|[Nn]o|nº|pp?"
    r"|approx|[Aa]rt|ex|al)\.$"
)
_BREAK = re.compile(
    r"[.!?…]+[\"'”’)\]»]*(?=\s+[\"'“‘(\[«*_]*[^\W_a-zà-ÿ])"  # a stop, then a capital, a digit or a mark
    r"|\n\s*\n"  # a blank line
    r"|\n(?=\s*(?:[-*•#>|]|\d+[.)])\s*)"  # a list item, heading, quote or table row
    r"|(?<=\|)\n"
)
_MIN_LETTERS_FOR_DETECTION = 12

_STOP_WORDS_EN = """
a about after all also an and any are as at be because been being before between both but by can could did
do does doing during each for from had has have having he her here his how i if in into is it its itself
just many me more most much my no nor not of off on once only or other our out over own same she should so
some such than that the their them then there these they this those through to too under until up very was
we were what when where which while who whom whose why will with would you your
"""
_STOP_WORDS_PT = """
a à ao aos aquela aquele aquilo as às até cada com como da das de dela dele deles do dos e é ela elas ele
eles em entre era essa esse esta está estão este eu foi foram há isso isto já lhe mais mas me mesmo meu
minha muito na não nas nem no nos nós num numa o os ou para pela pelas pelo pelos por porque qual quais
quando quanto quantos que quem se sem ser seu seus só sua suas são também te tem têm um uma umas uns você
vocês onde quê
"""
STOP_WORDS = frozenset((_STOP_WORDS_EN + " " + _STOP_WORDS_PT).split())


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) offsets of the sentences of `text`, without surrounding white space.

    Sentences end at a stop before a capital, digit or mark, at blank lines, and where a list item, heading
    or table row begins. Common abbreviations and decimals do not end one.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _BREAK.finditer(text):
        end = match.end()
        if _ABBREVIATION.search(text, max(start, end - 8), end):
            continue
        _append_trimmed(spans, text, start, end)
        start = end
    _append_trimmed(spans, text, start, len(text))
    return spans


def _append_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


class _Combining(dict[int, int | None]):
    """A table for `str.translate` that drops combining marks, filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.combining(chr(code)) else code
        return self[code]


_NO_COMBINING = _Combining()


def words(text: str) -> list[str]:
    """Return the words and numbers of `text` in order; numbers keep their points and commas."""
    return _WORD.findall(text)


def fold(text: str) -> str:
    """Return `text` in lower case without diacritics."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text.casefold()).translate(_NO_COMBINING)


@cache
def _folded_stop_words() -> frozenset[str]:
    return frozenset(fold(word) for word in STOP_WORDS)


def content_words(text: str) -> list[str]:
    """Return the folded words of `text` that are not English or Portuguese function words."""
    stop = _folded_stop_words()
    return [word for word in words(fold(text)) if word not in stop]


def detect_language(text: str, among: Collection[str] = ()) -> str | None:
    """Return the ISO 639-1 code of the language of `text`, or None when there is too little to tell.

    Args:
        text: the text; its first 4,000 characters are looked at.
        among: restricts the answer to these codes, which makes short texts reliable.
    """
    sample = text[:4000]
    if sum(ch.isalpha() for ch in sample) < _MIN_LETTERS_FOR_DETECTION:
        return None
    import py3langid

    for code, _ in py3langid.rank(sample):
        if not among or code in among:
            return str(code)
    return None
