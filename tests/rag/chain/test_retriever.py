"""The collection as a LangChain retriever."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from langchain_core.documents import Document

from rag.chain import RagassayRetriever
from rag.chain.retriever import chunk_of
from rag.errors import UnknownNameError, UsageError
from tests.rag.chain import DOCUMENTS, QUESTIONS


def test_documents_are_the_hits_of_search() -> None:
    retriever = RagassayRetriever.from_collection("tiny", k=2)
    documents = retriever.invoke(QUESTIONS[0])
    hits = retriever.collection.search(QUESTIONS[0], k=2).hits
    assert [document.page_content for document in documents] == [hit.chunk.text for hit in hits]
    assert [document.metadata["score"] for document in documents] == [hit.score for hit in hits]
    best = documents[0]
    assert best.id == best.metadata["chunk_id"] == hits[0].chunk.id
    assert best.metadata["source"] == "grok.md"
    assert best.metadata["title"] == "Grok"
    assert best.metadata["rank"] == 1
    assert DOCUMENTS["grok.md"][best.metadata["start"] : best.metadata["end"]] == best.page_content


def test_a_document_is_a_passage_again() -> None:
    retriever = RagassayRetriever.from_collection("tiny")
    hits = retriever.collection.search(QUESTIONS[1]).hits
    passages = [chunk_of(document) for document in retriever.invoke(QUESTIONS[1])]
    assert [asdict(p) | {"metadata": {}} for p in passages] == [
        asdict(hit.chunk) | {"metadata": {}} for hit in hits
    ]


def test_a_foreign_document_is_a_passage_too() -> None:
    passage = chunk_of(Document("text of it", id="7", metadata={"page": "iv"}))
    assert (passage.id, passage.source, passage.title) == ("7", "7", "7")
    assert (passage.start, passage.end, passage.page) == (0, 10, None)


def test_mode_filter_and_budget() -> None:
    options = {"mode": "lexical", "where": {"source": "groq.md"}, "context_tokens": 1}
    documents = RagassayRetriever.from_collection("tiny", **options).invoke("Groq chips and Grok")
    assert [document.metadata["source"] for document in documents] == ["groq.md"]
    assert documents[0].metadata["dense_rank"] is None


async def test_asynchronous_and_in_batches() -> None:
    retriever = RagassayRetriever.from_collection("tiny", k=1)
    found = await retriever.abatch(list(QUESTIONS))
    assert found == retriever.batch(list(QUESTIONS))
    assert [documents[0].metadata["source"] for documents in found] == list(DOCUMENTS)


def test_no_passages_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="k is 0"):
        RagassayRetriever.from_collection("tiny").invoke("Groq", k=0)


def test_an_unknown_collection_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        RagassayRetriever.from_collection("tinny")
