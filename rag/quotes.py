"""Quotes: whether, and where, words stand verbatim in a text; and the marks such as `[1]` that cite them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["MARKER", "find_quote"]

MARKER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\](?!\()")
"""A mark of an answer: `[1]` or `[1, 3]`, but not the text of a link."""

_TOKEN = re.compile(r"(?<!\w)[-+]?\d+(?:[.,:/]\d+)*%?|\w+")
_EDGE = " \t\n.,;:…\"'“”‘’«»*`"

_SINGLE = {
    "‘": "'", "’": "'", "‚": "'", "′": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "″": '"',
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "…": "...",
    "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st",
}  # fmt: skip
_SOFT_HYPHEN = "\u00ad"
_INVISIBLE = {_SOFT_HYPHEN, "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff"}


def find_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Return the (start, end) offsets in `text` where `quote` stands word for word, or None.

    Compared after normalising: canonical Unicode composition, ligatures, typographic quotes and dashes, runs
    of white space, invisible characters, words hyphenated over a line end. Case, digits and signs must
    agree, and a match may not begin or end inside a word or a number ("USD 0.9" is not in "USD 0.90").
    """
    words = _normalise(quote, join_hyphens=False).text
    # An underscore may be emphasis, or belong to a name such as `__init__`.
    needles = [needle for edge in (_EDGE, f"{_EDGE}_") if (needle := words.strip(edge)).strip("_")]
    for join_hyphens in (False, True) if needles else ():
        hay = _normalise(text, join_hyphens=join_hyphens)
        for needle in needles:
            if span := _find_whole(needle, hay.text):
                return hay.starts[span[0]], hay.ends[span[1] - 1]
    return None


def _find_whole(needle: str, hay: str) -> tuple[int, int] | None:
    start = hay.find(needle)
    if start < 0:
        return None
    inside = {at for token in _TOKEN.finditer(hay) for at in range(token.start() + 1, token.end())}
    while start >= 0:
        end = start + len(needle)
        if start not in inside and end not in inside:
            return start, end
        start = hay.find(needle, start + 1)
    return None


@dataclass(frozen=True, slots=True)
class _Normalised:
    """Normalised text; character i came from `raw[starts[i]:ends[i]]`."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def _normalise(raw: str, *, join_hyphens: bool) -> _Normalised:
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _clusters(raw):
        piece = _fold_cluster(raw[start:end])
        if piece == " " and (not out or out[-1] == " "):
            continue
        if piece == " " and raw[start - 1] == _SOFT_HYPHEN and "\n" in raw[start:end]:
            continue
        if piece == " " and out[-1] == "-" and "\n" in raw[start:end] and len(out) > 1 and out[-2].isalpha():
            if join_hyphens:
                out.pop(), starts.pop(), ends.pop()
            continue
        out.extend(piece)
        starts.extend([start] * len(piece))
        ends.extend([end] * len(piece))
    return _Normalised(text="".join(out), starts=starts, ends=ends)


def _clusters(raw: str) -> Iterable[tuple[int, int]]:
    """Yield runs of white space, and single characters with their combining marks."""
    at = 0
    while at < len(raw):
        end = at + 1
        if raw[at].isspace():
            while end < len(raw) and (raw[end].isspace() or raw[end] in _INVISIBLE):
                end += 1
        else:
            while end < len(raw) and unicodedata.combining(raw[end]):
                end += 1
        yield at, end
        at = end


def _fold_cluster(cluster: str) -> str:
    if cluster[0].isspace():
        return " "
    if cluster in _INVISIBLE:
        return ""
    if cluster in _SINGLE:
        return _SINGLE[cluster]
    if len(cluster) == 1 and "\uff01" <= cluster <= "\uffee":
        return unicodedata.normalize("NFKC", cluster)
    return unicodedata.normalize("NFC", cluster)
