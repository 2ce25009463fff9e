"""How far passages support a sentence: what its words, numbers, names and negations tell.

No model is asked. `signs_of` measures, `evals.metrics.support_weights` weighs what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

from evals.metrics.text import TokenTable
from rag.text import STOP_WORDS, fold, sentence_spans, words

__all__ = [
    "SIGNS",
    "WINDOW",
    "Signs",
    "claims",
    "nearest_sentences",
    "sentences_touched",
    "signs_of",
    "stands_verbatim",
    "stem",
]

_STEM = 6
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot"
    r"|nao|nunca|jamais|nem|nenhuma?|ninguem|nada|sem)\b|n['’]t\b"
)
_GOES_ON = re.compile(r"[.,]\d")
_STOP = frozenset(map(fold, STOP_WORDS))

SIGNS = ("together", "pairs", "number", "name", "negation")
"""The names of the signs."""

WINDOW = 3
"""Consecutive sentences of a passage that may support one sentence together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signs:
    """What tells for and against support, each from 0 to 1, over a sentence's content words, stemmed.

    `together` is the share of its words in the best window of WINDOW sentences of a passage, `pairs` the
    share of its neighbouring words that stand side by side anywhere in the passages. `number` and `name` are
    1 where one of its numbers or capitalised words stands nowhere in them. `negation` is the share of its
    words in the nearest sentence of the passages where one of the two negates and the other does not, else 0.
    """

    together: float
    pairs: float
    number: float
    name: float
    negation: float

    def as_dict(self) -> dict[str, float]:
        """Return the signs by name."""
        return {sign: getattr(self, sign) for sign in SIGNS}


def signs_of(sentence: str, passages: Sequence[str], question: str = "") -> Signs | None:
    """Return what the passages say for and against `sentence`; None where it has no content words.

    Args:
        sentence: one sentence of an answer.
        passages: what the system was shown.
        question: its words are nobody's claim, and left out where the sentence has others.
    """
    stems = _stems(sentence)
    asked = frozenset(_stems(question))
    wanted = frozenset(stems) - asked or frozenset(stems)
    if not wanted:
        return None
    read = [_prepared(passage) for passage in passages]
    missing = wanted.difference(*(passage.words for passage in read))
    pairs = frozenset(pairwise(stems))
    near = _nearest(wanted, read)
    together = near.together / len(wanted)
    differs = near.words > 0 and _negates(near.sentence) != _negates(sentence)
    return Signs(
        together=together,
        pairs=1 - len(_without(pairs, read)) / len(pairs) if pairs else together,
        number=float(any(word[0].isdigit() for word in missing)),
        name=float(bool(missing) and not missing.isdisjoint(_names(sentence))),
        negation=near.words / len(wanted) if differs else 0.0,
    )


@dataclass(slots=True)
class _Nearest:
    """How many of the wanted words the best window holds, and the sentence that holds most, with how many."""

    together: int = 0
    words: int = 0
    sentence: str = ""


def _nearest(wanted: frozenset[str], read: Sequence[_Passage]) -> _Nearest:
    best = _Nearest()
    # Those that hold most of the words come first: after them, few can hold a better window or sentence.
    overlaps = [len(wanted & passage.words) for passage in read]
    for overlap, passage in sorted(zip(overlaps, read, strict=True), key=lambda pair: -pair[0]):
        if overlap <= best.words:
            break
        held = [wanted & words for words in passage.sentences]
        for place, here in enumerate(held):
            if not here:  # the next window holds as much
                continue
            if len(here) > best.words:
                best.words, best.sentence = len(here), passage.texts[place]
            window = here.union(*held[place + 1 : place + WINDOW])
            best.together = max(best.together, len(window))
    return best


def _without(pairs: frozenset[tuple[str, str]], read: Sequence[_Passage]) -> frozenset[tuple[str, str]]:
    """Return the pairs that stand side by side in no passage."""
    for passage in read:
        held = passage.words
        found = [
            (left, right)
            for left, right in pairs
            if left in held and right in held and f" {left} {right} " in passage.line
        ]
        pairs = pairs.difference(found)
    return pairs


def stands_verbatim(sentence: str, passages: Sequence[str]) -> bool:
    """True where a passage holds the sentence word for word: case, diacritics and white space aside.

    Not where a word or number goes on: `costs 5` does not stand in `costs 50`.
    """
    verbatim = _folded(sentence)
    if not verbatim:
        return False
    return any(_stands_whole(verbatim, _prepared(passage).folded) for passage in passages)


def claims(sentence: str) -> bool:
    """True where the sentence has content words, so that there is something to support."""
    return bool(_stems(sentence))


def nearest_sentences(sentence: str, passages: Sequence[str], count: int) -> list[str]:
    """Return the `count` sentences of the passages that share most words with `sentence`, the best first."""
    wanted = frozenset(_stems(sentence))
    read = [_prepared(passage) for passage in passages]
    held = [found for passage in read for found in zip(passage.texts, passage.sentences, strict=True)]
    return [text for text, _ in sorted(held, key=lambda found: -len(wanted & found[1]))[:count]]


class _Passage:
    """A passage made ready, each part when it is first asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        return sentence_spans(self.text)

    @cached_property
    def texts(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]

    @cached_property
    def folded(self) -> str:
        return _folded(self.text)

    @cached_property
    def stems(self) -> list[list[str]]:
        return [_STEMS.words(text) for text in self.texts]

    @cached_property
    def words(self) -> frozenset[str]:
        return _STEMS.vocabulary(self.text)

    @cached_property
    def sentences(self) -> list[frozenset[str]]:
        return [frozenset(held) for held in self.stems]

    @cached_property
    def line(self) -> str:
        return " \n ".join(["", *map(" ".join, self.stems), ""])


def sentences_touched(passage: str, start: int, end: int) -> list[str]:
    """Return the sentences of `passage` that hold some of its characters from `start` to `end`."""
    read = _prepared(passage)
    placed = zip(read.spans, read.texts, strict=True)
    return [text for (first, last), text in placed if first < end and last > start]


@lru_cache(maxsize=1024)
def _prepared(text: str) -> _Passage:
    # The passages of a sample are the same for every system: read once, they cost nothing after.
    return _Passage(text)


def _stands_whole(verbatim: str, text: str) -> bool:
    # By hand: a pattern of each sentence would cost more to compile than all else.
    start = text.find(verbatim)
    while start >= 0:
        end = start + len(verbatim)
        before, after = text[max(0, start - 1) : start], text[end : end + 2]
        if not (_is_word(before) or _is_word(after[:1]) or _GOES_ON.match(after)):
            return True
        start = text.find(verbatim, start + 1)
    return False


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


@lru_cache(maxsize=16384)
def _stems(text: str) -> tuple[str, ...]:
    return tuple(_STEMS.words(text))


def _negates(text: str) -> bool:
    return _NEGATION.search(fold(text)) is not None


def stem(word: str) -> str:
    """Return a number without its grouping, a word without its ending: its first six letters, no plural s."""
    if not word[0].isdigit():
        return word[:_STEM] if len(word) > _STEM else word.removesuffix("s") if len(word) > 3 else word
    if word.isdigit():
        return word
    return word.replace(",", "").replace(".", "") if _GROUPED.fullmatch(word) else word.replace(",", ".")


def _folded(text: str) -> str:
    """Return `text` in lower case without diacritics, with single spaces."""
    return " ".join(fold(text).split())


def _stems_of(token: str) -> list[str]:
    return [stem(word) for word in words(fold(token)) if word not in _STOP]


_STEMS = TokenTable(_stems_of)


def _names(sentence: str) -> frozenset[str]:
    """Return the stems of capitalised words; a first word counts where a capitalised one follows."""
    found = [match.group() for match in _WORD.finditer(sentence)]
    capital = [word[0].isupper() for word in found]
    return frozenset(
        stem(folded)
        for place, word in enumerate(found)
        if capital[place]
        and (place > 0 or len(found) == 1 or capital[1])
        and (folded := fold(word)) not in _STOP
    )
