"""What the crash and lock tests run in processes of their own, started from one that has the imports done."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from rag.errors import CollectionLockedError
from rag.index import Index, Writer
from tests.rag.index.making import add, state

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["chromadb", "numpy", "tantivy", "rag.index", "tests.rag.index.processes"])

# source -> version; the collection starts with version 1 of d0 to d5.
GOAL = {**{f"d{n}": 1 + n % 2 for n in range(10) if n != 4}}


def start(target, *args: object) -> BaseProcess:
    process = _context.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def passages(source: str, version: int) -> list[str]:
    """Half of a document's passages stay when its version changes."""
    return [f"{source} keeps passage {n}" for n in range(2)] + [
        f"{source} version {version} of {n}" for n in range(2)
    ]


def put(writer: Writer, source: str, version: int) -> None:
    add(writer, source, passages(source, version), language="pt" if version == 2 else "en")


def converge(folder: Path, ack: Path, failpoint: str) -> None:
    """Bring the collection to GOAL, two documents a group; note, synced, what was said to be committed."""
    os.environ["RAGASSAY_FAILPOINT"] = failpoint
    with Index.open(folder).writer() as writer, ack.open("a") as log:
        done: list[str] = []
        for source, version in GOAL.items():
            known = writer.known_file(source)
            if known and known.sha256 == state(source, "\n".join(passages(source, version))).sha256:
                continue
            put(writer, source, version)
            done.append(f"{source} {version}")
            if source == "d5":
                writer.remove(["d4"])
                done.append("d4 0")
            if len(done) >= 2:
                writer.commit()
                log.writelines(f"{line}\n" for line in done)
                log.flush()
                os.fsync(log.fileno())
                done = []
        writer.remove(["d4"])


def hold(folder: Path, ready: Path) -> None:
    """Take the writer's lock and keep it."""
    with Index.open(folder).writer():
        ready.touch()
        time.sleep(60)


def compete(folder: Path, results: Path, go: float) -> None:
    """Try to write at the time `go`; report what happened and how long it took."""
    time.sleep(max(0.0, go - time.time()))
    started = time.monotonic()
    try:
        with Index.open(folder).writer():
            outcome = "won"
            deadline = time.monotonic() + 30
            while len(list(results.iterdir())) < 7 and time.monotonic() < deadline:
                time.sleep(0.05)
    except CollectionLockedError as exc:
        outcome = str(exc)
    (results / str(os.getpid())).write_text(f"{time.monotonic() - started:.2f} {outcome}")


def write_steadily(folder: Path, count: int) -> None:
    """Add one document a commit."""
    with Index.open(folder).writer() as writer:
        for number in range(count):
            put(writer, f"new{number}", 1)
            writer.commit()
