"""One writer per collection: an advisory lock on a file that names its holder.

The lock is `flock`, held by the open file and not by the file's content, so the operating system frees it
however the holder ends; what a killed holder wrote stays behind and means nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from rag.errors import CollectionError, CollectionLockedError, StorageError

__all__ = ["Holder", "WriterLock", "holder", "store_lock"]

LOCK_FILE = "lock"
STORE_LOCK_FILE = "store.lock"
PATIENCE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who writes to a collection: process, machine, command, start in ISO 8601 UTC, and where to reach it.

    `address` is the URL of a server that holds the collection open, None for a command.
    """

    pid: int
    host: str
    command: str
    since: str
    address: str | None = None

    def __str__(self) -> str:
        at = f", serving at {self.address}" if self.address else ""
        return f"process {self.pid} ({self.command}) on {self.host} since {self.since}{at}"


class WriterLock:
    """The right to write to a collection, held until `release`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path, *, address: str | None = None) -> Self:
        """Take the lock of `folder`, waiting at most one second for a passing look at it.

        Raises:
            CollectionLockedError: another process, or another writer of this one, holds it.
            CollectionError: the collection was dropped meanwhile.
            StorageError: the lock file cannot be written.
        """
        descriptor = _open_lock(folder)
        deadline = time.monotonic() + PATIENCE_S
        named: Holder | None = None
        while not _flock(descriptor, fcntl.LOCK_EX):
            named = _read_holder(folder) or named
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise CollectionLockedError(
                    f"the collection {folder.name!r} is being written by {named or 'another process'}; "
                    "wait until it ends, or stop it, then run this again."
                )
            time.sleep(0.02)
        if not _is_still(descriptor, folder / LOCK_FILE):
            # Its holder dropped the collection; the file that was locked is no longer anybody's.
            os.close(descriptor)
            return cls.acquire(folder, address=address)
        lock = cls(descriptor)
        lock.announce(address)
        return lock

    def announce(self, address: str | None = None) -> None:
        """Write who holds the lock into its file; `address` is the holder's URL, for a server."""
        if self._descriptor is None:
            return
        me = Holder(
            pid=os.getpid(),
            host=socket.gethostname(),
            command=_command(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            address=address,
        )
        # A full disk must not keep anybody from the lock: its content is only for messages.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(asdict(me)).encode(), 0)

    def release(self) -> None:
        """Give the lock back; harmless when called twice."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        # A forked child may share the open file: closing alone would leave the lock with it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def holder(folder: Path) -> Holder | None:
    """Return who writes to the collection now, None when nobody does."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _flock(descriptor, fcntl.LOCK_SH) else _read_holder(folder)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def store_lock(folder: Path, *, exclusive: bool, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold the vector store's own lock; yield whether it was gained within `wait_s` seconds.

    Chroma's files are not safe to share between processes: a writer holds this exclusively while it changes
    them, a reader while it opens them, and readers share it while they query.
    """
    try:
        descriptor = os.open(folder / STORE_LOCK_FILE, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        yield False
        return
    deadline = time.monotonic() + wait_s
    try:
        gained = _flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        while not gained and time.monotonic() < deadline:
            time.sleep(0.005)
            gained = _flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield gained
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> int:
    try:
        return os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError as exc:
        raise CollectionError(
            f"the collection {folder.name!r} was dropped meanwhile; make it anew with "
            f"'ragassay ingest SOURCE -c {folder.name}'."
        ) from exc
    except OSError as exc:
        raise StorageError(
            f"cannot write to {folder}: {exc.strerror}. Make the folder writable, or set RAGASSAY_HOME."
        ) from exc


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(folder: Path) -> Holder | None:
    try:
        return Holder(**json.loads((folder / LOCK_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _command() -> str:
    # Only the program and its subcommand: further arguments may hold what a stranger should not read.
    program = Path(sys.argv[0] or "python").name or "python"
    subcommand = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].isalpha() else ""
    return f"{program} {subcommand}".strip()
