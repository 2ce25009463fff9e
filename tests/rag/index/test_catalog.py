"""The collections of a home folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from rag.errors import CollectionLockedError, ConfigError, UnknownNameError
from rag.index.catalog import (
    collection_path,
    create_collection,
    drop_collection,
    list_collections,
    open_collection,
    show_collection,
    verify_collection,
)
from tests.rag.index.making import add, settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("handbook", "papers"):
        with (
            contextlib.closing(create_collection(tmp_path, settings(name))) as index,
            index.writer() as writer,
        ):
            add(writer, "a.md", ["one passage"])
    return tmp_path


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


def test_unknown_name_suggests_the_nearest(home: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'handbook'"):
        open_collection(home, "handbok")


@pytest.mark.parametrize(
    "name", ["", "ab", "..", "a/b", "../x", "a..b", "-ab", "ab.", "é" * 5, "a" * 64, "a b", "a\n b", "abc\n"]
)
def test_names_that_cannot_be(home: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="3 to 63"):
        collection_path(home, name)


def test_drop(home: Path) -> None:
    with open_collection(home, "papers").writer(), pytest.raises(CollectionLockedError):
        drop_collection(home, "papers")
    drop_collection(home, "papers")
    assert list_collections(home) == ["handbook"]
    assert [path.name for path in (home / "collections").iterdir()] == ["handbook"]
    assert verify_collection(home, "handbook").ok
