"""The collection inside LlamaIndex: its own engines and fusion over our retriever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from llama_index.core import Settings
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor import MetadataReplacementPostProcessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore

from rag.errors import UnknownNameError
from rag.llamaindex import CollectionRetriever
from tests.rag.chain import DOCUMENTS, QUESTIONS, make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("llamaindex"))


@pytest.fixture
def retriever(home: Path, monkeypatch: pytest.MonkeyPatch) -> CollectionRetriever:
    monkeypatch.setenv("RAGASSAY_HOME", str(home))
    return CollectionRetriever.from_collection("tiny", k=2)


def sources(nodes: list[NodeWithScore]) -> list[str]:
    return [node.metadata["source"] for node in nodes]


def test_nodes_are_the_hits_of_search(retriever: CollectionRetriever) -> None:
    nodes = retriever.retrieve(QUESTIONS[0])
    hits = retriever.collection.search(QUESTIONS[0], k=2).hits
    assert [(n.node_id, n.score, n.text) for n in nodes] == [
        (h.chunk.id, h.score, h.chunk.text) for h in hits
    ]
    best = nodes[0].node
    assert best.metadata["source"] == "grok.md"
    assert best.metadata["title"] == "Grok"
    assert (best.metadata["rank"], best.metadata["page"]) == (1, None)
    assert DOCUMENTS["grok.md"][best.start_char_idx : best.end_char_idx] == best.text
    assert best.ref_doc_id == hits[0].chunk.document_id


def test_models_are_shown_where_a_passage_stands_and_no_more(retriever: CollectionRetriever) -> None:
    shown = retriever.retrieve(QUESTIONS[0])[0].node.get_content(MetadataMode.LLM)
    assert "source: grok.md" in shown
    assert "title: Grok" in shown
    for hidden in ("score", "chunk_id", "rank", "start"):
        assert f"{hidden}:" not in shown


async def test_asynchronous(retriever: CollectionRetriever) -> None:
    assert await retriever.aretrieve(QUESTIONS[1]) == retriever.retrieve(QUESTIONS[1])


def test_mode_and_filter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", str(home))
    retriever = CollectionRetriever.from_collection("tiny", mode="lexical", where={"source": "groq.md"})
    nodes = retriever.retrieve("Groq chips and Grok")
    assert sources(nodes) == ["groq.md"]
    assert nodes[0].metadata["dense_rank"] is None


def test_a_query_engine_answers_from_it(retriever: CollectionRetriever) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    response = engine.query(QUESTIONS[0])
    assert sources(response.source_nodes)[0] == "grok.md"
    prompt = str(response)  # what this LLM answers is the prompt itself
    assert "Grok is made by xAI" in prompt
    assert QUESTIONS[0] in prompt


def test_its_postprocessors_read_the_nodes(retriever: CollectionRetriever) -> None:
    nodes = MetadataReplacementPostProcessor(target_metadata_key="title").postprocess_nodes(
        retriever.retrieve(QUESTIONS[1])
    )
    assert nodes[0].get_content(MetadataMode.NONE) == "Groq"


def test_fused_with_another_retriever(retriever: CollectionRetriever, home: Path) -> None:
    lexical = CollectionRetriever(retriever.collection, mode="lexical")
    fusion = QueryFusionRetriever(
        [retriever, lexical],
        llm=MockLLM(),
        mode="reciprocal_rerank",
        num_queries=1,
        similarity_top_k=3,
        use_async=False,
    )
    nodes = fusion.retrieve(QUESTIONS[2])
    assert sources(nodes)[0] == "precos.md"
    assert len({node.node_id for node in nodes}) == len(nodes)


def test_nothing_of_llamaindex_embeds_or_answers(retriever: CollectionRetriever) -> None:
    retriever.retrieve(QUESTIONS[0])
    assert Settings._embed_model is None
    assert Settings._llm is None


def test_an_unknown_collection_is_suggested(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGASSAY_HOME", str(home))
    with pytest.raises(UnknownNameError, match="did you mean 'tiny'"):
        CollectionRetriever.from_collection("tinny")


def test_without_llamaindex_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['llama_index'] = None\n"
        "from rag.errors import MissingDependencyError\n"
        "try:\n    import rag.llamaindex\n"
        "except MissingDependencyError as exc:\n    print(exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'ragassay[llamaindex]'" in done.stdout
