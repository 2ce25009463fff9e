"""Writing to a collection: documents in groups, so that the caches' fixed costs are paid once for many.

The order within a group is what makes a crash harmless: an intent with the rows and ids about to change is
committed to the manifest, then Chroma and Tantivy change, then one transaction of the manifest makes the
group part of the collection. A writer that finds an intent knows exactly what to put right.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from rag.core import Chunk, Document
from rag.errors import CollectionError, LoadError, RagassayError
from rag.index.caches import Caches
from rag.index.changes import Group, Intent, Pending, apply_group, read_intent, rows_of, write_intent
from rag.index.failpoints import failpoint
from rag.index.lock import WriterLock
from rag.index.manifest import Manifest
from rag.index.values import DocumentRow, FileState

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["Writer"]

GROUP_CHUNKS = 512
GROUP_S = 2.0


class Writer:
    """The one writer of a collection; a context manager that commits what is left at a normal end.

    After an exception nothing more is written: what was committed stays, the group in hand is dropped.
    """

    def __init__(self, folder: Path, *, address: str | None = None) -> None:
        self._group = Group()
        self._held = 0
        self._since = 0.0
        # True while the caches may differ from the manifest in what the intent names.
        self._interrupted = False
        with contextlib.ExitStack() as undo:
            self._lock = WriterLock.acquire(folder, address=address)
            undo.callback(self._lock.release)
            self._manifest = Manifest.open(folder, write=True)
            undo.callback(self._manifest.close)
            self._caches = Caches(folder, self._manifest)
            undo.callback(self._caches.close)
            self._recover()
            undo.pop_all()

    # ------------------------------------------------------------ looking

    def unchanged(self, origin: str, *, size: int, mtime_ns: int, recipe: str = "") -> bool:
        """Return whether a file was read to its end in this state, so that it need not be opened."""
        state = self._group.files.get(origin) or self._manifest.file(origin)
        return state is not None and (state.size, state.mtime_ns, state.recipe) == (size, mtime_ns, recipe)

    def known_file(self, origin: str) -> FileState | None:
        """Return the state in which a file was last read to its end, None when it never was.

        Its sha256 tells a file that was only touched from one that changed.
        """
        return self._group.files.get(origin) or self._manifest.file(origin)

    def known(self, source: str) -> DocumentRow | None:
        """Return the committed document with that source, None when there is none."""
        return self._manifest.document(source)

    def documents(self) -> list[DocumentRow]:
        """Return all committed documents, ordered by source."""
        return self._manifest.documents()

    # ------------------------------------------------------------ changing

    def add(self, document: Document, state: FileState, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Add a document, or replace the one of its source.

        Args:
            document: what was loaded; its text is not kept, only that of its passages.
            state: the file it came from. When that is the document's own source, the file counts as read to
                its end; call `complete` for files that hold several documents.
            chunks: its passages, in reading order.
            vectors: float32 of shape (len(chunks), dimension); brought to unit length.

        Raises:
            LoadError: the text cannot be stored: it is not valid Unicode.
            CollectionError: a vector has another dimension, or is not finite.
            StorageError: writing a full group failed.
        """
        pending = Pending(
            document=document, file=state, chunks=list(chunks), vectors=self._unit(vectors, len(chunks))
        )
        _check_text(document, chunks)
        replaced = self._group.documents.pop(document.source, None)
        self._held += len(pending.chunks) - (len(replaced.chunks) if replaced else 0)
        self._group.removed.pop(document.source, None)
        self._group.documents[document.source] = pending
        if state.origin == document.source:
            self._group.files[state.origin] = state
            self._group.forgotten.pop(state.origin, None)
        self._grown()

    def complete(self, state: FileState, sources: Iterable[str]) -> list[str]:
        """Say that a file was read to its end and holds the documents `sources`, no others.

        Also tells that a file was only touched: its content is the known one, its state is new.

        Returns:
            The sources of the file's earlier documents that are gone from it; they are removed.
        """
        kept = set(sources)
        gone = [source for source in self._manifest.sources(state.origin) if source not in kept]
        self.remove(gone)
        self._group.files[state.origin] = state
        self._group.forgotten.pop(state.origin, None)
        self._grown()
        return gone

    def remove(self, sources: Iterable[str]) -> None:
        """Remove documents; sources that are not held are ignored."""
        for source in sources:
            dropped = self._group.documents.pop(source, None)
            self._held -= len(dropped.chunks) if dropped else 0
            known = self._manifest.document(source)
            origin = dropped.file.origin if dropped else known.file.origin if known else source
            self._group.files.pop(origin, None)
            if known:
                self._group.removed[source] = None
                self._group.forgotten[origin] = None
        self._grown()

    def commit(self) -> None:
        """Commit the group in hand; what it holds survives whatever happens to this process from here on.

        Raises:
            StorageError: the disk is full or failed; nothing committed before is lost.
        """
        group, self._group, self._held, self._since = self._group, Group(), 0, 0.0
        if not group:
            return
        if self._interrupted:
            self._recover()
        old = rows_of(self._manifest, (*group.removed, *group.documents))
        first = int(self._manifest.state("next_row"))
        self._interrupted = True
        if group.chunks or old:
            self._change_caches(group, first, old)
        failpoint("before-manifest")
        apply_group(self._manifest, group, first)
        failpoint("after-manifest")
        self._interrupted = False

    def rebuild(self) -> None:
        """Build both caches anew from the manifest; no embedding is computed again."""
        write_intent(self._manifest, Intent(rebuild=True))
        self._caches.rebuild_lexical()
        self._caches.rebuild_vectors()
        write_intent(self._manifest, None)

    def close(self) -> None:
        """Give back the files and the lock; what was not committed is dropped. Harmless when called twice."""
        try:
            self._caches.close()
        finally:
            self._manifest.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # What is already being reported matters more than what closing might add.
            with contextlib.suppress(RagassayError):
                self.close()
            return
        try:
            self.commit()
        finally:
            self.close()

    # ------------------------------------------------------------ inside

    def _recover(self) -> None:
        """Put right what an interrupted writer left, this one or one before."""
        intent = read_intent(self._manifest)
        if intent is None:
            if not self._caches.lexical_agrees():
                self._caches.rebuild_lexical()
        elif intent.rebuild:
            self.rebuild()
        else:
            self._caches.redo(intent)
            write_intent(self._manifest, None)
        self._interrupted = False

    def _change_caches(self, group: Group, first: int, old: dict[int, str]) -> None:
        chunks = group.chunks
        new_ids = {chunk.id for chunk in chunks}
        ids = tuple(dict.fromkeys([*(chunk.id for chunk in chunks), *old.values()]))
        write_intent(self._manifest, Intent(first_row=first, rows=len(chunks), old_rows=tuple(old), ids=ids))
        failpoint("after-intent")
        vectors = [pending.vectors for pending in group.documents.values() if pending.chunks]
        self._caches.change(
            rows=range(first, first + len(chunks)),
            chunks=chunks,
            vectors=np.concatenate(vectors) if vectors else None,
            old_rows=list(old),
            old_ids=[id_ for id_ in old.values() if id_ not in new_ids],
        )

    def _grown(self) -> None:
        now = time.monotonic()
        self._since = self._since or now
        if self._held >= GROUP_CHUNKS or now - self._since > GROUP_S:
            self.commit()

    def _unit(self, vectors: Vectors, rows: int) -> Vectors:
        wanted = (rows, self._manifest.settings.dimension)
        if rows == 0:
            return np.empty(wanted, dtype=np.float32)
        matrix = np.ascontiguousarray(vectors, dtype=np.float32)
        if matrix.shape != wanted or not np.isfinite(matrix).all():
            raise CollectionError(
                f"vectors of shape {matrix.shape} do not fit the collection "
                f"{self._manifest.settings.name!r}: {wanted}, all finite, are expected from "
                f"{self._manifest.settings.embedder}."
            )
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
        unit: Vectors = matrix / np.maximum(norms, np.finfo(np.float32).tiny)
        return unit


def _check_text(document: Document, chunks: Sequence[Chunk]) -> None:
    try:
        "\0".join([document.source, document.title, *(chunk.text for chunk in chunks)]).encode()
    except UnicodeEncodeError as exc:
        raise LoadError(
            f"{document.source!r} holds a lone surrogate (U+{ord(exc.object[exc.start]):04X}), which is not "
            "text; save the file as UTF-8 and ingest it again."
        ) from exc
