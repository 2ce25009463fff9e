"""kill -9 at any moment loses nothing that was committed, and running again gives the same collection.

The pattern is RocksDB's `db_crashtest.py`: real kills, and a synced record outside of what was acknowledged.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from rag.index import Index
from rag.index.catalog import repair_collection, verify_collection
from tests.rag.index.making import create, vector
from tests.rag.index.processes import GOAL, converge, passages, put, start

FAILPOINTS = [
    "after-intent",
    "after-upsert",
    "after-vectors",
    "before-lexical",
    "after-lexical",
    "before-manifest",
    "after-manifest",
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection with version 1 of d0 to d5."""
    folder = tmp_path_factory.mktemp("base") / "demo"
    with contextlib.closing(create(folder)) as index, index.writer() as writer:
        for number in range(6):
            put(writer, f"d{number}", 1)
    return folder


@pytest.fixture(scope="module")
def goal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The fingerprint of a collection that never saw a crash."""
    folder = tmp_path_factory.mktemp("goal") / "demo"
    with contextlib.closing(create(folder)) as index:
        with index.writer() as writer:
            for source, version in GOAL.items():
                put(writer, source, version)
        return index.fingerprint


@pytest.fixture
def case(base: Path, tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "collections" / "demo"
    shutil.copytree(base, folder)
    return folder, tmp_path / "ack"


def check_readable(folder: Path, ack: Path) -> None:
    """What was acknowledged is there, whole; a search shows nothing that is not."""
    acknowledged = dict(line.split() for line in ack.read_text().splitlines()) if ack.exists() else {}
    with contextlib.closing(Index.open(folder)) as index:
        for source, version in acknowledged.items():
            held = [chunk.text for chunk in index.chunks_of(source)]
            assert held == (passages(source, int(version)) if version != "0" else [])
        all_ids = {c.id for row in index.documents() for c in index.chunks_of(row.source)}
        assert {i for i, _ in index.dense(vector("x"), 100)} == all_ids
        assert {i for i, _ in index.lexical("keeps passage version", 100)} <= all_ids


def check_converges(folder: Path, ack: Path, goal: str) -> None:
    again = start(converge, folder, ack, "")
    again.join(60)
    assert again.exitcode == 0
    with contextlib.closing(Index.open(folder)) as index:
        assert index.fingerprint == goal
        assert sum(row.chunks for row in index.documents()) == 4 * len(GOAL) == index.stats().chunks
    report = verify_collection(folder.parents[1], "demo")
    assert report.problems == ()


@pytest.mark.parametrize(
    ("name", "passage"),
    [
        *((name, 1) for name in FAILPOINTS),
        *(
            pytest.param(name, passage, marks=pytest.mark.nightly)
            for name in FAILPOINTS
            for passage in (2, 3, 4)
        ),
    ],
)
def test_killed_at_a_failpoint(case: tuple[Path, Path], goal: str, name: str, passage: int) -> None:
    folder, ack = case
    killed = start(converge, folder, ack, f"{name}:{passage}")
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    check_readable(folder, ack)
    check_converges(folder, ack, goal)


@pytest.mark.parametrize("name", ["in-rebuild-vectors", "in-rebuild-lexical"])
def test_killed_while_rebuilding(case: tuple[Path, Path], goal: str, name: str) -> None:
    folder, ack = case
    shutil.rmtree(folder / "chroma")
    shutil.rmtree(folder / "tantivy")
    killed = start(converge, folder, ack, name)
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    check_converges(folder, ack, goal)


def test_killed_and_the_lexical_index_damaged(case: tuple[Path, Path], goal: str) -> None:
    folder, ack = case
    killed = start(converge, folder, ack, "before-lexical")
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    for path in (folder / "tantivy").glob("*.term"):
        path.write_bytes(path.read_bytes()[:9])
    assert repair_collection(folder.parents[1], "demo").problems == ()
    check_converges(folder, ack, goal)


def kill_at_random(case: tuple[Path, Path], goal: str, seed: int) -> None:
    folder, ack = case
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 3)):
        process = start(converge, folder, ack, "")
        time.sleep(chance.uniform(0.05, 1.5))
        process.kill()
        process.join()
        check_readable(folder, ack)
    check_converges(folder, ack, goal)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random(case: tuple[Path, Path], goal: str, seed: int) -> None:
    kill_at_random(case, goal, seed)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 200))
def test_killed_at_random_moments_often(case: tuple[Path, Path], goal: str, seed: int) -> None:
    kill_at_random(case, goal, seed)
