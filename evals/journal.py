"""Append-only files of checked lines, written by one thread that syncs everything queued together.

A line is `{"crc32":"89abcdef","entry":{...}}`: the checksum covers the bytes of the entry as they stand.
A line counts as written only after its fsync. A tail that a crash cut short is removed when the file is
opened for writing; a damaged line in the middle is reported and skipped, never fatal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evals.codec import dumps, loads
from rag.errors import StorageError

__all__ = ["Damage", "JournalWriter", "encode_line", "entry_at", "read_entries", "repair_tail"]

_HEAD = b'{"crc32":"'
_MIDDLE = b'","entry":'
_BODY = len(_HEAD) + 8 + len(_MIDDLE)
_RESERVE_BYTES = 4 * 1024 * 1024
_BATCH_BYTES = 8 * 1024 * 1024

Entry = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """A line that could not be read: its number, counted from 1, and what is wrong with it."""

    path: Path
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path.name} line {self.line} is damaged ({self.problem}) and was skipped"


def encode_line(entry: Entry) -> bytes:
    """Return `entry` as one line with its checksum, the line feed included."""
    body = dumps(entry)
    return b"%s%08x%s%s}\n" % (_HEAD, zlib.crc32(body), _MIDDLE, body)


def read_entries(path: Path, on_damage: Callable[[Damage], None] | None = None) -> Iterator[tuple[int, Any]]:
    """Yield (byte offset, entry) of each intact line, in the order written, a line at a time.

    A tail without a line feed, which a crash may leave, is yielded if it is whole and otherwise passed over.
    A line feed that was damaged joins two lines; both are still found.

    Args:
        path: the file; an absent one has no entries.
        on_damage: told of every line that is not as it was written.
    """
    report = on_damage or _ignore
    if not path.exists():
        return
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            whole = _decode(line)
            if whole is not None:
                yield offset, whole
            else:
                for start, entry in _rescued(line):
                    yield offset + start, entry
                if line.endswith(b"\n"):
                    report(Damage(path=path, line=number, problem="its checksum does not match"))
            offset += len(line)


def entry_at(path: Path, offset: int) -> Any:
    """Return the entry whose line starts at `offset`, as `read_entries` told it.

    Raises:
        StorageError: it is not there any more.
    """
    with path.open("rb") as file:
        file.seek(offset)
        line = file.readline()
    entry = _decode(line) or next((found for _, found in _rescued(line)), None)
    if entry is None:
        raise StorageError(f"{path} changed while it was read.")
    return entry


def repair_tail(path: Path) -> int:
    """Cut what a crash left half written at the end; return the number of bytes removed.

    A last line that is whole but for its line feed is completed instead: the reply in it was paid for.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = _tail_start(file, end)
        file.seek(start)
        tail = file.read(end - start)
        if not tail:
            return 0
        if _decode(tail) is not None:
            file.write(b"\n")
            removed = 0
        else:
            file.truncate(start)
            removed = len(tail)
        file.flush()
        os.fsync(file.fileno())
        return removed


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

        The future raises StorageError where the file system refused; the file then ends after the last
        entry that was safe.
        """
        future: Future[None] = Future()
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


def _decode(line: bytes) -> Any | None:
    line = line.removesuffix(b"\n")
    body = line[_BODY:-1]
    framed = line.startswith(_HEAD) and line[len(_HEAD) + 8 : _BODY] == _MIDDLE and line.endswith(b"}")
    if not framed or line[len(_HEAD) : len(_HEAD) + 8] != b"%08x" % zlib.crc32(body):
        return None
    try:
        return loads(body)
    except ValueError:
        return None


def _rescued(line: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (place, entry) of what is intact in a line that is not, as two that lost the line feed between.

    JSON strings escape their quotes, so the head of a line stands nowhere but at its start.
    """
    start = 0
    while start != -1:
        following = line.find(_HEAD, start + 1)
        piece = line[start:] if following == -1 else line[start : following - 1]
        entry = _decode(piece)
        if entry is not None:
            yield start, entry
        start = following


def _tail_start(file: Any, end: int) -> int:
    """Return the offset after the last line feed."""
    step = 64 * 1024
    place = end
    while place > 0:
        start = max(0, place - step)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found != -1:
            return start + int(found) + 1
        place = start
    return 0


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


def _ignore(_: Damage) -> None:
    return
