"""The tables of the manifest, and the values that their rows hold."""

from __future__ import annotations

import json
from typing import Any

from rag.core import Chunk
from rag.index.values import DocumentRow, FileState

__all__ = ["CHUNKS", "DOCUMENTS", "FORMAT", "SCHEMA", "chunk_of", "document_of", "file_of"]

FORMAT = 1

SCHEMA = """
CREATE TABLE state (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
  row INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, id TEXT NOT NULL, title TEXT NOT NULL,
  media_type TEXT NOT NULL, language TEXT, pages INTEGER NOT NULL, metadata TEXT NOT NULL,
  origin TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  recipe TEXT NOT NULL, chunks INTEGER NOT NULL);
CREATE INDEX documents_origin ON documents (origin);
CREATE TABLE files (
  origin TEXT PRIMARY KEY, sha256 TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  recipe TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (
  row INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (row), ordinal INTEGER NOT NULL,
  id TEXT NOT NULL UNIQUE, start INTEGER NOT NULL, "end" INTEGER NOT NULL, page INTEGER, section TEXT,
  language TEXT, digest BLOB NOT NULL, metadata TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX chunks_document ON chunks (document, ordinal);
CREATE TABLE vectors (row INTEGER PRIMARY KEY REFERENCES chunks (row), vector BLOB NOT NULL);
CREATE TABLE facets (facet INTEGER PRIMARY KEY, key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (key, value));
CREATE TABLE chunk_facets (
  facet INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (facet, row)) WITHOUT ROWID;
CREATE INDEX chunk_facets_row ON chunk_facets (row);
"""

CHUNKS = """SELECT c.id, d.id, d.source, d.title, c.text, c.start, c."end", c.page, c.section, c.language,
  c.metadata FROM chunks c JOIN documents d ON d.row = c.document"""
DOCUMENTS = """SELECT source, id, title, media_type, language, pages, chunks, origin, sha256, size, mtime_ns,
  recipe FROM documents"""


def chunk_of(row: tuple[Any, ...]) -> Chunk:
    """Return the chunk in a row of `CHUNKS`."""
    return Chunk(
        id=row[0],
        document_id=row[1],
        source=row[2],
        title=row[3],
        text=row[4],
        start=row[5],
        end=row[6],
        page=row[7],
        section=row[8],
        language=row[9],
        metadata=json.loads(row[10]),
    )


def file_of(row: tuple[Any, ...]) -> FileState:
    """Return the state of a file in (origin, sha256, size, mtime_ns, recipe)."""
    return FileState(origin=row[0], sha256=row[1], size=row[2], mtime_ns=row[3], recipe=row[4])


def document_of(row: tuple[Any, ...]) -> DocumentRow:
    """Return the document in a row of `DOCUMENTS`."""
    return DocumentRow(
        source=row[0],
        id=row[1],
        title=row[2],
        media_type=row[3],
        language=row[4],
        pages=row[5] or None,
        chunks=row[6],
        file=file_of(row[7:12]),
    )
