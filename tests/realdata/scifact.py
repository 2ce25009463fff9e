"""SciFact in BEIR's layout (Thakur et al. 2021), put into a collection as whole abstracts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ir_measures

from rag.core import Chunk, Document, Embedder, Mode, chunk_id
from rag.index import FileState, Index, IndexSettings
from rag.retrieve import retrieve

if TYPE_CHECKING:
    from rag.core import Vectors

NDCG = ir_measures.nDCG @ 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SciFact:
    documents: list[dict[str, Any]]
    queries: dict[str, str]
    relevant: dict[str, dict[str, int]]


def read(folder: Path) -> SciFact:
    """Read the 300 test queries, their relevant documents and the corpus."""
    relevant: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, score = line.split("\t")
        relevant.setdefault(query, {})[document] = int(score)
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in relevant}
    return SciFact(documents=_rows(folder / "corpus.jsonl"), queries=queries, relevant=relevant)


def text_of(document: dict[str, Any]) -> str:
    """Return a document as it is indexed: its title and text."""
    return f"{document['title']}\n{document['text']}".strip()


def build(
    folder: Path, documents: list[dict[str, Any]], embedder: Embedder, vectors: Vectors | None = None
) -> Index:
    """Make a collection with one passage a document; `vectors` are those of their texts, if made before."""
    settings = IndexSettings(
        name="scifact",
        embedder=embedder.name,
        fingerprint=embedder.fingerprint,
        dimension=embedder.dimension,
        chunk_tokens=None,
    )
    texts = [text_of(row) for row in documents]
    vectors = embedder.embed_documents(texts) if vectors is None else vectors
    index = Index.create(folder, settings)
    with index.writer() as writer:
        for row, text, vector in zip(documents, texts, vectors, strict=True):
            place = {"source": row["_id"], "title": row["title"], "text": text}
            document = Document(id=row["_id"], media_type="text/plain", language="en", **place)
            chunk = Chunk(
                id=chunk_id(row["_id"], 0, len(text), text),
                document_id=row["_id"],
                start=0,
                end=len(text),
                language="en",
                **place,
            )
            state = FileState(origin=row["_id"], sha256="", size=len(text), mtime_ns=0)
            writer.add(document, state, [chunk], vector[None])
    return index


def ndcg(index: Index, embedder: Embedder | None, data: SciFact, mode: Mode) -> float:
    """Return nDCG@10 in points, as BEIR reports it."""
    run = {}
    for id_, text in data.queries.items():
        hits = retrieve(index, embedder, text, k=10, mode=mode).hits
        run[id_] = {hit.chunk.source: hit.score for hit in hits}
    return 100 * ir_measures.calc_aggregate([NDCG], data.relevant, run)[NDCG]


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
