"""One writer, many readers, in real processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rag.errors import CollectionError, CollectionLockedError
from rag.index import Index
from rag.index.lock import WriterLock, holder
from tests.rag.index.making import add, create, vector
from tests.rag.index.processes import compete, hold, start, write_steadily


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "collections" / "demo"
    with contextlib.closing(create(folder)) as index, index.writer() as writer:
        add(writer, "a", ["keeps passage zero"])
    return folder


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_second_writer_fails_fast_and_names_the_first(folder: Path, tmp_path: Path) -> None:
    first = start(hold, folder, tmp_path / "ready")
    wait_for(tmp_path / "ready")
    before = time.monotonic()
    with pytest.raises(CollectionLockedError, match=rf"'demo' is being written by process {first.pid} "):
        Index.open(folder).writer()
    assert time.monotonic() - before < 2.0
    named = holder(folder)
    assert named is not None
    assert named.pid == first.pid
    first.kill()
    first.join()
    assert holder(folder) is None
    Index.open(folder).writer().close()


def test_who_waits_for_a_collection_that_is_dropped_locks_the_one_made_anew(folder: Path) -> None:
    first = WriterLock.acquire(folder)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(WriterLock.acquire, folder)
        time.sleep(0.05)
        folder.rename(folder.with_name(".dropped"))
        folder.mkdir()
        first.release()
        with waiting.result(), pytest.raises(CollectionLockedError):
            WriterLock.acquire(folder)
    shutil.rmtree(folder)
    with pytest.raises(CollectionError, match="was dropped"):
        WriterLock.acquire(folder)


def test_of_eight_starters_one_wins(folder: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    go = time.time() + 1.5
    starters = [start(compete, folder, results, go) for _ in range(8)]
    for starter in starters:
        starter.join(60)
    reports = [path.read_text() for path in results.iterdir()]
    assert len(reports) == 8
    losers = [report for report in reports if not report.endswith("won")]
    assert len(losers) == 7
    for report in losers:
        assert float(report.split()[0]) < 2.0
        assert "is being written by process" in report


def test_two_writers_in_one_process(folder: Path) -> None:
    index = Index.open(folder)
    writer = index.writer()
    with pytest.raises(CollectionLockedError, match=f"process {os.getpid()} "):
        index.writer()
    writer.close()
    index.close()


def test_lock_says_where_a_server_is(folder: Path) -> None:
    with WriterLock.acquire(folder, address="http://127.0.0.1:8000"):
        named = holder(folder)
        assert named is not None
        assert named.address == "http://127.0.0.1:8000"
        assert "serving at http://127.0.0.1:8000" in str(named)


def test_lock_file_of_a_killed_writer_means_nothing(folder: Path) -> None:
    (folder / "lock").write_text('{"pid": 1, "host": "h", "command": "c", "since": "s"}')
    assert holder(folder) is None
    with WriterLock.acquire(folder):
        pass


@pytest.mark.parametrize("exact_chunks", [50_000, 0])
def test_readers_see_whole_documents_while_another_process_writes(folder: Path, exact_chunks: int) -> None:
    writer = start(write_steadily, folder, 12)
    seen = [0]
    with contextlib.closing(Index.open(folder, exact_chunks=exact_chunks)) as index:
        while writer.is_alive():
            found = index.chunks([id_ for id_, _ in index.dense(vector("x"), 200)])
            lexical = index.chunks([id_ for id_, _ in index.lexical("keeps passage", 200)])
            assert {chunk.source for chunk in [*found, *lexical]} <= {row.source for row in index.documents()}
            seen.append(len(found))
        writer.join()
        assert writer.exitcode == 0
        assert len(index.dense(vector("x"), 200)) == 1 + 12 * 4
    assert seen == sorted(seen)
    if exact_chunks:
        assert all(count % 4 == 1 for count in seen[1:])
