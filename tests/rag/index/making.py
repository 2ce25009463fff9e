"""Small collections whose vectors depend on nothing but their text."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.core import Chunk, Document, chunk_id
from rag.index import FileState, Index, IndexSettings, Writer

if TYPE_CHECKING:
    from rag.core import Vectors

DIMENSION = 16


def settings(name: str = "demo", dimension: int = DIMENSION) -> IndexSettings:
    return IndexSettings(
        name=name,
        embedder="fake",
        fingerprint="fake-1",
        dimension=dimension,
        chunk_tokens=200,
        overlap_tokens=40,
    )


def create(folder: Path, name: str = "demo") -> Index:
    return Index.create(folder, settings(name))


def vector(text: str, dimension: int = DIMENSION) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    row = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return row / np.linalg.norm(row)


def document(source: str, passages: list[str], language: str | None = "en", **metadata: str | float | bool):
    """Return a document and its chunks, one a passage, page n for the n-th."""
    text = "\n".join(passages)
    chunks, start = [], 0
    for page, passage in enumerate(passages, 1):
        end = start + len(passage)
        chunks.append(
            Chunk(
                id=chunk_id(source, start, end, passage),
                document_id=f"id-{source}",
                source=source,
                title=f"About {source}",
                text=passage,
                start=start,
                end=end,
                page=page,
                language=language,
                metadata=metadata,
            )
        )
        start = end + 1
    whole = Document(
        id=f"id-{source}",
        source=source,
        title=f"About {source}",
        media_type="text/plain",
        text=text,
        language=language,
        metadata=metadata,
    )
    return whole, chunks


def state(source: str, content: str = "", recipe: str = "r1") -> FileState:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return FileState(origin=source, sha256=digest, size=len(content), mtime_ns=1, recipe=recipe)


def add(
    writer: Writer, source: str, passages: list[str], language: str | None = "en", **metadata
) -> list[str]:
    whole, chunks = document(source, passages, language, **metadata)
    vectors = np.array([vector(passage) for passage in passages], dtype=np.float32).reshape(-1, DIMENSION)
    writer.add(whole, state(source, "\n".join(passages)), chunks, vectors)
    return [chunk.id for chunk in chunks]
