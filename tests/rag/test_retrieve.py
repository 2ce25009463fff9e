"""Fusion, modes, refusals and the token budget."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core import Hit
from rag.errors import FingerprintError, UnknownNameError, UsageError
from rag.index import Index
from rag.retrieve import fit_budget, fuse, retrieve
from tests.rag.index.making import DIMENSION, add, create, document, vector

if TYPE_CHECKING:
    from rag.core import Vectors


class FakeEmbedder:
    """Vectors that depend on the text alone; one token a word."""

    name = "fake"
    fingerprint = "fake-1"
    dimension = DIMENSION
    max_tokens = 256

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.array([vector(text) for text in texts])

    def embed_query(self, text: str) -> Vectors:
        return vector(text)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        return [(0, 1)] * len(text.split())


@pytest.fixture
def index(tmp_path: Path):
    with contextlib.closing(create(tmp_path / "demo")) as opened:
        with opened.writer() as writer:
            add(writer, "a", ["red apples", "green apples and pears", "blue sky"])
            add(writer, "b", ["maçãs vermelhas", "céu azul"], "pt")
        yield opened


def test_fusion_matches_the_published_formula() -> None:
    fused = fuse([("a", 0.9), ("b", 0.8)], [("b", 12.0), ("c", 3.0)])
    assert fused == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("c", pytest.approx(1 / 62)),
    ]


@given(st.lists(st.permutations(["a", "b", "c", "d"]), min_size=1, max_size=3))
def test_fusion_of_equal_rankings_keeps_their_order(rankings: list[list[str]]) -> None:
    first = [(id_, 1.0) for id_ in rankings[0]]
    assert [id_ for id_, _ in fuse(*[first] * len(rankings))] == rankings[0]
    assert fuse(*[[(i, 1.0) for i in r] for r in rankings]) == fuse(
        *[[(i, 9.0) for i in r] for r in rankings]
    )


def test_hybrid_carries_both_ranks(index: Index) -> None:
    result = retrieve(index, FakeEmbedder(), "red apples", k=3)
    assert (result.collection, result.mode, len(result.hits)) == ("demo", "hybrid", 3)
    best = result.hits[0]
    assert (best.chunk.text, best.dense_rank, best.lexical_rank) == ("red apples", 1, 1)
    assert best.score == pytest.approx(2 / 61)
    timing = result.timing
    assert None not in (timing.embed_s, timing.dense_s, timing.lexical_s)
    assert timing.total_s > 0


def test_single_modes(index: Index) -> None:
    dense = retrieve(index, FakeEmbedder(), "blue sky", k=2, mode="dense")
    assert (dense.hits[0].chunk.text, dense.hits[0].lexical_rank, dense.timing.lexical_s) == (
        "blue sky",
        None,
        None,
    )
    assert dense.hits[0].score == pytest.approx(1.0, abs=1e-5)
    lexical = retrieve(index, None, "apple", k=5, mode="lexical")
    assert {hit.chunk.text for hit in lexical.hits} == {"red apples", "green apples and pears"}
    assert lexical.timing.embed_s is None


def test_filter(index: Index) -> None:
    result = retrieve(index, FakeEmbedder(), "apples maçã", k=10, where={"language": "pt"})
    assert {hit.chunk.source for hit in result.hits} == {"b"}
    with pytest.raises(UnknownNameError, match="metadata key"):
        retrieve(index, FakeEmbedder(), "apples", where={"colour": "red"})


def test_long_question(index: Index) -> None:
    result = retrieve(index, FakeEmbedder(), "apples pears " * 8000, k=1)
    assert "apples" in result.hits[0].chunk.text


def test_refusals(index: Index) -> None:
    with pytest.raises(UsageError, match="empty"):
        retrieve(index, FakeEmbedder(), " \n")
    with pytest.raises(UsageError, match="k is 0"):
        retrieve(index, FakeEmbedder(), "x", k=0)
    with pytest.raises(UnknownNameError, match="did you mean 'hybrid'"):
        retrieve(index, FakeEmbedder(), "x", mode="hybird")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="lexical"):
        retrieve(index, None, "x")
    other = FakeEmbedder()
    other.fingerprint = "other"
    with pytest.raises(FingerprintError, match="collections drop demo"):
        retrieve(index, other, "x")


def test_empty_collection(tmp_path: Path) -> None:
    with contextlib.closing(create(tmp_path / "empty")) as empty:
        assert retrieve(empty, FakeEmbedder(), "anything").hits == ()


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    budget=st.integers(0, 120),
)
def test_budget(lengths: list[int], budget: int) -> None:
    _, chunks = document("d", [" ".join(["w"] * n) for n in lengths])
    hits = [Hit(chunk=chunk, score=1.0) for chunk in chunks]
    kept = fit_budget(hits, token_spans=FakeEmbedder().token_spans, budget_tokens=budget)
    assert kept[0] == hits[0]
    assert [h for h in hits if h in kept] == list(kept)
    total = sum(len(h.chunk.text.split()) for h in kept)
    assert total <= max(budget, lengths[0])
    assert all(total + len(h.chunk.text.split()) > budget for h in hits if h not in kept)


def test_a_document_far_over_the_budget_is_not_tokenised_to_its_end() -> None:
    longest = 0

    def spans(text: str) -> list[tuple[int, int]]:
        nonlocal longest
        longest = max(longest, len(text))
        return FakeEmbedder().token_spans(text)

    _, chunks = document("d", ["short one", "w " * 500_000, "short two"])
    hits = [Hit(chunk=chunk, score=1.0) for chunk in chunks]
    assert fit_budget(hits, token_spans=spans, budget_tokens=100) == (hits[0], hits[2])
    assert longest < 60_000
