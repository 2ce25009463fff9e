"""Citation precision: how many of an answer's citations hold."""

from __future__ import annotations

from collections.abc import Sequence

from evals.core import Record, Sample, Score
from evals.metrics.text import is_refusal
from rag.core import Chunk

__all__ = ["CitationPrecision"]


class CitationPrecision:
    """Verified citations over citations; None where there are none, so that silence is not rewarded.

    A citation is verified when its quote stands word for word in the cited passage (`rag.citations`).
    """

    names = ("citation_precision",)
    needs_answer = True
    needs_passages = True

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:  # noqa: ARG002
        """Return the share of the record's citations that are verified."""
        if not record.citations:
            reason = "refused" if is_refusal(record) else "no citations"
            return [Score(metric="citation_precision", value=None, reason=reason)]
        verified = sum(citation.verified for citation in record.citations)
        value = verified / len(record.citations)
        return [
            Score(
                metric="citation_precision",
                value=value,
                reason=f"{verified} of {len(record.citations)} verified",
            )
        ]
