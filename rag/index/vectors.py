"""The vector store: Chroma embedded in the collection's folder, cosine space, our own vectors.

It holds ids, vectors, texts and metadata, so that any Chroma client can read it. It is a cache: everything in
it can be rebuilt from the manifest.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rag.core import Chunk
from rag.errors import CollectionError, RagassayError
from rag.index.storage import refused

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["VectorStore", "destroy"]

STORE_FOLDER = "chroma"
# Malkov and Yashunin 2018 (arXiv:1603.09320), section 4: M is the graph's degree, ef the breadth of a search.
# Recall@10 against exact search on SciFact: 0.992; with Chroma's ef_search of 100 it is 0.990. A larger M or
# ef_construction gains nothing there and halves the speed of building.
HNSW = {"space": "cosine", "max_neighbors": 16, "ef_construction": 100, "ef_search": 400}
_RESERVED = ("chroma:", "$", "#")


class VectorStore:
    """An open Chroma collection. Not for two processes at once: see `rag.index.lock.store_lock`.

    Args:
        folder: the collection's folder.
        name: the collection's name, which is Chroma's too.
        create: make an empty store where there is none.

    Raises:
        CollectionError: there is no store and `create` is False, or it cannot be read.
    """

    def __init__(self, folder: Path, name: str, *, create: bool = False) -> None:
        if not create and not (folder / STORE_FOLDER / "chroma.sqlite3").exists():
            raise CollectionError(
                f"the vector store of the collection {name!r} is missing; "
                f"rebuild it with 'ragassay collections repair {name}'."
            )
        os.environ["ANONYMIZED_TELEMETRY"] = "False"
        import chromadb
        from chromadb.config import Settings

        self._folder = folder
        path = str(folder / STORE_FOLDER)
        try:
            with _chroma_errors(folder):
                self._client = chromadb.PersistentClient(
                    path=path, settings=Settings(anonymized_telemetry=False)
                )
                self._collection = self._client.get_or_create_collection(
                    name, embedding_function=None, configuration={"hnsw": HNSW}
                )
                self._batch = self._client.get_max_batch_size()
        except RagassayError:
            _forget(path)
            raise

    def close(self) -> None:
        """Release the files; harmless when called twice."""
        self._client.close()

    def count(self) -> int:
        """Return the number of passages held."""
        with _chroma_errors(self._folder):
            return int(self._collection.count())

    def ids(self) -> set[str]:
        """Return every id held."""
        with _chroma_errors(self._folder):
            return set(self._collection.get(include=[])["ids"])

    def upsert(self, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Add passages, replacing those of the same id, in batches that Chroma accepts."""
        for start in range(0, len(chunks), self._batch):
            part = chunks[start : start + self._batch]
            with _chroma_errors(self._folder):
                self._collection.upsert(
                    ids=[chunk.id for chunk in part],
                    embeddings=vectors[start : start + self._batch],
                    documents=[chunk.text for chunk in part],
                    metadatas=[_metadata(chunk) for chunk in part],
                )

    def delete(self, ids: Sequence[str]) -> None:
        """Remove passages; ids that are not held are ignored."""
        for start in range(0, len(ids), self._batch):
            with _chroma_errors(self._folder):
                self._collection.delete(ids=list(ids[start : start + self._batch]))

    def search(self, vector: Vectors, k: int) -> list[tuple[str, float]]:
        """Return up to `k` (id, cosine similarity), best first, by HNSW."""
        with _chroma_errors(self._folder):
            found = self._collection.query(query_embeddings=[vector], n_results=k, include=["distances"])
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        return [(id_, 1.0 - float(distance)) for id_, distance in pairs]


def destroy(folder: Path) -> None:
    """Delete the store's files; nobody may have it open."""
    shutil.rmtree(folder / STORE_FOLDER, ignore_errors=True)


def _forget(path: str) -> None:
    # A store that failed to open stays in Chroma's table of open ones, and would fail for ever.
    from chromadb.api.shared_system_client import SharedSystemClient

    SharedSystemClient._identifier_to_system.pop(path, None)  # noqa: SLF001
    SharedSystemClient._identifier_to_refcount.pop(path, None)  # noqa: SLF001


def _metadata(chunk: Chunk) -> dict[str, str | int | float | bool]:
    own: dict[str, str | int | float | bool | None] = {
        "source": chunk.source,
        "title": chunk.title,
        "document_id": chunk.document_id,
        "start": chunk.start,
        "end": chunk.end,
        "page": chunk.page,
        "section": chunk.section,
        "language": chunk.language,
    }
    # Chroma keeps keys of these prefixes for itself and refuses None.
    extra = {key: value for key, value in chunk.metadata.items() if key and not key.startswith(_RESERVED)}
    return {key: value for key, value in {**extra, **own}.items() if value is not None}


@contextmanager
def _chroma_errors(folder: Path) -> Iterator[None]:
    from chromadb.errors import ChromaError

    try:
        yield
    except RagassayError:
        raise
    except (ChromaError, OSError, ValueError, RuntimeError, AttributeError) as exc:
        raise refused(exc, folder, ask_disk=True) or CollectionError(
            f"the vector store of the collection {folder.name!r} failed ({str(exc)[:200]}); "
            f"rebuild it with 'ragassay collections repair {folder.name}'."
        ) from exc
