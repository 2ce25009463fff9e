"""Server-sent events from bytes: an incremental parser whose result no slicing of the bytes can change.

Follows the WHATWG HTML standard, section 9.2.6 ("Interpreting an event stream"), with two departures that
real providers need: a last event without its blank line is delivered by `finish`, and lines that are no
event fields are kept in `stray`, because some servers drop a bare JSON error into a stream.
"""

from __future__ import annotations

__all__ = ["MAX_EVENT_BYTES", "EventParser"]

MAX_EVENT_BYTES = 10_000_000
_MAX_STRAY_BYTES = 65_536
_BOM = b"\xef\xbb\xbf"
_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})


class EventParser:
    """Turns pieces of an event stream into the data of its events.

    Lines end in LF, CR or CRLF; several `data` lines of an event are joined with LF; comments and other
    fields are skipped. `overflow` becomes True once a single event exceeds `max_event_bytes`; nothing is
    delivered after it.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.overflow = False
        self.stray = b""
        self._max = max_event_bytes
        self._tail: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes and return the data of each event that they complete, in order."""
        if self._after_cr and piece:
            self._after_cr = False
            if piece[0] == 10:
                piece = piece[1:]
        if not piece or self.overflow:
            return []
        last = piece[-1]
        if last != 10 and last != 13 and b"\n" not in piece and b"\r" not in piece:  # noqa: PLR1714
            self._tail.append(piece)
            self._grow(len(piece))
            return []
        if self._tail:
            self._size -= sum(map(len, self._tail))
            self._tail.append(piece)
            piece = b"".join(self._tail)
            self._tail.clear()
        lines = piece.splitlines()
        if last == 10:
            pass
        elif last == 13:
            self._after_cr = True
        else:
            rest = lines.pop()
            events = self._take(lines)
            if not self.overflow:
                self._tail.append(rest)
                self._grow(len(rest))
            return events
        return self._take(lines)

    def finish(self) -> list[bytes]:
        """Return the data of an event that the end of the stream left without its blank line."""
        lines = [b"".join(self._tail)] if self._tail else []
        self._tail.clear()
        return [] if self.overflow else self._take([*lines, b""])

    def _take(self, lines: list[bytes]) -> list[bytes]:
        events = []
        data = self._data
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                self._size = 0
                continue
            self._size += len(line)
            if self._size > self._max:
                self._grow(0)
                break
            if line.startswith(b"data:"):
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line[0] != 58:
                self._other(line)
        return events

    def _other(self, line: bytes) -> None:
        if line == b"data":
            self._data.append(b"")
        elif line.partition(b":")[0] not in _FIELDS and len(self.stray) < _MAX_STRAY_BYTES:
            self.stray += line[:_MAX_STRAY_BYTES] + b"\n"

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._max:
            self.overflow = True
            self._data.clear()
            self._tail.clear()
