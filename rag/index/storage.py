"""Where SQLite and the stores meet the file system: connections, and errors that name the cure."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.errors import CollectionError, StorageError

__all__ = ["connect", "refused", "storage_errors"]

# SQLite, Rust's standard library and Python each say it in their own words.
_FULL = (
    "no space",
    "disk is full",
    "os error 28",
    "code: 28",
    "file too large",
    "quota exceeded",
    "code 13)",
)
_ROOM = 4 * 1024 * 1024
_READ_ONLY = ("readonly", "read-only", "permission denied", "unable to open database")


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise under `folder` into errors that name the cure."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as exc:
        raise refused(exc, folder) or _manifest_error(exc, folder) from exc


def refused(exc: BaseException, folder: Path, *, ask_disk: bool = False) -> StorageError | None:
    """Return the error for a full or read-only file system, None where `exc` says something else.

    With `ask_disk` a disk without room explains any error: for libraries that swallow the reason.
    """
    text = str(exc).lower()
    full = ask_disk and shutil.disk_usage(folder).free < _ROOM
    if full or any(sign in text for sign in _FULL):
        return StorageError(
            f"no space left while writing to {folder}. Free some, then run the same command again: "
            "what was committed is kept."
        )
    if any(sign in text for sign in _READ_ONLY):
        return StorageError(f"cannot write to {folder} ({exc}). Make it writable, or set RAGASSAY_HOME.")
    return None


def _manifest_error(exc: BaseException, folder: Path) -> StorageError | CollectionError:
    name = folder.name
    text = str(exc).lower()
    if isinstance(exc, OSError) or "i/o error" in text or "locked" in text:
        return StorageError(f"input/output error in {folder}: {exc}. Check the disk, then run this again.")
    return CollectionError(
        f"the manifest of the collection {name!r} is damaged ({exc}); restore {folder} from a copy, or drop "
        f"it with 'ragassay collections drop {name}' and ingest again."
    )


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a SQLite file in `mode` (`rw`, `rwc`); a reader on a read-only file system is served too."""
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
