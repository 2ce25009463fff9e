"""A full or read-only disk: a clear error, nothing committed lost, and the same call works later."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.errors import CollectionError, StorageError
from rag.index import Index
from rag.index.catalog import verify_collection
from rag.index.storage import refused
from tests.rag.index.making import add, create, vector
from tests.rag.index.processes import start, write_steadily

SIZE = 12 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("left", [0, 8 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024])
def test_disk_full(small_disk: Path, left: int) -> None:
    folder = small_disk / "collections" / "demo"
    with contextlib.closing(create(folder)) as index:
        with index.writer() as writer:
            add(writer, "kept", ["kept passage one", "kept passage two"])
        before = index.fingerprint
        ballast = small_disk / "ballast"
        with pytest.raises(StorageError, match="no space left"):
            write_until_full(index, ballast, left)
        committed = {row.source: row.chunks for row in index.documents()}
        assert committed["kept"] == 2
        assert set(committed.values()) <= {2, 20}
        assert len(index.dense(vector("x"), 5000)) == sum(committed.values())
        if set(committed) == {"kept"}:
            assert index.fingerprint == before
        ballast.unlink()
        with index.writer() as writer:
            add(writer, "after", ["after all"])
        assert {row.source for row in index.documents()} == {*committed, "after"}
    assert verify_collection(small_disk, "demo").problems == ()


def write_until_full(index: Index, ballast: Path, left: int) -> None:
    with index.writer() as writer:
        fill(ballast, left)
        for number in range(60):
            add(writer, f"n{number}", [f"{number} {n} " + "words " * 400 for n in range(20)])
            writer.commit()


def fill(path: Path, left: int) -> None:
    """Write until only `left` bytes are free."""
    usage = os.statvfs(path.parent)
    count = usage.f_bavail * usage.f_frsize - left
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while count > 0:
            count -= file.write(b"\1" * min(count, 65536))


def test_writer_goes_on_after_room_was_made(small_disk: Path) -> None:
    folder = small_disk / "collections" / "demo"
    with contextlib.closing(create(folder)) as index:
        with index.writer() as writer:
            add(writer, "first", ["one"])
            writer.commit()
            fill(small_disk / "ballast", 0)
            add(writer, "second", ["two " * 5000])
            with pytest.raises(StorageError):
                writer.commit()
            (small_disk / "ballast").unlink()
            add(writer, "third", ["three"])
        assert [row.source for row in index.documents()] == ["first", "third"]
    assert verify_collection(small_disk, "demo").problems == ()


def test_read_only_folder(small_disk: Path) -> None:
    folder = small_disk / "collections" / "demo"
    create(folder).close()
    # By another process: a file still open for writing anywhere in this one keeps the disk writable.
    writing = start(write_steadily, folder, 1)
    writing.join(60)
    assert writing.exitcode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with contextlib.closing(Index.open(folder)) as index:
        assert len(index.dense(vector("x"), 5)) == 4
        assert len(index.lexical("keeps", 5)) == 2
        with pytest.raises(StorageError, match="RAGASSAY_HOME"):
            index.writer()


def test_what_is_not_the_disk_is_not_called_the_disk(tmp_path: Path) -> None:
    assert refused(ValueError("term too long"), tmp_path) is None
    assert isinstance(refused(OSError(28, "No space left on device"), tmp_path), StorageError)
    assert not issubclass(StorageError, CollectionError)
