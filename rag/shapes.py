"""The JSON shapes of search, ask and ingest results: what `--json` prints and the API returns.

Durations are milliseconds (`_ms`) or seconds (`_s`), money is a decimal string in USD (`_usd`), offsets are
characters of the document's extracted text; null is unknown.
"""

from __future__ import annotations

from typing import Any

from rag.core import Answer, Citation, Hit, SearchResult, Usage

__all__ = [
    "answer_shape",
    "citation_shape",
    "hit_shape",
    "passage_metadata",
    "search_shape",
    "usage_shape",
]


def hit_shape(rank: int, hit: Hit) -> dict[str, Any]:
    """Return one hit; `rank` counts from 1."""
    chunk = hit.chunk
    return {
        "rank": rank,
        "score": round(hit.score, 6),
        "chunk_id": chunk.id,
        "source": chunk.source,
        "title": chunk.title,
        "page": chunk.page,
        "section": chunk.section,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "dense_rank": hit.dense_rank,
        "lexical_rank": hit.lexical_rank,
    }


def passage_metadata(rank: int, hit: Hit) -> dict[str, Any]:
    """Return what other frameworks carry beside the text of a passage; `rank` counts from 1.

    What the source document itself brought comes first, and never stands for one of ours.
    """
    chunk = hit.chunk
    return {
        **chunk.metadata,
        "source": chunk.source,
        "title": chunk.title,
        "page": chunk.page,
        "section": chunk.section,
        "start": chunk.start,
        "end": chunk.end,
        "language": chunk.language,
        "chunk_id": chunk.id,
        "document_id": chunk.document_id,
        "rank": rank,
        "score": hit.score,
        "dense_rank": hit.dense_rank,
        "lexical_rank": hit.lexical_rank,
    }


def search_shape(result: SearchResult) -> dict[str, Any]:
    """Return what `search --json` prints."""
    timing = result.timing
    return {
        "query": result.query,
        "collection": result.collection,
        "mode": result.mode,
        "hits": [hit_shape(rank, hit) for rank, hit in enumerate(result.hits, start=1)],
        "timing": {
            "embed_ms": _ms(timing.embed_s),
            "dense_ms": _ms(timing.dense_s),
            "lexical_ms": _ms(timing.lexical_s),
            "total_ms": _ms(timing.total_s),
        },
    }


def answer_shape(answer: Answer) -> dict[str, Any]:
    """Return what `ask --json` prints."""
    completion = answer.completion
    timing = completion.timing
    speed = timing.output_tokens_per_s(completion.usage)
    return {
        "question": answer.question,
        "answer": answer.text,
        "refused": answer.refused,
        "outcome": completion.outcome.value,
        "error": completion.error,
        "citations": [citation_shape(citation) for citation in answer.citations],
        "hits": [hit_shape(rank, hit) for rank, hit in enumerate(answer.hits, start=1)],
        "provider": completion.provider,
        "model": completion.model,
        "usage": usage_shape(completion.usage),
        "cost_usd": None if completion.cost is None else format(completion.cost, "f"),
        "cached": completion.cached,
        "timing": {
            "retrieval_ms": _ms(answer.retrieval_s),
            "ttft_ms": _ms(timing.ttft_s),
            "total_ms": _ms(timing.total_s),
            "output_tokens_per_s": None if speed is None else round(speed, 1),
        },
    }


def citation_shape(citation: Citation) -> dict[str, Any]:
    """Return one citation."""
    return {
        "marker": citation.marker,
        "chunk_id": citation.chunk_id,
        "source": citation.source,
        "page": citation.page,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
        "verified": citation.verified,
        "match": citation.match,
    }


def usage_shape(usage: Usage) -> dict[str, int | None]:
    """Return token counts; cached input is part of input, reasoning part of output."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
