"""chrF: character n-grams an answer shares with the target. Kind to inflection and spelling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from evals.core import Record, Sample, Score
from evals.metrics.text import best_of_targets
from rag.core import Chunk

__all__ = ["ChrF", "chrf"]


def chrf(answer: str, target: str) -> float:
    """Return sacrebleu's sentence chrF2 over 100, between 0 and 1 (Popović 2015, W15-3049).

    Its signature is `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`: n-grams of up to six characters without
    white space, case kept, recall weighing twice as much as precision.
    """
    return _scorer()(answer, target)


@cache
def _scorer() -> Callable[[str, str], float]:
    from sacrebleu.metrics.chrf import CHRF

    scorer = CHRF()
    return lambda answer, target: float(scorer.sentence_score(answer, [target]).score) / 100


class ChrF:
    """chrF with the best of the accepted answers; the unanswerable ones are right when refused."""

    names = ("chrf",)
    needs_answer = True
    needs_passages = False

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Return the best value over all targets; citation marks are no part of an answer."""
        return [best_of_targets("chrf", sample, record, chrf)]
