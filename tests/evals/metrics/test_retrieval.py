"""Retrieval measures against values worked by hand."""

from __future__ import annotations

from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.retrieval import ranked_units
from tests.evals.metrics.values import passage, record, sample, score, value

PAGES = [("b.pdf", 1), ("a.pdf", 2), ("a.pdf", 2), ("a.pdf", 3), ("c.md", None)]
PASSAGES = [passage(f"text {n}", source, page) for n, (source, page) in enumerate(PAGES)]


def test_values_worked_by_hand() -> None:
    item = sample("x", relevant=("a.pdf#2", "c.md", "z.pdf#1"))
    # Units: b#1, a#2, a#3, c: relevant at ranks 2 and 4, of three.
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    expected = {
        "recall@1": 0.0,
        "recall@2": 1 / 3,
        "recall@5": 2 / 3,
        "mrr": 1 / 2,
        "ndcg@10": (1 / log2(3) + 1 / log2(5)) / ideal,
    }
    for metric, wanted in expected.items():
        assert value(metric, item, record(), *PASSAGES) == pytest.approx(wanted, abs=1e-9), metric


def test_a_page_found_twice_counts_once() -> None:
    assert ranked_units(PASSAGES, ["a.pdf#2"]) == ("b.pdf#1", "a.pdf#2", "a.pdf#3", "c.md")
    assert ranked_units(PASSAGES, ["a.pdf"]) == ("b.pdf", "a.pdf", "c.md")
    assert ranked_units(PASSAGES, ["a.pdf", "b.pdf#1"]) == ("b.pdf#1", "a.pdf", "c.md")


def test_rows_of_a_file_are_sources_not_pages() -> None:
    rows = [passage("one", "corpus.jsonl#12"), passage("two", "corpus.jsonl#7")]
    assert value("mrr", sample("x", relevant=("corpus.jsonl#7",)), record(), *rows) == 0.5


def test_nothing_retrieved_scores_zero_and_a_closed_book_nothing() -> None:
    item = sample("x", relevant=("a.pdf",))
    assert value("recall@5", item, record()) == 0.0
    assert score("recall@5", item, record(rag=False)).reason == "no passages known"
    assert score("recall@5", sample("x"), record(), *PASSAGES).reason == "no relevant passage named"


@given(st.lists(st.integers(0, 6), max_size=12), st.sets(st.integers(0, 6), min_size=1))
def test_bounds_and_order(found: list[int], wanted: set[int]) -> None:
    item = sample("x", relevant=tuple(f"d{n}" for n in sorted(wanted)))
    hits = [passage("t", f"d{n}") for n in found]
    recall5, recall10, mrr, ndcg = (
        value(name, item, record(), *hits) or 0.0 for name in ("recall@5", "recall@10", "mrr", "ndcg@10")
    )
    assert 0.0 <= recall5 <= recall10 <= 1.0
    assert 0.0 <= ndcg <= 1.0 + 1e-12
    assert 0.0 <= mrr <= 1.0
