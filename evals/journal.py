"""Append-only files of checked lines, written by one thread that syncs everything queued together.

A line counts as written only after its fsync; whoever appends need not wait for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from evals.lines import Damage, Entry, encode_line, read_entries, repair_tail
from rag.errors import StorageError

__all__ = ["Damage", "JournalWriter", "read_entries"]

_RESERVE_BYTES = 4 * 1024 * 1024
_BATCH_BYTES = 8 * 1024 * 1024


class JournalWriter:
    """Appends entries to a file from any thread; one writer thread syncs them in groups.

    Args:
        path: the file, created when absent; a torn tail is repaired first.
        encode: turns what `append` is given into plain values, in the writer thread.

    Raises:
        StorageError: the file cannot be opened or repaired.
    """

    def __init__(self, path: Path, encode: Callable[[Any], Entry]) -> None:
        self._path = path
        self._encode = encode
        self._queue: queue.SimpleQueue[tuple[Any, Future[None]] | None] = queue.SimpleQueue()
        self._failure: StorageError | None = None
        self._closed = False
        self._closing = threading.Lock()
        try:
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
            repair_tail(path)
            self._end = os.lseek(self._fd, 0, os.SEEK_END)
            self._reserve = _make_reserve(path)
            _sync_folder(path.parent)
        except OSError as exc:
            raise _storage_error(path, exc) from exc
        self._thread = threading.Thread(target=self._work, name=f"write-{path.name}", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> StorageError | None:
        """Why nothing more should be started: the disk refused, or only its last reserve is left."""
        return self._failure

    def append(self, value: Any) -> Future[None]:
        """Queue `value` and return at once; the future is done when it is safely on disk.

        Cancelling the future has no effect: a received reply was paid for and is written. It raises
        StorageError where the file system refused; the file then ends after the last
        entry that was safe.
        """
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        with self._closing:
            if self._closed:
                future.set_exception(StorageError(f"{self._path} is closed."))
            else:
                self._queue.put((value, future))
        return future

    def close(self) -> None:
        """Write what is queued and stop the thread; harmless when called twice."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        os.close(self._fd)
        self._drop_reserve()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _work(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._take()
            if not batch:
                continue
            error = self._commit(batch)
            for _, future in batch:
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    def _take(self) -> tuple[list[tuple[bytes, Future[None]]], bool]:
        """Wait for one entry, then take all that are queued, up to a few megabytes."""
        batch: list[tuple[bytes, Future[None]]] = []
        size = 0
        item = self._queue.get()
        while item is not None:
            value, future = item
            try:
                line = encode_line(self._encode(value))
            except Exception as exc:  # noqa: BLE001  # one unwritable value must not end the thread
                future.set_exception(exc)
            else:
                batch.append((line, future))
                size += len(line)
            if size >= _BATCH_BYTES:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[tuple[bytes, Future[None]]]) -> StorageError | None:
        data = b"".join(line for line, _ in batch)
        try:
            self._write(data)
        except OSError as exc:
            self._failure = _storage_error(self._path, exc)
            if exc.errno not in {errno.ENOSPC, errno.EDQUOT} or not self._drop_reserve():
                return self._failure
            # The reserve is for replies that were in flight when the disk filled up: they are paid for.
            try:
                self._write(data)
            except OSError:
                return self._failure
        return None

    def _write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            place = self._end
            while view:
                written = os.pwrite(self._fd, view, place)
                view = view[written:]
                place += written
            os.fsync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise
        self._end += len(data)

    def _drop_reserve(self) -> bool:
        if self._reserve is None:
            return False
        self._reserve.unlink(missing_ok=True)
        self._reserve = None
        return True


def _make_reserve(path: Path) -> Path | None:
    """Set space aside beside `path`; without it a full disk would lose the replies still in flight."""
    reserve = path.with_name(f".{path.name}.reserve")
    try:
        with reserve.open("wb") as file:
            file.write(bytes(_RESERVE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        reserve.unlink(missing_ok=True)
        return None
    return reserve


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _storage_error(path: Path, exc: OSError) -> StorageError:
    if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageError(
            f"no space left for {path}; free some, then go on with 'ragassay eval resume {path.parent}'."
        )
    return StorageError(f"cannot write {path}: {exc.strerror or exc}.")
