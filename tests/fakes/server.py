"""The fake provider server: real sockets, scripted and seeded replies, faults, counters.

As a program, `python -m tests.fakes.server --port 0 [--script FILE]`, it prints one line of JSON with its
port and serves until its standard input closes or it is terminated. In a test, `with FakeServer() as server`
runs it on a thread of its own. `POST /v1/chat/completions` is the model, `POST /_control/script` sets the
script, `GET /_control/counters` returns what was seen, `POST /_control/reset` forgets it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.connection import Connection, HttpRequest
from tests.fakes.counters import Counters
from tests.fakes.faults import FAULTS
from tests.fakes.openai_wire import Exchange
from tests.fakes.script import Behaviour, Script

__all__ = ["FakeServer", "serve"]


class _Service:
    """Answers the requests of all connections."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.counters = Counters()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        try:
            while (request := await connection.request()) is not None:
                if not await self._serve(connection, request):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the server is being stopped
        finally:
            connection.close()

    async def _serve(self, connection: Connection, request: HttpRequest) -> bool:
        """Serve one request; False ends the connection."""
        if request.path.startswith("/_control/"):
            await self._control(connection, request)
            return True
        if request.method == "GET" and request.path.endswith("/models"):
            await connection.json({"object": "list", "data": [{"id": "mock", "object": "model"}]})
            return True
        if not request.path.endswith("/chat/completions"):
            await connection.json({"error": {"message": f"no route {request.path}"}}, 404)
            return True
        return await self._complete(connection, request)

    async def _complete(self, connection: Connection, request: HttpRequest) -> bool:
        received = time.perf_counter()
        body = json.loads(request.body)
        body_hash = hashlib.sha256(request.body).hexdigest()[:16]
        behaviour = self.script.pick(body_hash, str(body.get("model", "")))
        exchange = Exchange(body=body, body_hash=body_hash, behaviour=behaviour, received=received)
        self.counters.begin(body_hash, received)
        try:
            if behaviour.fault is None:
                await self._good(connection, exchange)
                return True
            fault = FAULTS[behaviour.fault]
            self.counters.faults[behaviour.fault] += 1
            if behaviour.wait is not None and behaviour.wait.replace(".", "", 1).isdigit():
                self.counters.promise(body_hash, time.perf_counter() + float(behaviour.wait))
            if behaviour.latency_s:
                await asyncio.sleep(behaviour.latency_s)
            await fault.play(connection, exchange)
            return not connection.over
        finally:
            self.counters.end()

    async def _good(self, connection: Connection, exchange: Exchange) -> None:
        behaviour = exchange.behaviour
        if exchange.streamed:
            await self._stream(connection, exchange)
        else:
            reply = exchange.whole()
            pause = behaviour.latency_s - (time.perf_counter() - exchange.received)
            await asyncio.sleep(max(0.0, pause))
            await connection.json(reply)
        self.counters.answered += 1
        self.counters.answers[exchange.body_hash] += 1
        self.counters.total_s.append(time.perf_counter() - exchange.received)

    async def _stream(self, connection: Connection, exchange: Exchange) -> None:
        deltas, closing = exchange.deltas(), exchange.closing()
        await connection.start_stream()
        await connection.send(exchange.opening())
        first = exchange.received + exchange.behaviour.latency_s
        pace = exchange.behaviour.tokens_per_s
        sent = 0
        while sent < len(deltas):
            now = time.perf_counter()
            due = len(deltas) if not pace else min(len(deltas), int((now - first) * pace) + 1)
            if now < first or due <= sent:
                await asyncio.sleep(first + (sent / pace if pace else 0) - now)
                continue
            if sent == 0:
                self.counters.ttft_s.append(now - exchange.received)
            await self._send_watched(connection, b"".join(deltas[sent:due]))
            sent = due
        await connection.send(closing)
        await connection.end_stream()

    async def _send_watched(self, connection: Connection, data: bytes) -> None:
        if connection.client_gone:
            self.counters.client_left += 1
            self.counters.after_leaving += len(data)
            raise ConnectionResetError("the client left")
        await connection.send(data)

    async def _control(self, connection: Connection, request: HttpRequest) -> None:
        match request.path:
            case "/_control/script":
                self.script = Script.read(json.loads(request.body))
                await connection.json({"ok": True})
            case "/_control/reset":
                self.counters = Counters()
                await connection.json({"ok": True})
            case _:
                await connection.json(self.counters.as_json())


async def serve(service: _Service, port: int = 0) -> asyncio.Server:
    """Start listening on loopback; port 0 takes a free one."""
    return await asyncio.start_server(service.connection, "127.0.0.1", port, backlog=1024, limit=2**26)


class FakeServer:
    """The server on a thread of its own, for tests: `with FakeServer() as server: ... server.base_url`.

    Args:
        default: how requests are served that nothing else says something about.
        script: the whole script instead.
    """

    def __init__(self, default: Behaviour | None = None, *, script: Script | None = None) -> None:
        self._service = _Service(script or Script(default=default))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def counters(self) -> Counters:
        return self._service.counters

    def script(self, *queue: Behaviour, default: Behaviour | None = None, **options: Any) -> None:
        """Set what comes next: the queue in its order, then the default; `shares` and `seed` as in Script."""
        self._service.script = Script(queue=queue, default=default, **options)

    def reset(self) -> None:
        """Forget what was counted."""
        self._service.counters = Counters()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        server = await serve(self._service)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _program(port: int, script: Script) -> None:
    server = await serve(_Service(script), port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--script", help="a JSON file: default, queue, shares, seed")
    given = parser.parse_args()
    script = Script()
    if given.script:
        script = Script.read(json.loads(Path(given.script).read_text(encoding="utf-8")))
    try:
        import uvloop

        uvloop.run(_program(given.port, script))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
