"""Checked lines: `{"crc32":"89abcdef","entry":{...}}`, the checksum over the bytes of the entry as they are.

A damaged line is reported and skipped, never fatal; a tail that a crash cut short is removed by whoever
writes next.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from evals.codec import dumps, loads
from rag.errors import StorageError

__all__ = ["Damage", "Entry", "encode_line", "entry_at", "read_entries", "repair_tail"]

_HEAD = b'{"crc32":"'
_MIDDLE = b'","entry":'
_BODY = len(_HEAD) + 8 + len(_MIDDLE)

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


def _tail_start(file: BinaryIO, end: int) -> int:
    """Return the offset after the last line feed."""
    step = 64 * 1024
    place = end
    while place > 0:
        start = max(0, place - step)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found != -1:
            return start + found + 1
        place = start
    return 0


def _ignore(_: Damage) -> None:
    return
