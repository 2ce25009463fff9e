"""A model hub on loopback: files at pinned revisions, byte ranges, and the ways a download goes wrong."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

__all__ = ["FakeHub"]


@dataclass
class FakeHub:
    """Serves `files` (path below `/REPOSITORY/resolve/REVISION/` to bytes) and notes every GET.

    `cut_after` breaks that many GETs off half-way; with `ranges` False a range is answered whole.
    """

    files: dict[str, bytes]
    cut_after: int = 0
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(body=False)

            def do_GET(self) -> None:
                hub.asked.append((self.path, self.headers.get("Range")))
                self._answer(body=True)

            def _answer(self, *, body: bool) -> None:
                content = hub.files.get(self.path.split("/resolve/")[-1].partition("/")[2])
                if content is None:
                    self.send_error(404)
                    return
                wanted = self.headers.get("Range")
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                if not body:
                    return
                part = content[start:]
                if hub.cut_after:
                    hub.cut_after -= 1
                    part = part[: len(part) // 2]
                self.wfile.write(part)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler
