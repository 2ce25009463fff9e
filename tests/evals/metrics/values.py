"""Samples, records and passages in a line each."""

from __future__ import annotations

from typing import Any

from evals.core import Record, Sample, Score
from evals.metrics import load_metrics, score_record
from rag.core import Chunk, Citation, Completion, Outcome, Timing


def sample(*targets: str, **changes: Any) -> Sample:
    return Sample(**{"id": "s", "benchmark": "docqa", "question": "q", "targets": targets, **changes})


def record(answer: str = "", outcome: Outcome = Outcome.OK, *, rag: bool = True, **changes: Any) -> Record:
    completion = Completion(
        text=answer, outcome=outcome, provider="lab", model="mock", timing=Timing(sent=0.0, last=1.0)
    )
    values = {"benchmark": "docqa", "sample_id": "s", "system": "x", "repeat": 0, "answer": answer}
    return Record(**{**values, "completion": completion, "context_key": "k" if rag else None, **changes})


def passage(text: str, source: str = "a.md", page: int | None = None) -> Chunk:
    return Chunk(
        id=f"{source}:{page}:{text[:20]}",
        document_id=source,
        source=source,
        title="",
        text=text,
        start=0,
        end=len(text),
        page=page,
    )


def citation(*, verified: bool) -> Citation:
    return Citation(
        marker=1,
        chunk_id="c",
        source="a.md",
        page=None,
        start=None,
        end=None,
        quote="q",
        verified=verified,
        match="exact" if verified else "near",
    )


def score(metric: str, item: Sample, reply: Record, *passages: Chunk) -> Score:
    (found,) = [s for s in score_record(item, reply, passages, load_metrics([metric])) if s.metric == metric]
    return found


def value(metric: str, item: Sample, reply: Record, *passages: Chunk) -> float | None:
    return score(metric, item, reply, *passages).value
