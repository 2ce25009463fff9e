"""Faithfulness without a model: do the words of each sentence stand together in the passages?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from evals.core import Record, Sample, Score
from evals.metrics.text import is_refusal, statements
from rag.core import Chunk
from rag.text import content_words, fold, sentence_spans

__all__ = ["SUPPORT", "WINDOW", "FaithfulnessLexical", "supported"]

SUPPORT = 0.5
WINDOW = 3

_CUT = "\x1e"  # no sentence holds a record separator
_DIGIT = re.compile(r"\d")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:[.,]\d{3})+")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Passage:
    """A passage made ready: its folded text, its content words, and those of each window of sentences."""

    folded: str
    words: frozenset[str]
    windows: tuple[frozenset[str], ...]


def supported(sentence: str, passages: Sequence[str]) -> bool | None:
    """Return whether one passage supports `sentence`; None for a sentence without content words.

    A sentence is supported where it stands in a passage word for word (case, diacritics and white space
    aside), or where some window of up to WINDOW = 3 consecutive sentences of one passage holds at least
    SUPPORT = 50 % of its distinct content words and every one of its numbers. Content words are those that
    are no English or Portuguese function words; 1,000 and 1.000 and 1000 are one number.

    Copied sentences are supported by construction. Negations, roles and order are not seen: it finds
    inventions, not distortions. It is strict with paraphrase: of WiCE's development claims (Kamoi et al.
    2023, arXiv:2303.01432) it supports 50 % of those labelled supported, 17 % of the partially supported and
    2 % of the not supported, so compare systems by it and do not read it as a rate of truth.
    """
    wanted = _content(sentence)
    if not wanted:
        return None
    numbers = {word for word in wanted if word[0].isdigit()}
    enough = SUPPORT * len(wanted)
    verbatim = " ".join(fold(sentence).split())
    for passage in map(_prepared, passages):
        if verbatim in passage.folded and _stands_in(verbatim, passage.folded):
            return True
        if len(wanted & passage.words) < enough:
            continue
        if any(numbers <= window and len(wanted & window) >= enough for window in passage.windows):
            return True
    return False


def _stands_in(verbatim: str, text: str) -> bool:
    """Not where a word or number goes on: `costs 5` does not stand in `costs 50`."""
    return re.search(rf"(?<!\w){re.escape(verbatim)}(?![\w]|[.,]\d)", text) is not None


@lru_cache(maxsize=4096)
def _prepared(text: str) -> _Passage:
    # The passages of a sample are the same for every system: read once, they cost nothing after.
    folded = fold(_CUT.join(text[start:end] for start, end in sentence_spans(text)))
    parts = [_content(part) for part in folded.split(_CUT)]
    last_start = max(1, len(parts) - WINDOW + 1)
    windows = [frozenset().union(*parts[start : start + WINDOW]) for start in range(last_start)]
    return _Passage(
        folded=" ".join(folded.replace(_CUT, " ").split()),
        words=frozenset().union(*parts),
        windows=tuple(windows),
    )


def _content(text: str) -> frozenset[str]:
    found = content_words(text)
    if _DIGIT.search(text) is None:
        return frozenset(found)
    return frozenset(_number(word) if word[0].isdigit() else word for word in found)


def _number(word: str) -> str:
    if word.isdigit():
        return word
    return word.replace(",", "").replace(".", "") if _GROUPED.fullmatch(word) else word.replace(",", ".")


class FaithfulnessLexical:
    """Share of the answer's sentences that the passages support; None for refusals and empty answers."""

    names = ("faithfulness_lexical",)
    needs_answer = True
    needs_passages = True

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Judge each sentence of the answer against all passages of the sample's context."""
        if is_refusal(record):
            return [Score(metric="faithfulness_lexical", value=None, reason="refused")]
        texts = [passage.text for passage in passages]
        verdicts = [supported(sentence, texts) for sentence in statements(record.answer)]
        judged = [verdict for verdict in verdicts if verdict is not None]
        if not judged:
            return [Score(metric="faithfulness_lexical", value=None, reason="no statement")]
        reason = f"{sum(judged)} of {len(judged)} sentences supported"
        return [Score(metric="faithfulness_lexical", value=sum(judged) / len(judged), reason=reason)]
