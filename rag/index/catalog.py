"""The collections of a home folder: list, open, check, repair, drop."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

from rag.errors import CollectionError, ConfigError, RagassayError, UnknownNameError
from rag.index import Index, IndexSettings, IndexStats
from rag.index.lexical import LexicalIndex
from rag.index.lock import Holder, WriterLock, holder, store_lock
from rag.index.manifest import Manifest
from rag.index.storage import storage_errors
from rag.index.vectors import VectorStore

__all__ = [
    "CollectionInfo",
    "Verification",
    "collection_path",
    "create_collection",
    "drop_collection",
    "list_collections",
    "open_collection",
    "repair_collection",
    "show_collection",
    "verify_collection",
]

# Chroma's rule for collection names, less the upper bound it has raised since: an older client must open it.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionInfo:
    """A collection of the home folder. `problem` says why it cannot be read; `stats` is None then."""

    name: str
    folder: Path
    settings: IndexSettings | None
    stats: IndexStats | None
    fingerprint: str | None
    writer: Holder | None
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """Whether the caches agree with the manifest: counts of each, and what is wrong in plain lines."""

    name: str
    manifest: int
    vectors: int | None
    lexical: int | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True where nothing is wrong."""
        return not self.problems


def collection_path(home: Path, name: str) -> Path:
    """Return where the collection `name` lives.

    Raises:
        ConfigError: the name is not 3 to 63 letters, digits, '.', '_' or '-', or has two dots in a row.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{name[:80]!r} cannot name a collection: use 3 to 63 of a-z, A-Z, 0-9, '.', '_', '-', with a "
            "letter or digit at both ends."
        )
    return home / "collections" / name


def list_collections(home: Path) -> list[str]:
    """Return the name of every collection of `home`, also of those that cannot be read."""
    root = home / "collections"
    names = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [name for name in names if _NAME.fullmatch(name)]


def show_collection(home: Path, name: str) -> CollectionInfo:
    """Return what is known of one collection, also when it cannot be read.

    Raises:
        UnknownNameError: there is none of that name; suggests the nearest.
    """
    return _info(_existing(home, name))


def open_collection(home: Path, name: str) -> Index:
    """Open a collection for searching.

    Raises:
        UnknownNameError: there is none of that name; suggests the nearest.
        CollectionError: it is damaged.
    """
    return Index.open(_existing(home, name))


def create_collection(home: Path, settings: IndexSettings) -> Index:
    """Make the collection `settings.name`, or open it where it exists with the same settings."""
    return Index.create(collection_path(home, settings.name), settings)


def verify_collection(home: Path, name: str) -> Verification:
    """Compare every id of both caches with the manifest. Takes the writer's lock, so that nothing moves.

    Raises:
        CollectionLockedError: a writer is at work.
        CollectionError: the manifest itself is damaged, which no repair mends; says what helps.
    """
    folder = _existing(home, name)
    with (
        storage_errors(folder),
        WriterLock.acquire(folder),
        contextlib.closing(Manifest.open(folder)) as manifest,
    ):
        problems: list[str] = []
        answer = manifest.db.execute("PRAGMA quick_check").fetchone()[0]
        if answer != "ok":
            raise sqlite3.DatabaseError(" ".join(answer.split()[:12]))
        if manifest.state("intent"):
            problems.append("the last writer did not come to its end; the next one, or repair, puts it right")
        ids = manifest.all_ids()
        vectors = _compare_vectors(folder, name, set(ids.values()), problems)
        lexical = _compare_lexical(folder, set(ids), problems)
        return Verification(
            name=name, manifest=len(ids), vectors=vectors, lexical=lexical, problems=tuple(problems)
        )


def repair_collection(home: Path, name: str) -> Verification:
    """Build both caches anew from the manifest, without embedding anything, and verify the result."""
    folder = _existing(home, name)
    with (
        storage_errors(folder),
        contextlib.closing(Index.open(folder)) as index,
        index.writer() as writer,
    ):
        writer.rebuild()
    return verify_collection(home, name)


def drop_collection(home: Path, name: str) -> None:
    """Delete a collection and all it holds.

    Raises:
        CollectionLockedError: a writer is at work.
    """
    folder = _existing(home, name)
    with storage_errors(folder), WriterLock.acquire(folder):
        # Renamed first: a process killed while deleting leaves nothing that looks like a collection.
        doomed = folder.with_name(f".dropped-{uuid.uuid4().hex}")
        folder.rename(doomed)
        shutil.rmtree(doomed)


def _existing(home: Path, name: str) -> Path:
    folder = collection_path(home, name)
    if not folder.is_dir():
        hint = f"Make it with 'ragassay ingest SOURCE -c {name}'."
        raise UnknownNameError("collection", name, list_collections(home), hint)
    return folder


def _info(folder: Path) -> CollectionInfo:
    try:
        with storage_errors(folder), contextlib.closing(Index.open(folder)) as index:
            return CollectionInfo(
                name=folder.name,
                folder=folder,
                settings=index.settings,
                stats=index.stats(),
                fingerprint=index.fingerprint,
                writer=holder(folder),
            )
    except RagassayError as exc:
        return CollectionInfo(
            name=folder.name,
            folder=folder,
            settings=None,
            stats=None,
            fingerprint=None,
            writer=None,
            problem=str(exc),
        )


def _compare_vectors(folder: Path, name: str, wanted: set[str], problems: list[str]) -> int | None:
    if not wanted and not (folder / "chroma").exists():
        return 0
    try:
        with store_lock(folder, exclusive=True, wait_s=10.0):
            store = VectorStore(folder, name)
            try:
                held = store.ids()
            finally:
                store.close()
    except CollectionError as exc:
        problems.append(f"the vector store cannot be read: {exc}")
        return None
    _differences("vector store", wanted - held, held - wanted, problems)
    return len(held)


def _compare_lexical(folder: Path, wanted: set[int], problems: list[str]) -> int | None:
    if not wanted and not (folder / "tantivy").exists():
        return 0
    try:
        held = LexicalIndex(folder).rows()
    except CollectionError as exc:
        problems.append(str(exc))
        return None
    _differences("lexical index", wanted - held, held - wanted, problems)
    return len(held)


def _differences(
    what: str, missing: set[str] | set[int], extra: set[str] | set[int], problems: list[str]
) -> None:
    if missing:
        problems.append(f"the {what} lacks {len(missing)} passages")
    if extra:
        problems.append(f"the {what} holds {len(extra)} passages that are not in the collection")
