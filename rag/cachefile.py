"""An SQLite file that is only a cache: whatever becomes of it, the work goes on without it.

WAL mode: several processes may share it. A broken file is set aside, a full disk, a read-only folder or a
file that stays busy is said once, and none of it is an error for the user.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CacheFile"]

_BUSY_S = 10.0
# Where the schema itself is damaged, even what SQLite says of it has no UTF-8 form.
_BROKEN = (sqlite3.DatabaseError, UnicodeDecodeError)

_log = logging.getLogger(__name__)


class CacheFile:
    """The file at `path`, made with its folder when first needed. Thread-safe, one thread at a time.

    Args:
        path: the SQLite file.
        schema: creates its table where there is none.
        name: what it is called in warnings, such as `"embedding cache"`.
    """

    def __init__(self, path: Path, schema: str, name: str) -> None:
        self.path = path
        self._schema = schema
        self._name = name
        self._lock = threading.Lock()
        self._held: list[tuple[sqlite3.Connection, int]] = []  # the open connection and its file's inode
        self._warned = False
        weakref.finalize(self, _close, self._held)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection | None]:
        """Hold the file for one transaction; None where it cannot be opened. Its failures are logged."""
        with self._lock:
            connection = self._connection()
            try:
                yield connection
                if connection is not None:
                    connection.commit()
            except sqlite3.OperationalError as exc:  # busy, full disk, read-only
                self._warn(f"the {self._name} {self.path} could not be used: {exc}")
                _close(self._held)
            except _BROKEN as exc:
                self._set_aside(exc)
            except BaseException:
                _close(self._held)
                raise

    def close(self) -> None:
        """Close the file; it opens again when needed."""
        with self._lock:
            _close(self._held)

    def _connection(self) -> sqlite3.Connection | None:
        if self._held and self._inode() == self._held[0][1]:
            return self._held[0][0]
        _close(self._held)  # another process set the file aside, or someone deleted it
        for _ in range(2):
            try:
                return self._connect()
            except sqlite3.OperationalError as exc:
                self._warn(f"the {self._name} {self.path} could not be opened: {exc}")
                return None
            except OSError as exc:
                self._warn(f"the {self._name} {self.path} could not be made: {exc.strerror or exc}")
                return None
            except _BROKEN as exc:
                self._set_aside(exc)
        return None

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(self._schema)
        except BaseException:
            connection.close()
            raise
        self._held.append((connection, self._inode()))
        return connection

    def _inode(self) -> int:
        try:
            return self.path.stat().st_ino
        except OSError:
            return -1

    def _set_aside(self, exc: Exception) -> None:
        _close(self._held)
        aside = self.path.with_name(f"{self.path.name}.broken-{time.time_ns()}")
        try:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.path.rename(aside)
        except FileNotFoundError:
            return  # another process has just done it
        except OSError as fault:
            reason = fault.strerror or fault
            self._warn(f"the {self._name} {self.path} is broken ({exc}) and cannot be set aside: {reason}")
            return
        _log.warning("the %s was broken (%s); it is now %s and a new one is begun", self._name, exc, aside)

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("%s; going on without it", message)


def _close(held: list[tuple[sqlite3.Connection, int]]) -> None:
    """Close what is held; an unfinished transaction is rolled back."""
    while held:
        held.pop()[0].close()
