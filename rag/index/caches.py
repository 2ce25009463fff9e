"""Chroma and Tantivy as a writer sees them: two caches that change together and can be built anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.core import Chunk
from rag.errors import CollectionError, StorageError
from rag.index import lexical, vectors
from rag.index.changes import Intent
from rag.index.failpoints import failpoint
from rag.index.lexical import LexicalIndex, LexicalWriter
from rag.index.lock import store_lock
from rag.index.manifest import Manifest
from rag.index.vectors import VectorStore

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["Caches"]

# A reader holds the vector store for the milliseconds of a query; a minute means that one hangs.
STORE_WAIT_S = 60.0


class Caches:
    """The caches of a collection that is being written, opened when first changed."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._lexical: LexicalWriter | None = None
        self._vectors: VectorStore | None = None

    def lexical_agrees(self) -> bool:
        """Return whether the lexical index opens and holds as many passages as the manifest."""
        wanted = self._manifest.count()
        try:
            return LexicalIndex(self._folder).count() == wanted
        except CollectionError:
            return wanted == 0

    def change(
        self,
        *,
        rows: Sequence[int],
        chunks: Sequence[Chunk],
        vectors: Vectors | None,
        old_rows: Sequence[int],
        old_ids: Sequence[str],
    ) -> None:
        """Put passages into both caches and take others out."""
        with self._store() as store:
            if vectors is not None:
                store.upsert(chunks, vectors)
            failpoint("after-upsert")
            store.delete(old_ids)
        failpoint("after-vectors")
        writer = self._writer()
        writer.delete(old_rows)
        writer.add(rows, chunks)
        failpoint("before-lexical")
        writer.commit()
        failpoint("after-lexical")

    def redo(self, intent: Intent) -> None:
        """Bring what an interrupted group touched back to what the manifest holds."""
        touched = sorted({*range(intent.first_row, intent.first_row + intent.rows), *intent.old_rows})
        held = self._manifest.ids_of(touched)
        kept = set(held.values())
        writer = self._writer_anew()
        writer.delete(touched)
        with self._store(check=False) as store:
            store.delete([id_ for id_ in intent.ids if id_ not in kept])
            for rows, chunks, matrix in self._manifest.batches(sorted(held)):
                store.upsert(chunks, matrix)
                writer.add(rows, chunks)
            agrees = store.count() == self._manifest.count()
        writer.commit()
        if not agrees:
            self.rebuild_vectors()
        if writer.count() != self._manifest.count():
            self.rebuild_lexical()

    def rebuild_lexical(self) -> None:
        """Build the lexical index from the manifest; readers see the old one until it is complete."""
        writer = self._writer_anew()
        writer.clear()
        for rows, chunks, _ in self._manifest.batches(self._manifest.all_rows()):
            writer.add(rows, chunks)
        failpoint("in-rebuild-lexical")
        writer.commit()

    def rebuild_vectors(self) -> None:
        """Build the vector store from the manifest; no embedding is computed again."""
        self._close_store()
        with self._locked():
            vectors.destroy(self._folder)
        failpoint("in-rebuild-vectors")
        for _, chunks, matrix in self._manifest.batches(self._manifest.all_rows()):
            with self._store(check=False) as store:
                store.upsert(chunks, matrix)

    def close(self) -> None:
        """Close both; harmless when called twice."""
        writer, self._lexical = self._lexical, None
        try:
            if writer is not None:
                writer.close()
        finally:
            self._close_store()

    def _writer(self) -> LexicalWriter:
        if self._lexical is None:
            self._lexical = LexicalWriter(self._folder)
        return self._lexical

    def _writer_anew(self) -> LexicalWriter:
        """Open the lexical index, an empty one where it is damaged: for callers that fill what it lacks."""
        try:
            return self._writer()
        except CollectionError:
            lexical.destroy(self._folder)
            return self._writer()

    @contextlib.contextmanager
    def _store(self, *, check: bool = True) -> Iterator[VectorStore]:
        if self._vectors is None and check and not self._vectors_agree():
            self.rebuild_vectors()
        with self._locked():
            if self._vectors is None:
                self._vectors = self._open_store()
            yield self._vectors

    def _vectors_agree(self) -> bool:
        with self._locked():
            self._vectors = self._open_store()
            return self._vectors.count() == self._manifest.count()

    def _open_store(self) -> VectorStore:
        name = self._manifest.settings.name
        try:
            return VectorStore(self._folder, name, create=True)
        except CollectionError:
            vectors.destroy(self._folder)
            return VectorStore(self._folder, name, create=True)

    def _close_store(self) -> None:
        store, self._vectors = self._vectors, None
        if store is not None:
            store.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with store_lock(self._folder, exclusive=True, wait_s=STORE_WAIT_S) as gained:
            if not gained:
                raise StorageError(
                    f"another process has held the vector store of {self._folder.name!r} for "
                    f"{STORE_WAIT_S:.0f} s; stop what searches it, then run this again."
                )
            yield
