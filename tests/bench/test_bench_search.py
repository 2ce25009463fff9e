"""Search speed, side by side with LangChain's Chroma store over the same 20,000 passages in the same run."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rag.core import Chunk, Document, chunk_id
from rag.embedders import load_embedder
from rag.index import FileState, Index, IndexSettings
from rag.retrieve import retrieve

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

CHUNKS = 20_000
QUERIES = [f"what does topic{n} say about topic{n * 7 % 400} in practice" for n in range(60)]


@pytest.fixture(scope="module")
def embedder():
    return load_embedder("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def passages() -> tuple[list[Chunk], np.ndarray]:
    """Passages of 130 words by Zipf's law; vectors on the sphere around 400 topics, as embeddings cluster."""
    chance = np.random.default_rng(3)
    words = np.array([f"word{n}" for n in range(30_000)])
    topics = chance.standard_normal((400, 384))
    chunks, vectors = [], []
    for number in range(CHUNKS):
        topic = number % 400
        text = f"topic{topic} " + " ".join(words[chance.zipf(1.2, 130) % len(words)])
        source = f"d{number // 20}"
        chunks.append(
            Chunk(
                id=chunk_id(source, number, number + len(text), text),
                document_id=source,
                source=source,
                title=source,
                text=text,
                start=number,
                end=number + len(text),
                language="en",
            )
        )
        vectors.append(topics[topic] + 0.8 * chance.standard_normal(384))
    matrix = np.array(vectors, dtype=np.float32)
    return chunks, matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, embedder, passages) -> Path:
    chunks, vectors = passages
    folder = tmp_path_factory.mktemp("home") / "collections" / "bench"
    settings = IndexSettings(
        name="bench",
        embedder="all-MiniLM-L6-v2",
        fingerprint=embedder.fingerprint,
        dimension=384,
        chunk_tokens=200,
        overlap_tokens=40,
    )
    started = time.perf_counter()
    with contextlib.closing(Index.create(folder, settings)) as index, index.writer() as writer:
        for start in range(0, CHUNKS, 20):
            part = chunks[start : start + 20]
            source = part[0].source
            document = Document(id=source, source=source, title=source, media_type="text/plain", text="")
            state = FileState(origin=source, sha256="", size=0, mtime_ns=0)
            writer.add(document, state, part, vectors[start : start + 20])
    print(f"\nindexing without embedding: {CHUNKS / (time.perf_counter() - started):.0f} passages/s")
    return folder


@pytest.fixture(scope="module")
def langchain_store(tmp_path_factory: pytest.TempPathFactory, embedder, passages):
    from langchain_chroma import Chroma
    from langchain_core.embeddings import Embeddings

    class Same(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embedder.embed_documents(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return embedder.embed_query(text).tolist()

    chunks, vectors = passages
    store = Chroma(
        "bench", embedding_function=Same(), persist_directory=str(tmp_path_factory.mktemp("langchain"))
    )
    for start in range(0, CHUNKS, 4000):
        part = chunks[start : start + 4000]
        store._collection.upsert(
            ids=[chunk.id for chunk in part],
            embeddings=vectors[start : start + 4000],
            documents=[chunk.text for chunk in part],
            metadatas=[{"source": chunk.source} for chunk in part],
        )
    return store


def p50_ms(**functions: Callable[[str], object]) -> dict[str, float]:
    """Return each function's median in milliseconds; turn by turn, so that a busy moment falls on all."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for query in QUERIES * 3:
        for name, function in functions.items():
            started = time.perf_counter()
            function(query)
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values[10:]) for name, values in times.items()}


def test_hybrid_search_is_no_slower_than_langchain_dense(folder: Path, embedder, langchain_store) -> None:
    vector = embedder.embed_query(QUERIES[0])
    with contextlib.closing(Index.open(folder)) as index:
        found = p50_ms(
            hybrid=lambda query: retrieve(index, embedder, query, k=8),
            langchain=lambda query: langchain_store.similarity_search(query, k=8),
            embedding=embedder.embed_query,
            dense=lambda _: index.dense(vector, 50),
            lexical=lambda query: index.lexical(query, 50),
        )
    print("\np50 in ms, all with the same embedder: " + ", ".join(f"{k} {v:.1f}" for k, v in found.items()))


def test_cold_process_answers_within_two_seconds(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rag.index import Index; "
        "from rag.retrieve import retrieve; "
        "from rag.embedders import load_embedder; index = Index.open(Path(sys.argv[1])); "
        "print(retrieve(index, load_embedder(index.settings.embedder), 'what does topic3 say', k=8).timing)"
    )
    times = []
    for _ in range(3):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
        )
        times.append(time.perf_counter() - started)
        assert done.returncode == 0, done.stderr
    print(f"\ncold process: {min(times):.2f} s (of {', '.join(f'{t:.2f}' for t in times)}); {done.stdout}")
