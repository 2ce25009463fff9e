"""The collections of a home folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from rag.errors import CollectionError, CollectionLockedError, ConfigError, UnknownNameError
from rag.index.catalog import (
    collection_path,
    create_collection,
    drop_collection,
    list_collections,
    open_collection,
    repair_collection,
    show_collection,
    verify_collection,
)
from tests.rag.index.making import add, settings, vector


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    for name in ("handbook", "papers"):
        with (
            contextlib.closing(create_collection(folder, settings(name))) as index,
            index.writer() as writer,
        ):
            add(writer, "a.md", ["one passage"])
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    """A home of the test's own with two collections."""
    return shutil.copytree(template, tmp_path, dirs_exist_ok=True)


def test_list_and_show(home: Path) -> None:
    (home / "collections" / ".dropped-x").mkdir()
    assert list_collections(home) == ["handbook", "papers"]
    assert list_collections(home / "nothing") == []
    info = show_collection(home, "papers")
    assert info.stats is not None
    assert (info.name, info.stats.documents, info.problem, info.writer) == ("papers", 1, None, None)
    with open_collection(home, "papers").writer():
        assert show_collection(home, "papers").writer is not None


def test_broken_collection_is_listed_with_its_problem(home: Path) -> None:
    (home / "collections" / "papers" / "manifest.sqlite3").write_bytes(b"broken" * 4000)
    assert list_collections(home) == ["handbook", "papers"]
    info = show_collection(home, "papers")
    assert info.stats is None
    assert "damaged" in str(info.problem)


def spoil_pages(home: Path, name: str) -> None:
    """Leave the manifest's first pages whole, so that it opens, and overwrite the others."""
    path = home / "collections" / name / "manifest.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        state = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'state'").fetchone()[0]
        size = db.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // size + 1):
        if page != state:
            data[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(data)


def test_a_manifest_damaged_inside_is_a_problem_with_its_own_cure(home: Path) -> None:
    spoil_pages(home, "papers")
    info = show_collection(home, "papers")
    assert "collections drop papers" in str(info.problem)
    for attempt in (verify_collection, repair_collection):
        with pytest.raises(CollectionError, match="collections drop papers"):
            attempt(home, "papers")


def test_files_that_vanish_while_they_are_counted_are_left_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / "collections" / "papers"
    (folder / "gone.seg").write_bytes(b"x" * 1000)
    whole = show_collection(home, "papers").stats
    looked_at = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name == "gone.seg":
            path.unlink(missing_ok=True)
        return looked_at(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)
    left = show_collection(home, "papers").stats
    assert whole is not None
    assert left is not None
    assert whole.bytes - left.bytes == 1000


def test_unknown_name_suggests_the_nearest(home: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'handbook'"):
        open_collection(home, "handbok")


@pytest.mark.parametrize(
    "name", ["", "ab", "..", "a/b", "../x", "a..b", "-ab", "ab.", "é" * 5, "a" * 64, "a b", "a\n b", "abc\n"]
)
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="3 to 63"):
        collection_path(tmp_path, name)


def test_a_collection_that_was_dropped_is_not_searched_on(home: Path) -> None:
    with (
        contextlib.closing(open_collection(home, "papers")) as first,
        contextlib.closing(open_collection(home, "papers")) as second,
    ):
        assert len(first.lexical("passage", 3)) == 1
        drop_collection(home, "papers")
        with pytest.raises(CollectionError, match="was dropped"):
            first.dense(vector("one passage"), 3)
        with (
            contextlib.closing(create_collection(home, settings("papers"))) as anew,
            anew.writer() as writer,
        ):
            add(writer, "b.md", ["another passage"])
        for index in (first, second):
            with pytest.raises(CollectionError, match="open it again"):
                index.lexical("passage", 3)
    with contextlib.closing(open_collection(home, "papers")) as opened:
        assert len(opened.lexical("passage", 3)) == 1


def test_drop(home: Path) -> None:
    with open_collection(home, "papers").writer(), pytest.raises(CollectionLockedError):
        drop_collection(home, "papers")
    drop_collection(home, "papers")
    assert list_collections(home) == ["handbook"]
    assert [path.name for path in (home / "collections").iterdir()] == ["handbook"]
    assert verify_collection(home, "handbook").ok
