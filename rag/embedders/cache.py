"""Vectors kept between runs, by text and model, so that nothing is embedded twice.

An SQLite file in WAL mode: several processes may share it. It is only a cache: a broken file is set aside, a
full disk or a busy file means embedding again, and none of it is an error for the user. It holds at most
`MAX_ROWS` vectors (about 1.8 GB of 384 dimensions); the oldest leave first. Queries are not kept.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.core import Embedder, Vectors

__all__ = ["MAX_ROWS", "CachedEmbedder"]

MAX_ROWS = 1_000_000
_LOOKUP = 500
_BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    vector BLOB NOT NULL
)
"""

_log = logging.getLogger(__name__)


class CachedEmbedder:
    """An embedder that looks documents up in a file before it embeds them.

    Vectors are the wrapped embedder's, bit for bit. Thread-safe.

    Args:
        embedder: computes what the file lacks.
        path: the SQLite file; made, with its folder, when first needed.
        max_rows: vectors kept at most.
    """

    def __init__(self, embedder: Embedder, path: Path, *, max_rows: int = MAX_ROWS) -> None:
        self._embedder = embedder
        self._path = path
        self._max_rows = max_rows
        self._lock = threading.Lock()
        self._warned = False

    @property
    def name(self) -> str:
        """The wrapped embedder's name."""
        return self._embedder.name

    @property
    def fingerprint(self) -> str:
        """The wrapped embedder's fingerprint."""
        return self._embedder.fingerprint

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._embedder.dimension

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; the rest is cut off."""
        return self._embedder.max_tokens

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return float32 unit rows of shape (len(texts), dimension); a new text is embedded once."""
        import numpy as np

        keys = [self._key(text) for text in texts]
        known = self._read(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            vectors = self._embedder.embed_documents(list(missing.values()))
            fresh = dict(zip(missing, vectors, strict=True))
            self._write({key: vector.tobytes() for key, vector in fresh.items()})
            known |= fresh
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, key in enumerate(keys):
            rows[row] = known[key]
        return rows

    def embed_query(self, text: str) -> Vectors:
        """Return one float32 unit vector of shape (dimension,); never kept."""
        return self._embedder.embed_query(text)

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Return the (start, end) character offsets of each token of `text`."""
        return self._embedder.token_spans(text)

    def _key(self, text: str) -> bytes:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
        digest.update(f"\0{self.fingerprint}".encode())
        return digest.digest()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        import numpy as np

        found: dict[bytes, Vectors] = {}
        width = self.dimension * np.dtype(np.float32).itemsize
        with self._connection() as connection:
            if connection is None:
                return found
            wanted = list(dict.fromkeys(keys))
            for start in range(0, len(wanted), _LOOKUP):
                part = wanted[start : start + _LOOKUP]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608 - only marks
                rows = connection.execute(query, part)
                found |= {key: np.frombuffer(blob, np.float32) for key, blob in rows if len(blob) == width}
        return found

    def _write(self, vectors: dict[bytes, bytes]) -> None:
        with self._connection() as connection:
            if connection is None:
                return
            connection.executemany(
                "INSERT OR REPLACE INTO vectors (key, vector) VALUES (?, ?)",
                vectors.items(),
            )
            connection.execute(
                "DELETE FROM vectors WHERE id <= (SELECT max(id) FROM vectors) - ?", (self._max_rows,)
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        """One transaction on the file, or None where it cannot be opened; failures are logged."""
        with self._lock:
            connection = self._open()
            try:
                yield connection
                if connection is not None:
                    connection.commit()
            except sqlite3.OperationalError as exc:  # busy, full disk, read-only: the vectors are made again
                self._warn(f"the embedding cache {self._path} could not be used: {exc}")
            except sqlite3.DatabaseError as exc:
                self._set_aside(exc)
            finally:
                if connection is not None:
                    connection.close()

    def _open(self) -> sqlite3.Connection | None:
        for _ in range(2):
            try:
                return self._connect()
            except sqlite3.OperationalError as exc:
                self._warn(f"the embedding cache {self._path} could not be opened: {exc}")
                return None
            except OSError as exc:
                self._warn(f"the embedding cache {self._path} could not be made: {exc.strerror or exc}")
                return None
            except sqlite3.DatabaseError as exc:
                self._set_aside(exc)
        return None

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY_S)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, exc: sqlite3.DatabaseError) -> None:
        aside = self._path.with_name(f"{self._path.name}.broken-{time.time_ns()}")
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return  # another process has just done it
        _log.warning("the embedding cache was broken (%s); it is now %s and a new one is begun", exc, aside)

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("%s; going on without it", message)
