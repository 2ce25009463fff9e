"""The manifest: one SQLite file that is the truth about what a collection holds.

Chroma and Tantivy are caches that are rebuilt from it. Rows of chunks never change and their numbers are
never used twice, so that a cache agrees with the manifest exactly when both hold the same numbers or ids.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core import Chunk
from rag.errors import CollectionError, UnknownNameError
from rag.index.schema import CHUNKS, DOCUMENTS, FORMAT, SCHEMA, chunk_of, document_of, file_of
from rag.index.storage import connect, storage_errors
from rag.index.values import DocumentRow, FileState, IndexSettings, Where, facet_value

if TYPE_CHECKING:
    from rag.core import Vectors

__all__ = ["Manifest", "holds_collection"]

MANIFEST_FILE = "manifest.sqlite3"
BLOCK = 4096


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
            db = connect(folder / MANIFEST_FILE, "rwc")
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
                f"there is no collection in {folder}; make it with 'ragassay ingest SOURCE -c {folder.name}'."
            )
        with storage_errors(folder):
            db = connect(path, "rw")
            if not write:
                db.execute("PRAGMA query_only=ON")
            found = db.execute("SELECT value FROM state WHERE key = 'format'").fetchone()[0]
        if found > FORMAT:
            raise CollectionError(
                f"the collection {folder.name!r} was written by a newer version (format {found}, this one "
                f"reads {FORMAT}); upgrade with 'pip install -U ragassay'."
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
        return [document_of(row) for row in self._db.execute(f"{DOCUMENTS} ORDER BY source")]

    def document(self, source: str) -> DocumentRow | None:
        """Return the document with that source, None when there is none."""
        row = self._db.execute(f"{DOCUMENTS} WHERE source = ?", (source,)).fetchone()
        return document_of(row) if row else None

    def file(self, origin: str) -> FileState | None:
        """Return the state in which a file was last read to its end, None when it never was."""
        row = self._db.execute(
            "SELECT origin, sha256, size, mtime_ns, recipe FROM files WHERE origin = ?", (origin,)
        ).fetchone()
        return file_of(row) if row else None

    def sources(self, origin: str) -> list[str]:
        """Return the sources of the documents that came from a file."""
        rows = self._db.execute("SELECT source FROM documents WHERE origin = ? ORDER BY source", (origin,))
        return [row[0] for row in rows]

    # ------------------------------------------------------------ chunks

    def chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks in the order asked; ids that the manifest does not hold are left out."""
        found: dict[str, Chunk] = {}
        for part in _parts(list(ids)):
            rows = self._db.execute(f"{CHUNKS} WHERE c.id IN ({_marks(part)})", part)
            found.update((row[0], chunk_of(row)) for row in rows)
        return [found[id_] for id_ in ids if id_ in found]

    def chunks_of(self, source: str) -> list[Chunk]:
        """Return a document's chunks in reading order."""
        rows = self._db.execute(f"{CHUNKS} WHERE d.source = ? ORDER BY c.ordinal", (source,))
        return [chunk_of(row) for row in rows]

    def ids_of(self, rows: Iterable[int]) -> dict[int, str]:
        """Return row number -> chunk id for the rows that the manifest holds."""
        found: dict[int, str] = {}
        for part in _parts(list(rows)):
            found.update(self._db.execute(f"SELECT row, id FROM chunks WHERE row IN ({_marks(part)})", part))  # noqa: S608
        return found

    def rows_by_id(self, ids: Iterable[str]) -> dict[str, int]:
        """Return chunk id -> row number for the ids that the manifest holds."""
        found: dict[str, int] = {}
        for part in _parts(list(ids)):
            found.update(self._db.execute(f"SELECT id, row FROM chunks WHERE id IN ({_marks(part)})", part))  # noqa: S608
        return found

    def named(self, found: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
        """Return (chunk id, score) for (row, score), best first, ties by id; rows not held are left out."""
        ids = self.ids_of(row for row, _ in found)
        pairs = [(ids[row], score) for row, score in found if row in ids]
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def all_ids(self) -> dict[int, str]:
        """Return row number -> chunk id for the whole collection."""
        return dict(self._db.execute("SELECT row, id FROM chunks").fetchall())

    def all_rows(self) -> list[int]:
        """Return every row number, ascending."""
        return [row[0] for row in self._db.execute("SELECT row FROM vectors ORDER BY row")]

    def check_keys(self, where: Where) -> None:
        """Raise UnknownNameError for a key of `where` that no passage ever had."""
        known = {row[0] for row in self._db.execute("SELECT DISTINCT key FROM facets")}
        for key in where:
            if key not in known:
                raise UnknownNameError("metadata key", key, known)

    def rows_where(self, where: Where) -> list[int]:
        """Return the rows whose metadata equals every value of `where`, ascending.

        Raises:
            UnknownNameError: no chunk has metadata of that key.
        """
        self.check_keys(where)
        part = (
            "SELECT cf.row FROM facets f JOIN chunk_facets cf USING (facet) WHERE f.key = ? AND f.value = ?"
        )
        values = [text for key, value in where.items() for text in (key, facet_value(value))]
        query = " INTERSECT ".join([part] * len(where))
        return sorted(row[0] for row in self._db.execute(query, values))

    def vectors(self, rows: Sequence[int]) -> tuple[list[int], Vectors]:
        """Return those of ascending `rows` that are held, and their vectors: float32 (rows, dimension)."""
        import numpy as np

        found: list[tuple[int, bytes]] = []
        for part in _parts(list(rows)):
            found += self._db.execute(
                f"SELECT row, vector FROM vectors WHERE row IN ({_marks(part)}) ORDER BY row",  # noqa: S608
                part,
            )
        blob = b"".join(vector for _, vector in found)
        matrix = np.frombuffer(blob, dtype=np.float32).reshape(-1, self.settings.dimension)
        return [row for row, _ in found], matrix

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
            yield held, self.chunks([ids[row] for row in held]), self.vectors(held)[1]


def holds_collection(folder: Path) -> bool:
    """Return whether `folder` holds a collection that was created to its end."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return False
    with storage_errors(folder):
        db = connect(path, "rw")
        try:
            return bool(db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'state'").fetchone()[0])
        finally:
            db.close()


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    # SQLite's default bound on parameters of a statement is 32,766.
    for start in range(0, len(values), 30_000):
        yield values[start : start + 30_000]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
