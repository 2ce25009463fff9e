"""The language of a text, where there is enough of it to tell."""

from __future__ import annotations

import re

__all__ = ["detect_language"]

_WORD = re.compile(r"[^\W\d_]{2,}")
_MIN_WORDS = 20
_MIN_MARGIN = 8.0
_SLICE_CHARS = 1_500


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of `text` by langid's model (Lui & Baldwin 2012); None when unsure.

    Unsure: fewer than 20 words, or a second language within a factor e**8 of the first.
    """
    sample = _sample(text)
    if len(_WORD.findall(sample)) < _MIN_WORDS:
        return None
    import py3langid

    (first, best), (_, second) = py3langid.rank(sample)[:2]
    return str(first) if len(first) == 2 and best - second >= _MIN_MARGIN else None


def _sample(text: str) -> str:
    if len(text) <= 3 * _SLICE_CHARS:
        return text
    middle = len(text) // 2
    return "\n".join((text[:_SLICE_CHARS], text[middle : middle + _SLICE_CHARS], text[-_SLICE_CHARS:]))
