"""A collection's index: the manifest (SQLite, the truth), dense search and lexical search over it.

Searching needs no lock and works while another process writes. Dense search is exact as long as the
collection is small enough to be scored whole; above `EXACT_CHUNKS` passages it asks Chroma's HNSW. Every id
is looked up in the manifest before it is returned: what was removed is gone at once, what a killed writer
left in a cache is never seen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rag.core import Chunk
from rag.errors import CollectionError
from rag.index.dense import EXACT_CHUNKS, DenseSearch
from rag.index.lexical import LexicalIndex
from rag.index.lock import WriterLock
from rag.index.manifest import MANIFEST_FILE, Manifest, holds_collection
from rag.index.values import DocumentRow, FileState, IndexSettings, Where
from rag.index.writer import Writer

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["DocumentRow", "FileState", "Index", "IndexSettings", "IndexStats", "Where", "Writer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexStats:
    """The size of a collection; `bytes` are on disk with both caches, `updated` is ISO 8601 in UTC."""

    documents: int
    chunks: int
    bytes: int
    languages: dict[str, int]
    updated: str | None


class Index:
    """An open collection. Thread-safe; any number of processes may have it open."""

    def __init__(self, manifest: Manifest, *, exact_chunks: int = EXACT_CHUNKS) -> None:
        self._manifest = manifest
        self._folder = manifest.folder
        self._opened = (manifest.folder / MANIFEST_FILE).stat()
        self._guard = threading.RLock()
        self._version: int | None = None
        self._generation: int | None = None
        self._dense = DenseSearch(manifest.folder, manifest, exact_chunks)
        self._lexical: LexicalIndex | None = None
        self._languages: set[str | None] = set()
        self._count = 0
        self.settings: IndexSettings = manifest.settings

    @classmethod
    def create(cls, folder: Path, settings: IndexSettings) -> Self:
        """Make an empty collection, or open the one that is there with the same settings.

        Raises:
            CollectionError: there is one with other settings.
            CollectionLockedError: another process is writing to it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with WriterLock.acquire(folder):
            if not holds_collection(folder):
                Manifest.create(folder, settings).close()
        index = cls.open(folder)
        if index.settings != settings:
            index.close()
            raise CollectionError(_differs(index.settings, settings))
        return index

    @classmethod
    def open(cls, folder: Path, *, exact_chunks: int = EXACT_CHUNKS) -> Self:
        """Open a collection for searching.

        Raises:
            CollectionError: there is none, or its manifest is damaged; says what helps.
        """
        return cls(Manifest.open(folder), exact_chunks=exact_chunks)

    def close(self) -> None:
        """Close the files; harmless when called twice."""
        with self._guard:
            self._dense.close()
            self._manifest.close()

    def writer(self, *, address: str | None = None) -> Writer:
        """Return the collection's writer, a context manager.

        Raises:
            CollectionLockedError: another process writes; names it.
        """
        return Writer(self._folder, address=address)

    @property
    def fingerprint(self) -> str:
        """A digest of settings and content, whatever the order of ingestion; costs one read."""
        with self._guard:
            digest = self._manifest.state("digest")
        settings = json.dumps(asdict(self.settings), sort_keys=True)
        return hashlib.sha256(settings.encode() + bytes(digest)).hexdigest()[:24]

    def stats(self) -> IndexStats:
        """Return the size of the collection."""
        with self._guard:
            manifest = self._manifest
            return IndexStats(
                documents=manifest.count("documents"),
                chunks=manifest.count(),
                bytes=_bytes_below(self._folder),
                languages=manifest.languages(),
                updated=manifest.state("updated") or None,
            )

    def documents(self) -> list[DocumentRow]:
        """Return all documents, ordered by source."""
        with self._guard:
            return self._manifest.documents()

    def chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return passages in the order asked; ids that are no longer held are left out."""
        with self._guard:
            return self._manifest.chunks(ids)

    def chunks_of(self, source: str) -> list[Chunk]:
        """Return a document's passages in reading order."""
        with self._guard:
            return self._manifest.chunks_of(source)

    def dense(self, vector: Vectors, k: int, where: Where | None = None) -> list[tuple[str, float]]:
        """Return up to `k` (chunk id, cosine similarity) for a unit vector, best first, ties by id.

        Raises:
            UnknownNameError: no passage has metadata of a key in `where`.
            CollectionError: the collection was dropped since it was opened.
        """
        with self._guard:
            self._refresh()
            rows = self._manifest.rows_where(where) if where else None
            return self._dense.search(vector, k, rows)

    def lexical(self, query: str, k: int, where: Where | None = None) -> list[tuple[str, float]]:
        """Return up to `k` (chunk id, BM25 score), best first, ties by id; any text is a query.

        Raises:
            UnknownNameError: no passage has metadata of a key in `where`.
            CollectionError: the lexical index must be repaired, or the collection was dropped since it was
                opened.
        """
        with self._guard:
            self._refresh()
            if where:
                self._manifest.check_keys(where)
            if not self._count:
                return []
            if self._lexical is None:
                self._lexical = LexicalIndex(self._folder)
            found = self._lexical.search(query, k, languages=self._languages, where=where)
            return self._manifest.named(found)

    def _refresh(self) -> None:
        """Take over what was committed since the last search, by whatever process."""
        self._check_place()
        version = self._manifest.data_version()
        if version == self._version:
            return
        self._version = version
        generation = int(self._manifest.state("generation"))
        if generation == self._generation:
            return
        self._generation = generation
        self._count = self._manifest.count()
        named = self._manifest.languages()
        self._languages = {*named, *([None] if sum(named.values()) < self._count else [])}
        self._dense.refresh(self._count)
        # Opened anew by the next search: a rebuilt index may be another folder under the same name.
        self._lexical = None

    def _check_place(self) -> None:
        """Raise CollectionError where the files are another collection's by now: rows would be mixed up."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._opened, (self._folder / MANIFEST_FILE).stat()):
                return
        raise CollectionError(
            f"the collection {self._folder.name!r} was dropped after it was opened here; open it again, or "
            "start the program again."
        )


def _bytes_below(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a merge of segments, or a writer, removed it
                total += (Path(parent) / name).stat().st_size
    return total


def _differs(held: IndexSettings, asked: IndexSettings) -> str:
    pairs = zip(asdict(held).items(), asdict(asked).values(), strict=True)
    differing = ", ".join(f"{name} {old!r}, not {new!r}" for (name, old), new in pairs if old != new)
    return (
        f"the collection {held.name!r} exists with other settings: {differing}; take another name, or drop "
        f"it with 'ragassay collections drop {held.name}' and ingest again."
    )
