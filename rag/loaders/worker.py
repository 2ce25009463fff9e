"""The child process that reads files: `python -m rag.loaders.worker`.

Frames in both directions: 8 bytes of length, then that many bytes. The first frame back says that the
process is ready. A request is a JSON header frame, then a
frame with the file's bytes; a reply is one JSON frame, so that nothing a hostile file makes of this process
can run in the parent. It ends when its standard input does or its parent is gone.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
import threading
import time
from typing import Any, BinaryIO

import orjson

from rag.core import Document, Page, Section
from rag.errors import LoadError

__all__ = ["decode_reply", "main", "read_frame", "write_frame"]

_LENGTH = struct.Struct(">Q")
_PARENT_CHECK_S = 1.0


def read_frame(stream: BinaryIO, limit: int) -> bytes | None:
    """Return the next frame; None at the end of the stream.

    Raises:
        ValueError: longer than `limit` bytes, or cut.
    """
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise ValueError("a frame was cut")
    (length,) = _LENGTH.unpack(head)
    if length > limit:
        raise ValueError(f"a frame of {length} bytes, more than {limit}")
    body = stream.read(length)
    if len(body) < length:
        raise ValueError("a frame was cut")
    return body


def write_frame(stream: BinaryIO, body: bytes) -> None:
    """Write one frame and flush."""
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def decode_reply(body: bytes) -> list[Document] | str:
    """Return the documents of a reply frame, or the error that it tells."""
    reply = orjson.loads(body)
    if "error" in reply:
        return str(reply["error"])
    return [_document(fields) for fields in reply["documents"]]


def _document(fields: dict[str, Any]) -> Document:
    pages = tuple(Page(**page) for page in fields.pop("pages"))
    sections = tuple(Section(**section) for section in fields.pop("sections"))
    return Document(**fields, pages=pages, sections=sections)


def _answer(header: dict[str, Any], data: bytes) -> bytes:
    from rag.loaders.parse import parse_bytes

    _limit_cpu(float(header["cpu_s"]))
    try:
        return orjson.dumps({"documents": parse_bytes(data, header["name"])})
    except LoadError as exc:
        return orjson.dumps({"error": str(exc)})
    except (MemoryError, RecursionError) as exc:
        what = "memory" if isinstance(exc, MemoryError) else "nesting depth"
        return orjson.dumps({"error": f"it needs more {what} than a file is given; split or simplify it."})
    except Exception as exc:  # noqa: BLE001 - whatever a parser does, the next file must be read
        said = str(exc).encode("utf-8", "replace").decode()[:200]
        return orjson.dumps(
            {"error": f"its reader failed ({type(exc).__name__}: {said}); save the file again."}
        )


def _limit_cpu(seconds: float) -> None:
    """Let this process use `seconds` more of CPU time; past that the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(
        resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
    )


def _limit_memory(extra_bytes: int) -> None:
    """Cap the address space at `extra_bytes` above what it is now; only Linux keeps to it."""
    if sys.platform != "linux":
        return
    with open("/proc/self/statm", "rb") as statm:  # noqa: PTH123 - one line of the kernel's
        now = int(statm.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    cap = now + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (cap if hard == resource.RLIM_INFINITY else min(cap, hard), hard))


def _leave_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)


def main() -> None:
    """Serve until standard input ends."""
    memory_bytes, max_bytes, parent = (int(argument) for argument in sys.argv[1:4])
    threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()
    # Libraries print; the reply channel is a descriptor that they do not know.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(memory_bytes)
    write_frame(replies, b"ready")
    while (header := read_frame(sys.stdin.buffer, 1 << 20)) is not None:
        data = read_frame(sys.stdin.buffer, max_bytes)
        if data is None:
            break
        write_frame(replies, _answer(orjson.loads(header), data))


if __name__ == "__main__":
    main()
