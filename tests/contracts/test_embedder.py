"""What every Embedder keeps, whoever wrote it: one suite, both runtimes and the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.core import Embedder
from rag.embedders import load_embedder

TEXTS = (
    "What does a batch request cost?",
    "",
    "Quanto custa uma requisição em lote?",
    "word " * 600,
    "向量检索 🔎 e\u0301tude",
    "A cat sat on the mat.",
    "lone \ud800 surrogate",
)
KINDS = ["all-MiniLM-L6-v2", "st:all-MiniLM-L6-v2", "cached"]


@pytest.fixture(params=KINDS)
def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> Embedder:
    if request.param == "cached":
        return load_embedder("all-MiniLM-L6-v2", cache=tmp_path / "vectors.sqlite")
    return load_embedder(request.param)


def test_it_is_an_embedder(embedder: Embedder) -> None:
    assert isinstance(embedder, Embedder)
    assert embedder.name
    assert (embedder.dimension, embedder.max_tokens) == (384, 254)


def test_the_fingerprint_is_the_models_not_the_runtimes(embedder: Embedder) -> None:
    assert embedder.fingerprint == load_embedder("all-MiniLM-L6-v2").fingerprint


def test_documents_are_float32_unit_rows_in_order(embedder: Embedder) -> None:
    rows = embedder.embed_documents(TEXTS)
    assert rows.shape == (len(TEXTS), 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
    for row, text in zip(rows, TEXTS, strict=True):
        assert row @ embedder.embed_documents([text])[0] > 0.9998


def test_no_documents_are_no_rows(embedder: Embedder) -> None:
    assert embedder.embed_documents([]).shape == (0, 384)


def test_a_query_is_one_unit_vector_beside_its_like(embedder: Embedder) -> None:
    query = embedder.embed_query("How much is a request in a batch?")
    assert (query.shape, query.dtype) == ((384,), np.float32)
    assert np.linalg.norm(query) == pytest.approx(1.0, abs=1e-5)
    rows = embedder.embed_documents(TEXTS)
    assert int(np.argmax(rows @ query)) == 0


def test_text_beyond_the_limit_does_not_count(embedder: Embedder) -> None:
    within = "word " * embedder.max_tokens
    one, other = embedder.embed_documents([within, within + "and entirely different words at the end"])
    assert one @ other > 0.9999


def test_spans_are_words_of_the_text_and_never_cut(embedder: Embedder) -> None:
    text = "Olá, Straße 42!" + " word" * 600
    spans = embedder.token_spans(text)
    assert [text[start:end] for start, end in spans[:3]] == ["Ol", "á", ","] or text[
        slice(*spans[0])
    ] == "Olá"
    assert len([1 for start, end in spans if text[start:end] == "word"]) == 600


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(
        alphabet=st.one_of(
            st.characters(), st.sampled_from("aé\u0301\u0300ñßİıŁ漢字한국어👩\u200d🚀🇧🇷ﬁ\u00a0\u00ad\t\r\n ")
        ),
        max_size=60,
    )
)
def test_spans_lie_in_the_text_in_order(embedder: Embedder, text: str) -> None:
    spans = embedder.token_spans(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert [end for _, end in spans] == sorted(end for _, end in spans)
    covered = {i for start, end in spans for i in range(start, end)}
    plain = {i for i, char in enumerate(text) if char.isascii() and char.isalnum()}
    assert plain <= covered
