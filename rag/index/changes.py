"""Changes to the manifest: groups of documents, one transaction each, announced before the caches change."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rag.core import Chunk, Document
from rag.index.manifest import Manifest
from rag.index.storage import storage_errors
from rag.index.values import FileState, facets_of

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["Group", "Intent", "Pending", "apply_group", "read_intent", "rows_of", "write_intent"]

_MODULUS = 1 << 256
_INSERT_DOCUMENT = "INSERT INTO documents VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_CHUNK = "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A document waiting to be committed, with its passages and their vectors."""

    document: Document
    file: FileState
    chunks: Sequence[Chunk]
    vectors: Vectors


@dataclass(kw_only=True, slots=True)
class Group:
    """What is committed together: documents to add or replace, sources to remove, files read to their end."""

    documents: dict[str, Pending] = field(default_factory=dict)
    removed: dict[str, None] = field(default_factory=dict)
    files: dict[str, FileState] = field(default_factory=dict)
    forgotten: dict[str, None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.documents or self.removed or self.files or self.forgotten)

    @property
    def chunks(self) -> list[Chunk]:
        """The passages to add, document by document."""
        return [chunk for pending in self.documents.values() for chunk in pending.chunks]


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What a group is about to change in the caches: the redo log of a writer that did not come back.

    `first_row` and `rows` are the numbers given to new passages, `old_rows` those of passages to remove,
    `ids` the chunk ids of both. `rebuild` says that the caches are not to be trusted at all.
    """

    first_row: int = 0
    rows: int = 0
    old_rows: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()
    rebuild: bool = False


def read_intent(manifest: Manifest) -> Intent | None:
    """Return the intent of a writer that ended before its group was committed, None after a clean end."""
    text = manifest.state("intent")
    if not text:
        return None
    data = json.loads(text)
    return Intent(**{**data, "old_rows": tuple(data["old_rows"]), "ids": tuple(data["ids"])})


def write_intent(manifest: Manifest, intent: Intent | None) -> None:
    """Commit `intent`, and with it the row numbers it takes: they are never given again."""
    data = {name: getattr(intent, name) for name in Intent.__dataclass_fields__} if intent else None
    with _transaction(manifest) as db:
        _set(db, "intent", json.dumps(data) if data else "")
        if intent and intent.rows:
            _set(db, "next_row", intent.first_row + intent.rows)
        if intent is None:
            # Caches that were put right look new to readers, though the content is the same.
            _next_generation(db)


def rows_of(manifest: Manifest, sources: Iterable[str]) -> dict[int, str]:
    """Return row number -> chunk id of the passages of some documents."""
    found: dict[int, str] = {}
    for source in sources:
        found.update(
            manifest.db.execute(
                "SELECT c.row, c.id FROM chunks c JOIN documents d ON d.row = c.document WHERE d.source = ?",
                (source,),
            )
        )
    return found


def apply_group(manifest: Manifest, group: Group, first_row: int) -> None:
    """Commit a group in one transaction and clear the intent: from here on it is part of the collection."""
    with _transaction(manifest) as db:
        total = int.from_bytes(manifest.state("digest"), "big")
        for source in (*group.removed, *group.documents):
            total -= _delete_document(db, source)
        row = first_row
        facets: dict[tuple[str, str], int] = {}
        for pending in group.documents.values():
            total += _insert_document(db, pending, row, facets)
            row += len(pending.chunks)
        for origin in group.forgotten:
            db.execute("DELETE FROM files WHERE origin = ?", (origin,))
        for state in group.files.values():
            values = (state.origin, state.sha256, state.size, state.mtime_ns, state.recipe)
            db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", values)
        _set(db, "digest", (total % _MODULUS).to_bytes(32, "big"))
        _set(db, "updated", datetime.now(UTC).isoformat(timespec="seconds"))
        _set(db, "intent", "")
        _next_generation(db)


@contextmanager
def _transaction(manifest: Manifest) -> Iterator[sqlite3.Connection]:
    db = manifest.db
    with storage_errors(manifest.folder):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.rollback()
            raise
        db.commit()


def _set(db: sqlite3.Connection, key: str, value: str | int | bytes) -> None:
    db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))


def _next_generation(db: sqlite3.Connection) -> None:
    db.execute("UPDATE state SET value = value + 1 WHERE key = 'generation'")


def _delete_document(db: sqlite3.Connection, source: str) -> int:
    """Delete a document and return the sum of its passages' digests."""
    found = db.execute("SELECT row, origin FROM documents WHERE source = ?", (source,)).fetchone()
    if found is None:
        return 0
    document, origin = found
    held = db.execute("SELECT row, digest FROM chunks WHERE document = ?", (document,)).fetchall()
    rows = [(row,) for row, _ in held]
    db.executemany("DELETE FROM vectors WHERE row = ?", rows)
    db.executemany("DELETE FROM chunk_facets WHERE row = ?", rows)
    db.execute("DELETE FROM chunks WHERE document = ?", (document,))
    db.execute("DELETE FROM documents WHERE row = ?", (document,))
    # Whoever takes a document out takes away the proof that its file was read to its end.
    db.execute("DELETE FROM files WHERE origin = ?", (origin,))
    return sum(int.from_bytes(digest, "big") for _, digest in held)


def _insert_document(
    db: sqlite3.Connection, pending: Pending, first_row: int, facets: dict[tuple[str, str], int]
) -> int:
    """Insert a document whose passages take the numbers from `first_row`; return the sum of their digests."""
    document, state, chunks = pending.document, pending.file, pending.chunks
    values = (
        *(document.source, document.id, document.title, document.media_type, document.language),
        *(len(document.pages), json.dumps(dict(document.metadata))),
        *(state.origin, state.sha256, state.size, state.mtime_ns, state.recipe, len(chunks)),
    )
    number = db.execute(_INSERT_DOCUMENT, values).lastrowid
    digests = [_digest(chunk, document.title) for chunk in chunks]
    for ordinal, (chunk, vector, digest) in enumerate(zip(chunks, pending.vectors, digests, strict=True)):
        row = first_row + ordinal
        place = (row, number, ordinal, chunk.id, chunk.start, chunk.end, chunk.page, chunk.section)
        content = (chunk.language, digest, json.dumps(dict(chunk.metadata)), chunk.text)
        db.execute(_INSERT_CHUNK, (*place, *content))
        db.execute("INSERT INTO vectors VALUES (?, ?)", (row, vector.tobytes()))
        pairs = [(_facet(db, item, facets), row) for item in facets_of(chunk).items()]
        db.executemany("INSERT INTO chunk_facets VALUES (?, ?)", pairs)
    return sum(int.from_bytes(digest, "big") for digest in digests)


def _facet(db: sqlite3.Connection, item: tuple[str, str], known: dict[tuple[str, str], int]) -> int:
    if item not in known:
        db.execute("INSERT OR IGNORE INTO facets (key, value) VALUES (?, ?)", item)
        known[item] = db.execute("SELECT facet FROM facets WHERE key = ? AND value = ?", item).fetchone()[0]
    return known[item]


def _digest(chunk: Chunk, title: str) -> bytes:
    # Their sum modulo 2**256 does not depend on the order in which passages came, and one that goes is
    # subtracted (AdHash: Bellare and Micciancio 1997, section 5).
    metadata: Mapping[str, object] = dict(sorted(chunk.metadata.items()))
    parts = [chunk.id, title, chunk.page, chunk.section, chunk.language, metadata]
    return hashlib.sha256(json.dumps(parts).encode()).digest()
