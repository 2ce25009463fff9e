"""One ingest under way: which files changed, their passages, their vectors, into the writer."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from rag.chunking import chunk_document
from rag.core import Chunk, Document, Embedder
from rag.errors import LoadError
from rag.loaders import Failure, Source, load_many, read

if TYPE_CHECKING:
    from rag.core import Vectors
    from rag.index import DocumentRow, FileState, IndexSettings, Writer

__all__ = ["Job", "Progress"]

# Called after each file with: files done, files in all, the file's name, passages written so far.
Progress = Callable[[int, int, str, int], None]

# Raise it when loaders or the chunker make something else of the same file: it is then read again.
_RECIPE = "2"
_EMBED_TOGETHER = 512  # passages: as many as a group of the writer, enough to fill batches of like length
_GROUP_S = 2.0  # after this long a smaller group is written, so that slow files are not lost together


@dataclass(frozen=True, slots=True)
class _Cut:
    """A file that was read and cut, waiting to be embedded together with others."""

    source: Source
    state: FileState
    documents: list[tuple[Document, list[Chunk]]]

    @property
    def chunks(self) -> list[Chunk]:
        return [chunk for _, chunks in self.documents for chunk in chunks]


class Job:
    """Reads what changed and writes it in groups; the counts are `IngestReport`'s."""

    def __init__(
        self, writer: Writer, embedder: Embedder, settings: IndexSettings, progress: Progress | None
    ) -> None:
        self.added = self.updated = self.unchanged = self.removed = 0
        self.chunks_added = self.chunks_removed = 0
        self.failures: list[Failure] = []
        self._writer = writer
        self._embedder = embedder
        self._settings = settings
        self._progress = progress
        self._held: dict[str, list[DocumentRow]] = defaultdict(list)
        for row in writer.documents():
            self._held[row.file.origin].append(row)
        self._states: dict[str, FileState] = {}
        self._waiting: list[_Cut] = []
        self._since: float | None = None
        self._done = self._total = 0

    def run(self, found: Sequence[Source]) -> None:
        """Read and write what changed of `found`."""
        self._total = len(found)
        with closing(load_many(self._changed(found))) as results:  # type: ignore[type-var]
            for source, loaded in results:
                if isinstance(loaded, LoadError):
                    self._failed(source, loaded)
                else:
                    self._waiting.append(_Cut(source, self._states[source.name], self._cut(loaded)))
                    if self._is_group():
                        self._write()
        self._write()

    def prune(self, found: Sequence[Source]) -> None:
        """Remove the documents of files that are not among `found`."""
        kept = {source.name for source in found}
        gone = [row for origin, rows in self._held.items() if origin not in kept for row in rows]
        self._writer.remove(row.source for row in gone)
        self._count_removed(gone)

    def _changed(self, found: Sequence[Source]) -> Iterator[Source]:
        """Yield the sources to load, with their bytes; those whose content is indexed are only counted."""
        for source in found:
            size, mtime_ns = _size_and_time(source)
            if size is not None and self._writer.unchanged(
                source.name, size=size, mtime_ns=mtime_ns, recipe=_RECIPE
            ):
                self._unchanged(source)
                continue
            try:
                data = read(source)
            except LoadError as exc:
                self._failed(source, exc)
                continue
            state = _state(source.name, data, mtime_ns)
            known = self._writer.known_file(source.name)
            if known and (known.sha256, known.recipe) == (state.sha256, state.recipe):
                self._writer.complete(state, [row.source for row in self._held[source.name]])
                self._unchanged(source)
                continue
            self._states[source.name] = state
            yield replace(source, data=data)

    def _cut(self, documents: list[Document]) -> list[tuple[Document, list[Chunk]]]:
        tokens: int | Literal["whole"] = self._settings.chunk_tokens or "whole"
        overlap = self._settings.overlap_tokens
        spans = self._embedder.token_spans
        return [
            (d, chunk_document(d, token_spans=spans, chunk_tokens=tokens, overlap_tokens=overlap))
            for d in documents
        ]

    def _is_group(self) -> bool:
        self._since = self._since or time.monotonic()
        waiting = sum(len(cut.chunks) for cut in self._waiting)
        return waiting >= _EMBED_TOGETHER or time.monotonic() - self._since > _GROUP_S

    def _write(self) -> None:
        """Embed what waits together, so that passages of like length share batches, and write it."""
        texts = [chunk.text for cut in self._waiting for chunk in cut.chunks]
        vectors = self._embed(texts)
        at = 0
        for cut in self._waiting:
            before = {row.source: row for row in self._held[cut.state.origin]}
            for document, chunks in cut.documents:
                self._writer.add(document, cut.state, chunks, vectors[at : at + len(chunks)])
                at += len(chunks)
                old = before.pop(document.source, None)
                self.added += old is None
                self.updated += old is not None
                self.chunks_added += len(chunks)
                self.chunks_removed += old.chunks if old else 0
            self._writer.complete(cut.state, [document.source for document, _ in cut.documents])
            self._count_removed(list(before.values()))
            self._step(cut.source)
        self._waiting, self._since = [], None

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """Embed a group at a time: an interruption within a huge file finds the earlier ones in the cache."""
        import numpy as np

        parts = [
            self._embedder.embed_documents(texts[start : start + _EMBED_TOGETHER])
            for start in range(0, len(texts), _EMBED_TOGETHER)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self._embedder.dimension), np.float32)

    def _count_removed(self, gone: Sequence[DocumentRow]) -> None:
        self.removed += len(gone)
        self.chunks_removed += sum(row.chunks for row in gone)

    def _unchanged(self, source: Source) -> None:
        self.unchanged += len(self._held[source.name])
        self._step(source)

    def _failed(self, source: Source, error: LoadError) -> None:
        self.failures.append(Failure(source=source.name, error=str(error)))
        self._step(source)

    def _step(self, source: Source) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._total, source.name, self.chunks_added)


def _size_and_time(source: Source) -> tuple[int | None, int]:
    """Return size in bytes and modification time in nanoseconds; None and 0 where there are none."""
    if isinstance(source.locator, str):
        return None, 0
    try:
        found = source.locator.stat()
    except OSError:
        return None, 0
    return found.st_size, found.st_mtime_ns


def _state(origin: str, data: bytes, mtime_ns: int) -> FileState:
    from rag.index import FileState

    digest = hashlib.sha256(data).hexdigest()
    return FileState(origin=origin, sha256=digest, size=len(data), mtime_ns=mtime_ns, recipe=_RECIPE)
