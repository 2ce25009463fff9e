"""K-precision: how much of an answer's wording comes from the passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

from evals.core import Record, Sample, Score
from evals.metrics.text import is_refusal, squad_tokens, without_markers
from rag.core import Chunk

__all__ = ["KPrecision", "k_precision"]


def k_precision(answer: str, passages: Sequence[str], language: str | None = None) -> float | None:
    """Return the share of the answer's words that occur in the passages; None for an answer without words.

    Both are bags of SQuAD-normalised words, the passages joined: |answer AND passages| / |answer|
    (Adlakha et al. 2023, arXiv:2307.16877, section 4.2). Answers copied from a passage get 1 by construction.
    """
    words = Counter(squad_tokens(answer, language))
    if not words:
        return None
    known = _bag(tuple(passages), language)
    found = sum(min(count, known[word]) for word, count in words.items() if word in known)
    return found / words.total()


@lru_cache(maxsize=512)
def _bag(passages: tuple[str, ...], language: str | None) -> Mapping[str, int]:
    # The passages of a sample are the same for every system: counted once, they cost nothing after.
    return Counter(chain.from_iterable(squad_tokens(passage, language) for passage in passages))


class KPrecision:
    """Share of the answer's words that occur in the passages shown; None for refusals and empty answers."""

    names = ("k_precision",)
    needs_answer = True
    needs_passages = True

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:
        """Return the share over all passages of the sample's context."""
        if is_refusal(record):
            return [Score(metric="k_precision", value=None, reason="refused")]
        answer = without_markers(record.answer)
        value = k_precision(answer, [passage.text for passage in passages], sample.language)
        return [Score(metric="k_precision", value=value, reason="empty answer" if value is None else None)]
