"""The language of a text, by langid's model (Lui & Baldwin 2012), where there is enough of it to tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

__all__ = ["document_languages", "language_among"]

_WORD = re.compile(r"[^\W\d_]+")
_MIN_WORDS = 20
_MIN_LETTERS = 12
_QUESTION_CHARS = 4_000
_MIN_MARGIN = 8.0
_SLICE_CHARS = 1_500
_ROW_CHARS = 400
_MANY_ROWS = 500
_PROBES = 200
_MAJORITY = 0.95


def language_among(text: str, codes: Collection[str]) -> str | None:
    """Return which of the languages `codes` a question is in; None where it has hardly any letters.

    Args:
        text: a question; its first 4,000 characters are looked at.
        codes: ISO 639-1 codes; a choice among few is what makes short texts reliable.
    """
    sample = text[:_QUESTION_CHARS]
    if sum(ch.isalpha() for ch in sample) < _MIN_LETTERS:
        return None
    import py3langid

    return next((str(code) for code, _ in py3langid.rank(sample) if code in codes), None)


def document_languages(texts: Sequence[str]) -> list[str | None]:
    """Return the ISO 639-1 code of each text of a file; None where unsure.

    Unsure: fewer than 20 words, or a second language within a factor e**8 of the first. A text costs about
    1 ms, so of more than 500 texts 200 are looked at first; where 95% of them agree, all have that language.
    """
    if len(texts) <= 1:
        return [_language(text) for text in texts]
    if len(texts) > _MANY_ROWS:
        probes = [_language(text[:_ROW_CHARS]) for text in texts[:: len(texts) // _PROBES]]
        told = Counter(probe for probe in probes if probe is not None)
        if told and told.most_common(1)[0][1] >= _MAJORITY * told.total():
            return [told.most_common(1)[0][0]] * len(texts)
    return [_language(text[:_ROW_CHARS]) for text in texts]


def _language(text: str) -> str | None:
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
