"""`extractive`: no language model, the sentences of the passages that answer best, quoted verbatim.

The honest baseline: free, instant, unable to make things up. A language model earns its price only by
beating it.
"""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rag.core import Chunk, Completion, Outcome, Request, TextSink, Timing, Usage
from rag.language import language_among
from rag.quotes import MARKER
from rag.refusals import REFUSALS, refusal
from rag.text import content_words, sentence_spans

__all__ = ["ExtractiveProvider"]

_STEM = 6  # letters kept of a word: "prices" and "priced", "provedores" and "provedor" then meet
_MIN_COVERAGE = 0.3  # of the question's weight, by the best passage; below it the passages do not answer
_RANK_DISCOUNT = 0.93  # retrieval's own opinion: each rank further down counts a little less
_NOTHING_USED = Usage(
    input_tokens=0, cached_input_tokens=0, cache_write_tokens=0, output_tokens=0, reasoning_tokens=0
)
_OWN_MARK = re.compile(rf"\s*{MARKER.pattern}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class _Sentence:
    passage: int
    text: str
    stems: frozenset[str]


class ExtractiveProvider:
    """Answers from `Request.passages` alone; `Request.messages` is not read.

    A question gets the sentence that holds most of its words, weighted by their rarity among the passages
    (inverse document frequency; Sparck Jones 1972), with its citation. Where no sentence holds enough of
    them the answer is a refusal. A multiple-choice question gets the letter of the option that shares most
    with the sentences about the question.
    """

    name = "extractive"
    model = "extractive"

    async def complete(self, request: Request, on_text: TextSink | None = None) -> Completion:
        """Answer `request`; costs nothing and uses no tokens."""
        sent = time.perf_counter()
        text = _choose(request) if request.choices else _answer(request)
        if on_text:
            on_text(text)
        last = time.perf_counter()
        return Completion(
            text=text,
            outcome=Outcome.OK,
            provider=self.name,
            model=self.model,
            model_answered=self.model,
            finish_reason="stop",
            usage=_NOTHING_USED,
            cost=Decimal(0),
            timing=Timing(sent=sent, headers=sent, first_content=last, last=last, streamed=False),
        )

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _answer(request: Request) -> str:
    sentences = _sentences(request.passages)
    question = _stems(request.question)
    weights = _weights(question, sentences)
    if not sentences or _coverage(request.passages, weights) < _MIN_COVERAGE:
        return refusal(language_among(request.question, REFUSALS))
    best = max(sentences, key=lambda s: _worth(s, weights))
    quote = " ".join(best.text.split())
    # A source's own marks would read as citations of other passages.
    shown = " ".join(_OWN_MARK.sub("", quote).split())
    return f'{shown} [{best.passage}]\n[{best.passage}] "{quote}"'


def _coverage(passages: Sequence[Chunk], weights: dict[str, float]) -> float:
    """Return the largest share of the question's weight that one passage holds, 0 to 1."""
    total = math.fsum(weights.values())
    held = (_overlap(_stems(chunk.text), weights) for chunk in passages)
    return max(held, default=0.0) / total if total else 0.0


def _choose(request: Request) -> str:
    sentences = _sentences(request.passages)
    question = _weights(_stems(request.question), sentences)
    options = [_weights(_stems(option) - question.keys(), sentences) for option in request.choices]
    scores = [
        max((_overlap(s.stems, option) * (1 + _overlap(s.stems, question)) for s in sentences), default=0.0)
        / math.sqrt(max(len(option), 1))
        for option in options
    ]
    return f"Answer: {_LETTERS[scores.index(max(scores))]}"


def _sentences(passages: Sequence[Chunk]) -> list[_Sentence]:
    texts = (
        (number, chunk.text[start:end])
        for number, chunk in enumerate(passages, start=1)
        for start, end in sentence_spans(chunk.text)
    )
    return [_Sentence(number, text, _stems(text)) for number, text in texts if not _is_heading(text)]


def _is_heading(text: str) -> bool:
    return text.startswith("#") or (len(text) < 60 and text[-1] not in '.!?…|:;"”»)')


def _stems(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in content_words(text))


def _weights(stems: frozenset[str], sentences: Sequence[_Sentence]) -> dict[str, float]:
    """Return the inverse document frequency of each stem, a sentence being the document."""
    found = Counter(stem for sentence in sentences for stem in sentence.stems & stems)
    return {stem: math.log(1 + len(sentences) / (1 + found[stem])) for stem in stems}


def _overlap(stems: frozenset[str], weights: dict[str, float]) -> float:
    # In the order of the weights, so that sums do not depend on the hash seed.
    return math.fsum(weight for stem, weight in weights.items() if stem in stems)


def _worth(sentence: _Sentence, weights: dict[str, float]) -> float:
    brevity = 1 / math.sqrt(1 + len(sentence.stems) / 20)
    return _overlap(sentence.stems, weights) * brevity * _RANK_DISCOUNT**sentence.passage
