"""Chroma and Tantivy as a writer sees them: two caches that are changed together and can be built anew."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.core import Chunk
from rag.errors import RagassayError, StorageError
from rag.index import lexical, vectors
from rag.index.changes import Intent
from rag.index.failpoints import failpoint
from rag.index.lexical import LexicalWriter
from rag.index.lock import store_lock
from rag.index.manifest import Manifest
from rag.index.vectors import VectorStore

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["Caches"]

# A reader holds the vector store for the milliseconds of a query; a minute means that one hangs.
STORE_WAIT_S = 60.0


class Caches:
    """The open caches of a collection that is being written."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self._lexical: LexicalWriter | None = None
        self._vectors: VectorStore | None = None

    def agree(self) -> bool:
        """Return whether both caches open and hold as many passages as the manifest."""
        wanted = self._manifest.count()
        try:
            self._open()
            if self._lexical is None or self._lexical.count() != wanted:
                return False
            with self._store() as store:
                return store.count() == wanted
        except StorageError:
            raise
        except RagassayError:
            return False

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

    def redo(self, intent: Intent) -> bool:
        """Bring what an interrupted group touched back to the manifest; return whether the counts agree then."""
        try:
            self._open()
            touched = sorted({*range(intent.first_row, intent.first_row + intent.rows), *intent.old_rows})
            held = self._manifest.ids_of(touched)
            here = [row for row in touched if row in held]
            self._writer().delete(touched)
            with self._store() as store:
                store.delete([id_ for id_ in intent.ids if id_ not in set(held.values())])
                for part, chunks, matrix in self._manifest.batches(here):
                    store.upsert(chunks, matrix)
                    self._writer().add(part, chunks)
            self._writer().commit()
        except StorageError:
            raise
        except RagassayError:
            return False
        return self.agree()

    def rebuild(self) -> None:
        """Delete both caches and build them from the manifest."""
        self.close()
        lexical.destroy(self._folder)
        with store_lock(self._folder, exclusive=True, wait_s=STORE_WAIT_S):
            vectors.destroy(self._folder)
        failpoint("in-rebuild")
        writer = self._writer()
        for rows, chunks, matrix in self._manifest.batches(self._manifest.all_rows()):
            with self._store() as store:
                store.upsert(chunks, matrix)
            writer.add(rows, chunks)
        writer.commit()

    def close(self) -> None:
        """Close both; harmless when called twice."""
        writer, self._lexical = self._lexical, None
        store, self._vectors = self._vectors, None
        with contextlib.ExitStack() as stack:
            if store is not None:
                stack.callback(store.close)
            if writer is not None:
                stack.callback(writer.close)

    def _open(self) -> None:
        self._writer()
        with self._store():
            pass

    def _writer(self) -> LexicalWriter:
        if self._lexical is None:
            self._lexical = LexicalWriter(self._folder)
        return self._lexical

    @contextlib.contextmanager
    def _store(self) -> Iterator[VectorStore]:
        with store_lock(self._folder, exclusive=True, wait_s=STORE_WAIT_S) as gained:
            if not gained:
                raise StorageError(
                    f"a reader has held the vector store of {self._folder.name!r} for {STORE_WAIT_S:.0f} s; "
                    "stop the process that searches it, then run this again."
                )
            if self._vectors is None:
                self._vectors = VectorStore(self._folder, self._manifest.settings.name)
            yield self._vectors
