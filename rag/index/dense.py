"""Dense search: exact where the passages to score are few, Chroma's HNSW where they are many.

Recall of HNSW drops under selective filters, so what a filter leaves is always scored exactly.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import CollectionError
from rag.index.exact import ExactSearch, scan
from rag.index.lock import store_lock
from rag.index.manifest import Manifest

if TYPE_CHECKING:
    from rag.core import Vectors
    from rag.index.vectors import VectorStore

__all__ = ["EXACT_CHUNKS", "DenseSearch"]

# 50,000 x 384 float32 are 77 MB and take 6 ms.
EXACT_CHUNKS = 50_000
# A writer holds the vector store for the time of one upsert; a reader that gives up scores exactly.
STORE_WAIT_S = 0.25

_log = logging.getLogger(__name__)


class DenseSearch:
    """Nearest passages by cosine similarity. One thread at a time."""

    def __init__(self, folder: Path, manifest: Manifest, exact_chunks: int) -> None:
        self._folder = folder
        self._manifest = manifest
        self._exact_chunks = exact_chunks
        self._count = 0
        self._exact: ExactSearch | None = None
        self._store: VectorStore | None = None

    def refresh(self, count: int) -> None:
        """Take note that the collection changed and holds `count` passages now."""
        self._count = count
        if count > self._exact_chunks:
            self._exact = None
        elif self._exact is not None:
            self._exact.refresh()
        # A client does not see what another process has written since it opened the files.
        self.close()

    def search(self, vector: Vectors, k: int, rows: Sequence[int] | None) -> list[tuple[str, float]]:
        """Return up to `k` (chunk id, cosine similarity), best first; among `rows` where given."""
        if rows is None and self._count > self._exact_chunks:
            found = self._approximate(vector, k)
            return (
                self._named(scan(self._manifest, vector, k, self._manifest.all_rows()))
                if found is None
                else found
            )
        if rows is not None and self._count > self._exact_chunks:
            return self._named(scan(self._manifest, vector, k, rows))
        if self._exact is None:
            self._exact = ExactSearch(self._manifest)
            self._exact.refresh()
        return self._named(self._exact.search(vector, k, rows))

    def close(self) -> None:
        """Close the vector store; harmless when called twice."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _approximate(self, vector: Vectors, k: int) -> list[tuple[str, float]] | None:
        """Ask HNSW; None where a writer has the store, or it must be repaired."""
        from rag.index.vectors import VectorStore

        # Opening and the first query may write (Chroma brings its graph up to date): those have it alone.
        with store_lock(self._folder, exclusive=self._store is None, wait_s=STORE_WAIT_S) as gained:
            if not gained:
                return None
            try:
                if self._store is None:
                    self._store = VectorStore(self._folder, self._manifest.settings.name)
                found = self._store.search(vector, k)
            except CollectionError as exc:
                _log.warning("scoring every passage instead of asking the vector store: %s", exc)
                self.close()
                return None
        held = set(self._manifest.rows_by_id([id_ for id_, _ in found]))
        return sorted((pair for pair in found if pair[0] in held), key=lambda pair: (-pair[1], pair[0]))

    def _named(self, found: list[tuple[int, float]]) -> list[tuple[str, float]]:
        return self._manifest.named(found)
