"""Retrieval: candidates from dense and lexical search, fused by rank, and cut to a budget of tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Sized
from typing import get_args

from rag.breaks import slices
from rag.core import Embedder, Hit, Mode, SearchResult, SearchTiming
from rag.errors import FingerprintError, UnknownNameError, UsageError
from rag.index import Index, Where

__all__ = ["RRF_CONSTANT", "fit_budget", "fuse", "retrieve"]

# Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
# methods", SIGIR 2009, section 2: score(d) = sum over rankings of 1 / (60 + rank(d)).
RRF_CONSTANT = 60
MIN_CANDIDATES = 50
CANDIDATES_PER_HIT = 5

Ranking = Sequence[tuple[str, float]]


def retrieve(
    index: Index,
    embedder: Embedder | None,
    query: str,
    *,
    k: int = 8,
    mode: Mode = "hybrid",
    where: Where | None = None,
) -> SearchResult:
    """Return the `k` best passages for `query`.

    Args:
        index: the collection.
        embedder: the one that the collection was built with; may be None in mode `lexical`.
        query: any text; of a long one, embedding and lexical search each read the beginning.
        k: how many passages, at least 1.
        mode: `dense` scores are cosine similarity, `lexical` BM25, `hybrid` reciprocal rank fusion of both.
        where: metadata that a passage must equal, every key of it.

    Raises:
        UsageError: the query is empty, `k` is below 1, or the mode needs an embedder.
        UnknownNameError: the mode, or a key of `where`, is not known.
        FingerprintError: the embedder's vectors are not those of the collection.
    """
    _check(query, k, mode)
    started = time.perf_counter()
    depth = k if mode != "hybrid" else max(MIN_CANDIDATES, CANDIDATES_PER_HIT * k)
    dense: Ranking = ()
    lexical: Ranking = ()
    embed_s = dense_s = lexical_s = None
    if mode != "lexical":
        vector = _fitting(index, embedder).embed_query(query)
        embedded = time.perf_counter()
        embed_s = embedded - started
        dense = index.dense(vector, depth, where)
        dense_s = time.perf_counter() - embedded
    if mode != "dense":
        before = time.perf_counter()
        lexical = index.lexical(query, depth, where)
        lexical_s = time.perf_counter() - before
    ranked = fuse(dense, lexical) if mode == "hybrid" else [*dense, *lexical]
    hits = _hits(index, ranked[:k], dense, lexical)
    timing = SearchTiming(
        embed_s=embed_s, dense_s=dense_s, lexical_s=lexical_s, total_s=time.perf_counter() - started
    )
    return SearchResult(query=query, collection=index.settings.name, mode=mode, hits=hits, timing=timing)


def fuse(*rankings: Ranking) -> list[tuple[str, float]]:
    """Return all ids with their reciprocal rank fusion score, best first; ties in order of id.

    Only ranks count, so that scores of different scales need no calibration (Cormack et al. 2009).
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, (id_, _) in enumerate(ranking, 1):
            scores[id_] = scores.get(id_, 0.0) + 1.0 / (RRF_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def fit_budget(
    hits: Sequence[Hit], *, token_spans: Callable[[str], Sized], budget_tokens: int
) -> tuple[Hit, ...]:
    """Return the hits that fit into `budget_tokens`, best first, each whole.

    One that does not fit is passed over and a shorter one further down may take its place. The best hit is
    kept even where it alone is over: a context is never empty because a document is long.

    Args:
        hits: best first.
        token_spans: what counts tokens, such as `Embedder.token_spans`.
        budget_tokens: the most that the kept passages may have together.
    """
    kept: list[Hit] = []
    left = budget_tokens
    for hit in hits:
        tokens = _tokens(hit.chunk.text, token_spans, left)
        if tokens <= left or not kept:
            kept.append(hit)
            left -= tokens
    return tuple(kept)


def _tokens(text: str, token_spans: Callable[[str], Sized], most: int) -> int:
    """Count the tokens of a text; no further than past `most`, since a whole document may be 50 MB."""
    count = 0
    for start, end in slices(text):
        count += len(token_spans(text[start:end]))
        if count > most:
            break
    return count


def _check(query: str, k: int, mode: str) -> None:
    if not query.strip():
        raise UsageError("the query is empty; say what to look for.")
    if k < 1:
        raise UsageError(f"k is {k}; ask for at least 1 passage.")
    if mode not in get_args(Mode):
        raise UnknownNameError("search mode", mode, get_args(Mode))


def _fitting(index: Index, embedder: Embedder | None) -> Embedder:
    settings = index.settings
    if embedder is None:
        raise UsageError(
            "this search mode needs the collection's embedding model; without one use mode 'lexical'."
        )
    if embedder.fingerprint != settings.fingerprint:
        raise FingerprintError(
            f"the collection {settings.name!r} was built with {settings.embedder} "
            f"({settings.fingerprint[:12]}), not {embedder.name} ({embedder.fingerprint[:12]}): their "
            f"vectors cannot be compared. Search it with {settings.embedder!r}, or drop it with "
            f"'ragassay collections drop {settings.name}' and ingest again."
        )
    return embedder


def _hits(index: Index, ranked: Ranking, dense: Ranking, lexical: Ranking) -> tuple[Hit, ...]:
    dense_ranks = {id_: rank for rank, (id_, _) in enumerate(dense, 1)}
    lexical_ranks = {id_: rank for rank, (id_, _) in enumerate(lexical, 1)}
    scores = dict(ranked)
    return tuple(
        Hit(
            chunk=chunk,
            score=scores[chunk.id],
            dense_rank=dense_ranks.get(chunk.id),
            lexical_rank=lexical_ranks.get(chunk.id),
        )
        for chunk in index.chunks([id_ for id_, _ in ranked])
    )
