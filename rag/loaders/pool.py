"""Reading files in child processes with limits on time and memory, one child for many files."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from rag.children import bare_environment, python_path
from rag.core import Document
from rag.errors import LoadError
from rag.loaders.sources import Source
from rag.loaders.worker import decode_reply, read_frame, write_frame

__all__ = ["DEFAULT_LIMITS", "Limits", "Worker", "load_many", "read"]

_MAX_REPLY_BYTES = 1 << 30
_LOOK_AHEAD = 2
_START_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one file may cost: CPU and wall seconds, bytes of memory above a child's own, bytes read."""

    cpu_s: float = 30.0
    wall_s: float = 60.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 200_000_000


DEFAULT_LIMITS = Limits()


def read(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a file or URL.

    Raises:
        LoadError: missing, not readable, not a regular file, or larger than `limits.file_bytes`.
    """
    if source.data is not None:
        return source.data
    if isinstance(source.locator, str):
        from rag.loaders.fetch import fetch

        return fetch(source.locator, max_bytes=limits.file_bytes)
    return _read_file(source.locator, limits.file_bytes)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        # Not blocking: a pipe put in the file's place since discovery must not hang the reading.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(max_bytes + 1) if size <= max_bytes else None
    except FileNotFoundError as exc:
        raise LoadError("the file is gone; check the path.") from exc
    except PermissionError as exc:
        raise LoadError(f"no permission to read it; run 'chmod +r {path.name}'.") from exc
    except OSError as exc:
        raise LoadError(f"it cannot be read ({exc.strerror}); check the file and the disk.") from exc
    if data is None or len(data) > max_bytes:
        raise LoadError(
            f"it has {size / 1e6:,.0f} MB, more than the {max_bytes // 1_000_000} MB limit; "
            "split it into smaller files."
        )
    return data


def load_many(
    sources: Iterable[Source], *, workers: int = 2, limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[Source, list[Document] | LoadError]]:
    """Yield each source with its documents or the reason why there are none, in the order given.

    Sources are taken as they are needed, so that at most `workers + 2` files are in memory. Close the
    iterator (or exhaust it) to end the children at once.

    Args:
        sources: what `discover` found; may be lazy.
        workers: child processes at work at the same time.
        limits: what one file may cost.
    """
    pool = _Pool(workers, limits)
    waiting: deque[tuple[Source, Future[list[Document] | LoadError]]] = deque()
    try:
        for source in sources:
            waiting.append((source, pool.submit(source)))
            if len(waiting) >= workers + _LOOK_AHEAD:
                yield _bare(waiting[0][0]), waiting.popleft()[1].result()
        while waiting:
            yield _bare(waiting[0][0]), waiting.popleft()[1].result()
    finally:
        pool.close()


def _bare(source: Source) -> Source:
    return source if source.data is None else Source(name=source.name, locator=source.locator)


class _Pool:
    """Threads that each borrow a child for one file at a time."""

    def __init__(self, workers: int, limits: Limits) -> None:
        self._limits = limits
        self._all = [Worker(limits) for _ in range(workers)]
        self._free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="ragassay-load")

    def submit(self, source: Source) -> Future[list[Document] | LoadError]:
        return self._threads.submit(self._load, source)

    def close(self) -> None:
        for worker in self._all:
            worker.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _load(self, source: Source) -> list[Document] | LoadError:
        worker = self._free.get()
        try:
            return worker.parse(read(source, limits=self._limits), source.name)
        except LoadError as exc:
            return exc
        finally:
            self._free.put(worker)


class Worker:
    """One child process, started when first needed and again after it ended. Only `close` is thread-safe."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return None if self._child is None else self._child.pid

    def parse(self, data: bytes, name: str) -> list[Document]:
        """Read the documents of a file in the child.

        Raises:
            LoadError: why it cannot be read; past a limit, which one.
        """
        child, reply, overran = self._attempt(data, name)
        if reply is None and child.returncode == -signal.SIGKILL and not (overran or self._closed):
            child, reply, overran = self._attempt(
                data, name
            )  # killed from outside: no fault of the file's, once
        if reply is None:
            raise self._ended(child, overran=overran)
        answer = decode_reply(reply)
        if isinstance(answer, str):
            raise LoadError(answer)
        return answer

    def _attempt(self, data: bytes, name: str) -> tuple[subprocess.Popen[bytes], bytes | None, bool]:
        """Return the child, its reply (None where it ended instead) and whether it was ended for its time."""
        child = self._running()
        with _Alarm(self._limits.wall_s, child) as alarm:
            reply = self._exchange(child, data, name)
        if reply is None:
            _end(child)
        return child, reply, alarm.rang

    def close(self) -> None:
        """End the child; harmless when called twice, and from another thread."""
        with self._lock:
            self._closed = True
            child = self._child
        if child is not None:
            _end(child)

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise LoadError("reading was stopped before this file; run the command again.")
            if self._child is not None and self._child.poll() is not None:
                _end(self._child)
                self._child = None
            fresh = self._child is None
            child = self._child = self._child or _start(self._limits)
        if fresh:
            with _Alarm(_START_S, child):  # on a busy machine the start must not count as the file's time
                if self._receive(child) is None:
                    _end(child)
                    raise self._ended(child, overran=False)
        return child

    @staticmethod
    def _receive(child: subprocess.Popen[bytes]) -> bytes | None:
        if child.stdout is None:
            return None
        try:
            return read_frame(child.stdout, _MAX_REPLY_BYTES)  # type: ignore[arg-type]
        except (OSError, ValueError):
            return None

    def _exchange(self, child: subprocess.Popen[bytes], data: bytes, name: str) -> bytes | None:
        """Send the file and return the reply; None where the child ended instead."""
        header = orjson.dumps({"name": name, "cpu_s": self._limits.cpu_s})
        if child.stdin is None:
            return None
        try:
            write_frame(child.stdin, header)  # type: ignore[arg-type]
            write_frame(child.stdin, data)  # type: ignore[arg-type]
        except (OSError, ValueError):
            return None
        return self._receive(child)

    def _ended(self, child: subprocess.Popen[bytes], *, overran: bool) -> LoadError:
        code = child.returncode
        limits = self._limits
        if self._closed:
            return LoadError("reading was stopped before it was done; run the command again.")
        if overran:
            return LoadError(f"reading it took longer than {limits.wall_s:g} s; split or simplify the file.")
        if code == -signal.SIGXCPU:
            return LoadError(
                f"reading it took more than {limits.cpu_s:g} s of CPU time; split or simplify the file."
            )
        return LoadError(
            f"its reader process ended (status {code}), most likely for want of memory (limit "
            f"{limits.memory_bytes // (1 << 20)} MiB); split the file, or save it again."
        )


class _Alarm:
    """Kills a child that is not done within so many seconds; `rang` says whether it did."""

    def __init__(self, seconds: float, child: subprocess.Popen[bytes]) -> None:
        self.rang = False
        self._child = child
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        self._child.kill()


def _start(limits: Limits) -> subprocess.Popen[bytes]:
    arguments = [str(limits.memory_bytes), str(limits.file_bytes), str(os.getpid())]
    environment = bare_environment(
        PYTHONPATH=python_path(), OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MALLOC_ARENA_MAX="2"
    )
    return subprocess.Popen(
        # -P: the working folder may hold anybody's modules
        [sys.executable, "-P", "-m", "rag.loaders.worker", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # Ctrl-C goes to the parent, which ends its children itself
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=5)
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.close()
