"""A measuring process: `python -m evals.load.worker`, a job and then legs as JSON lines on standard input.

Prints a JSON line when ready; for each leg one when its requests are made, which waits for the word to start,
one of progress now and then, and its shots. Ends when its input does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import asdict, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from evals.load.client import Client, open_client
from evals.load.drive import Leg, Tally, drive, requests_of
from evals.load.plan import LoadPlan
from evals.load.prompts import Prompts
from evals.load.record import shot_to_json
from rag import aio
from rag.config import parse_config
from rag.errors import RagassayError
from rag.providers.budget import Budget

__all__ = ["main"]

_TELL_S = 0.2


def main() -> None:
    """Serve legs until standard input ends."""
    _channel()
    job = json.loads(sys.stdin.readline())
    given = job["plan"]
    budget = None if given["budget_usd"] is None else Budget(Decimal(given.pop("budget_usd")))
    plan = LoadPlan(levels=(), **{k: v for k, v in given.items() if k != "budget_usd"})
    try:
        client = open_client(plan, parse_config(job["config"], folder=Path(job["folder"])), budget)
    except RagassayError as exc:
        _say({"error": str(exc)})
        return
    prompts = Prompts(plan.prompt_tokens, plan.output_tokens, salt=job["salt"])
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(inbox,), daemon=True).start()
    _say({"ready": True})
    while "end" not in (message := inbox.get()):
        if "leg" in message:
            _serve(Leg(**_tuples(message["leg"])), client, prompts, inbox)


def _serve(leg: Leg, client: Client, prompts: Prompts, inbox: queue.Queue[dict[str, Any]]) -> None:
    tally = Tally()
    requests = requests_of(leg, prompts)
    _say({"made": len(requests)})
    order = _order(inbox)
    if "start" in order:
        over = threading.Event()
        running = aio.submit(drive(replace(leg, start=order["start"]), requests, client, tally))
        running.add_done_callback(lambda _: over.set())
        while not over.wait(_TELL_S):
            _say({"done": len(tally.shots)})
            if not inbox.empty() and "stop" in _order(inbox):
                running.cancel()
        failure = None if running.cancelled() else running.exception()
        if failure is not None:
            _say({"error": f"{type(failure).__name__}: {failure}"})
            return
    _say(
        {
            "done": len(tally.shots),
            "shots": [shot_to_json(shot) for shot in tally.shots],
            "load": None if tally.load is None else asdict(tally.load),
            "stopped": tally.stopped,
        }
    )


def _read(inbox: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        inbox.put(json.loads(line))
    inbox.put({"end": True})


def _order(inbox: queue.Queue[dict[str, Any]]) -> dict[str, Any]:
    message = inbox.get()
    if "end" in message:
        os._exit(0)  # the parent is gone: nobody reads what a request in flight would bring
    return message


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


@cache
def _channel() -> TextIO:
    """Libraries print; what the parent reads is a descriptor that they do not know."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _say(message: dict[str, Any]) -> None:
    _channel().write(json.dumps(message) + "\n")
    _channel().flush()


if __name__ == "__main__":
    main()
