"""Refusal accuracy: does a system say "I do not know" exactly when it should?"""

from __future__ import annotations

from collections.abc import Sequence

from evals.core import Record, Sample, Score
from evals.metrics.text import NO_ANSWER_KNOWN, is_refusal
from rag.core import Chunk

__all__ = ["RefusalAccuracy"]


class RefusalAccuracy:
    """1 where the system refused an unanswerable question or answered an answerable one, else 0."""

    names = ("refusal_accuracy",)
    needs_answer = True
    needs_passages = False

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Compare the refusal with what the sample asks for: no targets means that it has no answer."""
        if not (sample.targets or sample.unanswerable):
            return [Score(metric="refusal_accuracy", value=None, reason=NO_ANSWER_KNOWN)]
        refused, should = is_refusal(record), sample.unanswerable
        reason = f"{'refused' if refused else 'answered'}, {'unanswerable' if should else 'answerable'}"
        return [Score(metric="refusal_accuracy", value=float(refused == should), reason=reason)]
