"""The manifest: one SQLite file that is the truth about what a collection holds.

Chroma and Tantivy are caches that are rebuilt from it. Rows of chunks never change and their numbers are never
used twice, so that a cache agrees with the manifest exactly when both hold the same numbers or ids.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core import Chunk
from rag.errors import CollectionError, StorageError, UnknownNameError

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["DocumentRow", "FileState", "IndexSettings", "Manifest", "Where", "facet_value", "storage_errors"]

MANIFEST_FILE = "manifest.sqlite3"
FORMAT = 1
BLOCK = 4096

Where = Mapping[str, str | int | float | bool]

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
CREATE TABLE chunk_facets (facet INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (facet, row)) WITHOUT ROWID;
CREATE INDEX chunk_facets_row ON chunk_facets (row);
"""

_CHUNK = """SELECT c.id, d.id, d.source, d.title, c.text, c.start, c."end", c.page, c.section, c.language,
  c.metadata FROM chunks c JOIN documents d ON d.row = c.document"""
_DOCUMENT = """SELECT source, id, title, media_type, language, pages, chunks, origin, sha256, size, mtime_ns, recipe
  FROM documents"""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSettings:
    """What every part of a collection has in common; fixed when it is created.

    `fingerprint` is the embedder's, `chunk_tokens` None where documents are kept whole.
    """

    name: str
    embedder: str
    fingerprint: str
    dimension: int
    chunk_tokens: int | None
    overlap_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FileState:
    """The state of a file when it was read; it is read again when any of this changes.

    `origin` names the file: a document's own source, or that of the file whose rows are documents. `recipe`
    names the loader and chunker that read it, with their versions.
    """

    origin: str
    sha256: str
    size: int
    mtime_ns: int
    recipe: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRow:
    """A document of a collection, without its text; `pages` is None where the format has none."""

    source: str
    id: str
    title: str
    media_type: str
    language: str | None
    pages: int | None
    chunks: int
    file: FileState


def facet_value(value: str | float | bool) -> str:
    """Return the text by which metadata values are compared: `3`, `3.0` and `"3"` are equal, as are `True` and `"true"`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into errors that name the cure."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as exc:
        raise translated(exc, folder) from exc


def translated(exc: BaseException, folder: Path) -> StorageError | CollectionError:
    """Return the error that says what `exc`, from a store under `folder`, means and what helps."""
    text = str(exc).lower()
    if any(sign in text for sign in ("no space", "disk is full", "code 28", "file too large", "quota")):
        return StorageError(
            f"no space left while writing to {folder}. Free some, then run the same command again: "
            "what was committed is kept."
        )
    if any(sign in text for sign in ("readonly", "read-only", "permission denied", "unable to open")):
        return StorageError(f"cannot write to {folder} ({exc}). Make it writable, or set RAGASSAY_HOME.")
    if any(sign in text for sign in ("malformed", "not a database", "no such table")):
        return CollectionError(
            f"the manifest of the collection {folder.name!r} is damaged ({exc}); "
            f"restore {folder} from a copy, or drop it with 'ragassay collections drop {folder.name}' and ingest again."
        )
    return StorageError(f"input/output error in {folder}: {exc}. Check the disk, then run the command again.")


class Manifest:
    """A connection to the manifest. One thread at a time; the Index and the Writer each have their own."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._db = connection
        self.folder = folder
        self.settings = IndexSettings(**json.loads(self.state("settings")))

    @classmethod
    def create(cls, folder: Path, settings: IndexSettings) -> Manifest:
        """Write an empty manifest in one transaction: a process killed here leaves all of it or nothing."""
        with storage_errors(folder):
            db = _connect(folder / MANIFEST_FILE, "rwc")
            db.execute("PRAGMA page_size=16384")
            db.execute("PRAGMA journal_mode=WAL")
            start: dict[str, Any] = {
                "format": FORMAT,
                "settings": json.dumps(asdict(settings)),
                "generation": 0,
                "next_row": 1,
                "digest": b"\0" * 32,
                "updated": "",
                "intent": "",
            }
            db.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";\n"):
                db.execute(statement)
            db.executemany("INSERT INTO state VALUES (?, ?)", start.items())
            db.commit()
        return cls(db, folder)

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> Manifest:
        """Open the manifest in `folder`.

        Raises:
            CollectionError: there is none, it is damaged, or a newer version wrote it.
        """
        path = folder / MANIFEST_FILE
        if not holds_collection(folder):
            raise CollectionError(
                f"there is no collection in {folder}; make one with 'ragassay ingest SOURCE -c {folder.name}'."
            )
        with storage_errors(folder):
            db = _connect(path, "rw")
            if not write:
                db.execute("PRAGMA query_only=ON")
            found = db.execute("SELECT value FROM state WHERE key = 'format'").fetchone()[0]
        if found > FORMAT:
            raise CollectionError(
                f"the collection {folder.name!r} was written by a newer version (format {found}, this one reads "
                f"{FORMAT}); upgrade with 'pip install -U ragassay'."
            )
        return cls(db, folder)

    def close(self) -> None:
        """Close the connection; harmless when called twice."""
        self._db.close()

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for the parts of this package that change the manifest."""
        return self._db

    # ------------------------------------------------------------ state

    def state(self, key: str) -> Any:
        """Return one value of the collection's state."""
        with storage_errors(self.folder):
            return self._db.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()[0]

    def data_version(self) -> int:
        """Return a number that changes when another connection commits; costs microseconds."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def count(self, table: str = "chunks") -> int:
        """Return the number of rows of `chunks` or `documents`."""
        # vectors has the same rows as chunks in far fewer pages.
        name = {"chunks": "vectors", "documents": "documents"}[table]
        return int(self._db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0])  # noqa: S608

    def languages(self) -> dict[str, int]:
        """Return chunks per language, most first."""
        rows = self._db.execute(
            "SELECT f.value, COUNT(*) FROM facets f JOIN chunk_facets cf ON cf.facet = f.facet "
            "WHERE f.key = 'language' GROUP BY f.value ORDER BY 2 DESC, 1"
        )
        return dict(rows.fetchall())

    # ------------------------------------------------------------ documents

    def documents(self) -> list[DocumentRow]:
        """Return all documents, ordered by source."""
        return [_document(row) for row in self._db.execute(f"{_DOCUMENT} ORDER BY source")]

    def document(self, source: str) -> DocumentRow | None:
        """Return the document with that source, None when there is none."""
        row = self._db.execute(f"{_DOCUMENT} WHERE source = ?", (source,)).fetchone()
        return _document(row) if row else None

    def file(self, origin: str) -> FileState | None:
        """Return the state in which a file was last read to its end, None when it never was."""
        row = self._db.execute(
            "SELECT origin, sha256, size, mtime_ns, recipe FROM files WHERE origin = ?", (origin,)
        ).fetchone()
        return _file(row) if row else None

    def sources(self, origin: str) -> list[str]:
        """Return the sources of the documents that came from a file."""
        rows = self._db.execute("SELECT source FROM documents WHERE origin = ? ORDER BY source", (origin,))
        return [row[0] for row in rows]

    # ------------------------------------------------------------ chunks

    def chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks in the order asked; ids that the manifest does not hold are left out."""
        found: dict[str, Chunk] = {}
        for part in _parts(list(ids)):
            rows = self._db.execute(f"{_CHUNK} WHERE c.id IN ({_marks(part)})", part)
            found.update((row[0], _chunk(row)) for row in rows)
        return [found[id_] for id_ in ids if id_ in found]

    def chunks_of(self, source: str) -> list[Chunk]:
        """Return a document's chunks in reading order."""
        rows = self._db.execute(f"{_CHUNK} WHERE d.source = ? ORDER BY c.ordinal", (source,))
        return [_chunk(row) for row in rows]

    def ids_of(self, rows: Iterable[int]) -> dict[int, str]:
        """Return row number -> chunk id for the rows that the manifest holds."""
        found: dict[int, str] = {}
        for part in _parts(list(rows)):
            found.update(self._db.execute(f"SELECT row, id FROM chunks WHERE row IN ({_marks(part)})", part))  # noqa: S608
        return found

    def all_ids(self) -> dict[int, str]:
        """Return row number -> chunk id for the whole collection."""
        return dict(self._db.execute("SELECT row, id FROM chunks").fetchall())

    def all_rows(self) -> list[int]:
        """Return every row number, ascending."""
        return [row[0] for row in self._db.execute("SELECT row FROM vectors ORDER BY row")]

    def rows_where(self, where: Where) -> list[int]:
        """Return the rows whose metadata equals every value of `where`, ascending.

        Raises:
            UnknownNameError: no chunk has metadata of that key.
        """
        known = {row[0] for row in self._db.execute("SELECT DISTINCT key FROM facets")}
        for key in where:
            if key not in known:
                raise UnknownNameError("metadata key", key, known)
        part = "SELECT cf.row FROM facets f JOIN chunk_facets cf ON cf.facet = f.facet WHERE f.key = ? AND f.value = ?"
        values = [text for key, value in where.items() for text in (key, facet_value(value))]
        query = " INTERSECT ".join([part] * len(where))
        return sorted(row[0] for row in self._db.execute(query, values))

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Return the vectors of ascending `rows`, float32 of shape (len(rows), dimension)."""
        import numpy as np

        blobs: list[bytes] = []
        for part in _parts(list(rows)):
            found = self._db.execute(
                f"SELECT vector FROM vectors WHERE row IN ({_marks(part)}) ORDER BY row",  # noqa: S608
                part,
            )
            blobs.extend(row[0] for row in found)
        return np.frombuffer(b"".join(blobs), dtype=np.float32).reshape(-1, self.settings.dimension)

    def vectors_after(self, row: int) -> tuple[list[int], bytes]:
        """Return the rows after `row`, ascending, and their vectors end to end."""
        found = self._db.execute(
            "SELECT row, vector FROM vectors WHERE row > ? ORDER BY row", (row,)
        ).fetchall()
        return [item[0] for item in found], b"".join(item[1] for item in found)

    def batches(self, rows: Sequence[int]) -> Iterator[tuple[list[int], list[Chunk], Vectors]]:
        """Yield (rows, chunks, vectors) for ascending `rows`, a few thousand at a time."""
        for start in range(0, len(rows), BLOCK):
            part = list(rows[start : start + BLOCK])
            ids = self.ids_of(part)
            held = [row for row in part if row in ids]
            yield held, self.chunks([ids[row] for row in held]), self.vectors(held)


def holds_collection(folder: Path) -> bool:
    """Return whether `folder` holds a collection that was created to its end."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return False
    with storage_errors(folder):
        db = _connect(path, "rw")
        try:
            return bool(db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'state'").fetchone()[0])
        finally:
            db.close()


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{str(path).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=10.0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA synchronous=FULL")
        db.execute("SELECT COUNT(*) FROM sqlite_master")
    except sqlite3.OperationalError as exc:
        db.close()
        # On a read-only file system the shared memory of WAL cannot be made; without a log nothing is missed.
        if mode != "rw" or "unable to open" not in str(exc) or path.with_name(f"{path.name}-wal").exists():
            raise
        db = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return db


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    # SQLite's default bound on parameters of a statement is 32,766.
    for start in range(0, len(values), 30_000):
        yield values[start : start + 30_000]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _chunk(row: tuple[Any, ...]) -> Chunk:
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


def _file(row: tuple[Any, ...]) -> FileState:
    return FileState(origin=row[0], sha256=row[1], size=row[2], mtime_ns=row[3], recipe=row[4])


def _document(row: tuple[Any, ...]) -> DocumentRow:
    return DocumentRow(
        source=row[0],
        id=row[1],
        title=row[2],
        media_type=row[3],
        language=row[4],
        pages=row[5] or None,
        chunks=row[6],
        file=_file(row[7:12]),
    )
