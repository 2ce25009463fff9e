"""Words of a text, as SQuAD's official evaluation sees them, and the claims of an answer."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain

from evals.core import Record, Sample, Score
from rag.core import Outcome
from rag.text import sentence_spans

__all__ = [
    "NO_ANSWER_KNOWN",
    "TokenTable",
    "best_of_targets",
    "is_refusal",
    "normalise",
    "squad_tokens",
    "statements",
    "without_markers",
]

NO_ANSWER_KNOWN = "no accepted answer known"
_KEPT = 200_000  # tokens of a table, 40 MB

_ARTICLES = {
    "en": re.compile(r"\b(a|an|the)\b"),
    "pt": re.compile(r"\b(o|a|os|as|um|uma|uns|umas)\b"),
}
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


class _Punctuation(dict[int, int | None]):
    """A table for `str.translate` that drops punctuation of all scripts, filled as characters are met."""

    def __missing__(self, code: int) -> int | None:
        char = chr(code)
        dropped = char in string.punctuation or unicodedata.category(char).startswith("P")
        self[code] = None if dropped else code
        return self[code]


_ALL_PUNCTUATION = _Punctuation()
_MARKER = re.compile(r"\s*\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\]")
_FROM_WORD_TO_WORD = re.compile(r"[^\W_](?:.*[^\W_])?", re.DOTALL)


class TokenTable(dict[str, tuple[str, ...]]):
    """What the tokens between white space come to. Each is read once: texts repeat their tokens.

    Args:
        read: returns the words of a token; those of a text are the words of its tokens, one after the other.
    """

    def __init__(self, read: Callable[[str], Iterable[str]]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, token: str) -> tuple[str, ...]:
        if len(self) >= _KEPT:
            self.clear()
        self[token] = found = tuple(self._read(token))
        return found

    def words(self, text: str) -> list[str]:
        """Return the words of all tokens of `text`, in order."""
        return list(chain.from_iterable(map(self.__getitem__, text.split())))

    def vocabulary(self, text: str) -> frozenset[str]:
        """Return the different words of `text`."""
        return frozenset(chain.from_iterable(map(self.__getitem__, set(text.split()))))


def _squad(token: str) -> list[str]:
    return _ARTICLES["en"].sub(" ", token.lower().translate(_ASCII_PUNCTUATION)).split()


def _squad_portuguese(token: str) -> list[str]:
    plain = unicodedata.normalize("NFC", token.lower()).translate(_ALL_PUNCTUATION)
    return _ARTICLES["pt"].sub(" ", plain).split()


_SQUAD, _SQUAD_PORTUGUESE = TokenTable(_squad), TokenTable(_squad_portuguese)


def squad_tokens(text: str, language: str | None = None) -> list[str]:
    """Return the words of `normalise(text)`."""
    return (_SQUAD_PORTUGUESE if language == "pt" else _SQUAD).words(text)


def normalise(text: str, language: str | None = None) -> str:
    """Return `text` as SQuAD v1.1's `normalize_answer` does.

    That is: lower case, then without punctuation, then without articles, then with single spaces. English,
    and a text whose language is unknown, follow the official script to the letter (ASCII punctuation; a, an,
    the). Portuguese follows MLQA's extension of it (Lewis et al. 2020, arXiv:1910.07475): all Unicode
    punctuation, and the articles of the language: o, a, os, as, um, uma, uns, umas. Contractions such as do,
    na, pelo hold a preposition too and stay.
    """
    return " ".join(squad_tokens(text, language))


@lru_cache(maxsize=256)  # many metrics ask for the same answer, one after the other
def without_markers(text: str) -> str:
    """Return `text` without citation marks such as `[2]` or `[1, 3]`."""
    return _MARKER.sub("", text)


def statements(text: str) -> list[str]:
    """Return the sentences of an answer without citation marks, bullets and closing punctuation."""
    plain = without_markers(text)
    parts = (_FROM_WORD_TO_WORD.search(plain, start, end) for start, end in sentence_spans(plain))
    return [part[0] for part in parts if part]


def is_refusal(record: Record) -> bool:
    """True where the system declined: it said that the documents do not answer, or its provider refused."""
    return record.refused or record.completion.outcome is Outcome.REFUSAL


def best_of_targets(
    metric: str, sample: Sample, record: Record, compare: Callable[[str, str], float]
) -> Score:
    """Return the best `compare(answer, target)` over the accepted answers, citation marks taken off.

    Without accepted answers a refusal is right and scores 1, any answer 0; a refusal of an answerable
    question scores 0: SQuAD 2.0's rule (Rajpurkar et al. 2018, arXiv:1806.03822). None where nothing is known
    of what is right.
    """
    if not (sample.targets or sample.unanswerable):
        return Score(metric=metric, value=None, reason=NO_ANSWER_KNOWN)
    refused = is_refusal(record)
    if refused or not sample.targets:
        value = float(refused and not sample.targets)
        return Score(metric=metric, value=value, reason="refused" if refused else "not refused")
    answer = without_markers(record.answer)
    return Score(metric=metric, value=max(compare(answer, target) for target in sample.targets))
