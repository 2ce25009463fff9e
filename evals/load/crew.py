"""Who drives the requests: this process, or several child processes that share them."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from evals.load.client import Client
from evals.load.drive import Leg, Tally, drive, requests_of
from evals.load.prompts import Prompts
from evals.load.record import shot_from_json
from evals.load.watch import ClientLoad
from rag import aio
from rag.children import python_path
from rag.errors import ProviderFailedError

if TYPE_CHECKING:
    from evals.load.plan import LoadPlan
    from rag.config import Config

__all__ = ["Alone", "Crew", "Several", "Told"]

Told = Callable[[int], None]
"""Is told how many requests of a leg are done."""

_TELL_S = 0.2
_HEAD_START_S = 0.25
_STOP_S = 10.0


class Crew(Protocol):
    """Drives legs, one after another."""

    @property
    def size(self) -> int:
        """Processes that ask."""
        ...

    def drive(self, leg: Leg, tally: Tally, told: Told) -> None:
        """Fill `tally`; on Ctrl-C with what came so far, then KeyboardInterrupt goes on."""
        ...

    def close(self) -> None:
        """Release connections and children; harmless when called twice."""
        ...


class Alone:
    """This process, on the background loop."""

    size = 1

    def __init__(self, client: Client, prompts: Prompts) -> None:
        self._client = client
        self._prompts = prompts

    def drive(self, leg: Leg, tally: Tally, told: Told) -> None:
        requests = requests_of(leg, self._prompts)
        over = threading.Event()

        def tell() -> None:
            while not over.wait(_TELL_S):
                told(len(tally.shots))

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            aio.run(drive(leg, requests, self._client, tally))
        finally:
            over.set()
            teller.join()
            told(len(tally.shots))

    def close(self) -> None:
        aio.run(self._client.close())


class Several:
    """Child processes, each with its own event loop and connections; started once, used for every leg.

    Each gets its share of the users or arrivals and, of the money left, an equal part.

    Raises:
        ProviderFailedError: a child ended before it was ready.
    """

    def __init__(self, size: int, plan: LoadPlan, config: Config, *, salt: str, left: Decimal | None) -> None:
        self.size = size
        self._replies: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._readers: list[threading.Thread] = []
        job = {
            "plan": {
                "ref": plan.ref,
                "prompt_tokens": plan.prompt_tokens,
                "output_tokens": plan.output_tokens,
                "timeout_s": plan.timeout_s,
                "budget_usd": None if left is None else str(left / size),
            },
            "salt": salt,
            "config": config.model_dump(mode="json"),
            "folder": str(config.folder),
        }
        self._children = [self._start(number, job) for number in range(size)]
        try:
            self._gather("ready", {})
        except BaseException:
            self.close()
            raise

    def drive(self, leg: Leg, tally: Tally, told: Told) -> None:
        for number, child in enumerate(self._children):
            _send(child, {"leg": _plain(leg.share(number, self.size))})
        done = [0] * self.size

        def on_reply(number: int, reply: dict[str, Any]) -> None:
            done[number] = reply.get("done", done[number])
            told(sum(done))

        finals: dict[int, dict[str, Any]] = {}
        try:
            self._gather("made", {})
            start = time.perf_counter() + _HEAD_START_S
            for child in self._children:
                _send(child, {"start": start})
            self._gather("shots", finals, on_reply)
        except KeyboardInterrupt:
            for child in self._children:
                _send(child, {"stop": True})
            with suppress(queue.Empty):
                self._gather("shots", finals, wait_s=_STOP_S)
            raise
        finally:
            self._merge(finals, tally)

    def close(self) -> None:
        for child in self._children:
            if child.stdin is not None:
                child.stdin.close()
        for child in self._children:
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for reader in self._readers:
            reader.join()

    def _start(self, number: int, job: dict[str, Any]) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "evals.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": python_path()},
            start_new_session=True,  # Ctrl-C is this process's to answer; children are told to stop
        )
        _send(child, job)
        reader = threading.Thread(target=self._read, args=(number, child), daemon=True)
        reader.start()
        self._readers.append(reader)
        return child

    def _read(self, number: int, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                # What a library prints before the channel is the worker's, and half a line of one that died.
                with suppress(ValueError):
                    reply = json.loads(line)
                    if isinstance(reply, dict):
                        self._replies.put((number, reply))
        self._replies.put((number, None))

    def _gather(
        self,
        wanted: str,
        found: dict[int, dict[str, Any]],
        on_reply: Callable[[int, dict[str, Any]], None] | None = None,
        wait_s: float | None = None,
    ) -> None:
        """Put each child's reply that holds `wanted` into `found`."""
        while len(found) < self.size:
            number, reply = self._replies.get(timeout=wait_s)
            if reply is None or "error" in reply:
                why = reply["error"] if reply else f"it ended with status {self._children[number].wait()}"
                raise ProviderFailedError(f"a measuring process failed: {why}; --processes 1 needs none.")
            if on_reply is not None:
                on_reply(number, reply)
            if wanted in reply:
                found[number] = reply

    @staticmethod
    def _merge(finals: Mapping[int, dict[str, Any]], tally: Tally) -> None:
        for number, final in finals.items():
            tally.shots.extend(replace(shot_from_json(shot), process=number) for shot in final["shots"])
            tally.stopped = tally.stopped or final["stopped"]
        loads = [ClientLoad(**final["load"]) for final in finals.values() if final["load"]]
        if loads:  # the busiest one is where figures go wrong first
            tally.load = ClientLoad(
                cpu_share=max(load.cpu_share for load in loads),
                lag_p95_ms=max(load.lag_p95_ms for load in loads),
            )


def _plain(leg: Leg) -> dict[str, Any]:
    return {
        "numbers": leg.numbers,
        "users": leg.users,
        "arrivals": leg.arrivals,
        "chars_per_token": leg.chars_per_token,
    }


def _send(child: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps(message).encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:
        return  # it has ended, which the reader of its output will tell
