"""Ingest: sources to a searchable collection, doing only what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rag.collection import collection_folder
from rag.config import CollectionConfig, Config, load_config
from rag.core import Chunk, Document, Embedder
from rag.errors import LoadError, UsageError
from rag.loaders import Source, discover, load_many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.index import FileState, Index, Writer

__all__ = ["Failure", "IngestReport", "Progress", "ingest"]

# Called after each file with: files done, files in all, its source, passages written so far.
Progress = Callable[[int, int, str, int], None]

_EMBED_TOGETHER = 256  # passages: enough to sort by length into batches without padding


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A source that could not be ingested, and why in one line with the cure."""

    source: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """What an ingest did. A file that did not change is `unchanged`, whatever it holds."""

    collection: str
    added: int
    updated: int
    unchanged: int
    removed: int
    failures: tuple[Failure, ...]
    chunks_added: int
    chunks_removed: int
    chunks_total: int
    seconds: float

    @property
    def chunks_per_s(self) -> float | None:
        """Passages written per second; None where none was."""
        return self.chunks_added / self.seconds if self.chunks_added and self.seconds else None

    def shape(self) -> dict[str, Any]:
        """Return what `ingest --json` prints."""
        speed = self.chunks_per_s
        return {
            "collection": self.collection,
            "documents": {
                "added": self.added,
                "updated": self.updated,
                "unchanged": self.unchanged,
                "removed": self.removed,
                "failed": len(self.failures),
            },
            "chunks": {
                "added": self.chunks_added,
                "removed": self.chunks_removed,
                "total": self.chunks_total,
            },
            "failures": [{"source": f.source, "error": f.error} for f in self.failures],
            "seconds": round(self.seconds, 3),
            "chunks_per_s": None if speed is None else round(speed, 1),
        }

    def summary(self) -> str:
        """Return the report in one line for a person."""
        counts = [
            f"{count} {what}"
            for count, what in (
                (self.added, "added"),
                (self.updated, "updated"),
                (self.unchanged, "unchanged"),
                (self.removed, "removed"),
                (len(self.failures), "failed"),
            )
            if count
        ]
        return (
            f"{self.collection}: {', '.join(counts) or 'nothing to do'}; "
            f"{self.chunks_total} passages in {self.seconds:.1f} s"
        )


def ingest(
    sources: Iterable[str],
    collection: str,
    *,
    prune: bool = False,
    config: Config | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Read documents into a collection, which is made when there is none of that name.

    Files commit in groups: after an interruption the same call goes on from there. Files whose size and time
    have not changed are not opened, those whose content has not changed are not read again.

    Args:
        sources: files, folders, globs and http(s) URLs.
        collection: its name; 3 to 63 letters, digits, `.`, `_`, `-`.
        prune: remove documents that `sources` no longer hold.
        config: the config; by default the file that RAGASSAY_CONFIG names, else the defaults.
        progress: told after each file.

    Raises:
        UsageError: no source is given, or the name cannot be used.
        CollectionLockedError: another process writes to the collection; names it.
        StorageError: the disk is full or failed; what was committed is kept.
    """
    started = time.monotonic()
    config = config or load_config()
    given = list(sources)
    if not given:
        raise UsageError("name at least one SOURCE: a file, folder, glob or URL.")
    found, missing = discover(given)
    if not found and len(missing) == len(given) == 1:
        raise UsageError(f"{missing[0].source}: {missing[0].error}")
    with _open_for_writing(collection, config) as (index, embedder, writer):
        job = _Job(writer=writer, embedder=embedder, index=index, progress=progress)
        job.tally.failures.extend(Failure(source=f.source, error=f.error) for f in missing)
        job.run(found)
        if prune:
            job.prune(found)
        writer.commit()
        total = index.stats().chunks
    tally = job.tally
    return IngestReport(
        collection=collection,
        added=tally.added,
        updated=tally.updated,
        unchanged=tally.unchanged,
        removed=tally.removed,
        failures=tuple(tally.failures),
        chunks_added=tally.chunks_added,
        chunks_removed=tally.chunks_removed,
        chunks_total=total,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _open_for_writing(name: str, config: Config) -> Iterator[tuple[Index, Embedder, Writer]]:
    from rag.embedders import load_embedder
    from rag.index import Index, IndexSettings
    from rag.index.manifest import holds_collection

    folder = collection_folder(name, config)
    wanted = config.collections.get(name)
    if holds_collection(folder):
        index = Index.open(folder)
        _check_same(index.settings, wanted)
    else:
        wanted = wanted or CollectionConfig()
        embedder = load_embedder(wanted.embedder)
        whole = wanted.chunk_tokens == "whole"
        settings = IndexSettings(
            name=name,
            embedder=wanted.embedder,
            fingerprint=embedder.fingerprint,
            dimension=embedder.dimension,
            chunk_tokens=None if wanted.chunk_tokens == "whole" else wanted.chunk_tokens,
            overlap_tokens=0 if whole else wanted.overlap_tokens,
        )
        index = Index.create(folder, settings)
    try:
        cache = config.home_dir() / "embeddings.sqlite3"
        embedder = load_embedder(index.settings.embedder, cache=cache)
        _check_fingerprint(index, embedder)
        with index.writer() as writer:
            yield index, embedder, writer
    finally:
        index.close()


@dataclass(slots=True)
class _Tally:
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    chunks_added: int = 0
    chunks_removed: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class _Pending:
    """A file that was read and cut, waiting to be embedded together with others."""

    state: FileState
    documents: list[tuple[Document, list[Chunk]]]


@dataclass(slots=True)
class _Job:
    """One ingest under way."""

    writer: Writer
    embedder: Embedder
    index: Index
    progress: Progress | None
    tally: _Tally = field(default_factory=_Tally)
    waiting: list[_Pending] = field(default_factory=list)
    done: int = 0

    def run(self, found: Sequence[Source]) -> None:
        """Read what changed, and write it in groups."""
        states = {}
        for source in found:
            state = self._changed(source)
            if state is not None:
                states[source] = state
        total = len(found)
        self._tell(total, "")
        for source, loaded in load_many(list(states)):
            if isinstance(loaded, LoadError):
                self.tally.failures.append(Failure(source=source.name, error=str(loaded)))
            else:
                self._cut(states[source], loaded)
            self.done += 1
            if sum(len(chunks) for p in self.waiting for _, chunks in p.documents) >= _EMBED_TOGETHER:
                self._write()
            self._tell(total, source.name)
        self._write()

    def prune(self, found: Sequence[Source]) -> None:
        """Remove the documents of files that are no longer among the sources."""
        self.writer.commit()
        kept = {source.name for source in found}
        gone = [row for row in self.writer.documents() if row.file.origin not in kept]
        self.writer.remove(row.source for row in gone)
        self.tally.removed += len(gone)
        self.tally.chunks_removed += sum(row.chunks for row in gone)

    def _changed(self, source: Source) -> FileState | None:
        """Return the state of a file that must be read; None when what is indexed is what it holds."""
        state = file_state(source, self._recipe())
        known = self.writer.known_file(source.name)
        if known and (known.sha256, known.recipe) == (state.sha256, state.recipe):
            if known != state:
                self.writer.complete(state, self.writer.sources_of(source.name))
            self.tally.unchanged += 1
            self.done += 1
            return None
        return state
