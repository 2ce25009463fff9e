"""`ingest`: find the sources, open the collection for writing, do the job, report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rag.config import CollectionConfig, Config, load_config
from rag.core import Embedder
from rag.errors import ConfigError, FingerprintError, UsageError
from rag.ingestion.job import Job, Progress
from rag.ingestion.report import IngestReport
from rag.loaders import discover
from rag.tracing import span

if TYPE_CHECKING:
    from rag.index import Index, IndexSettings, Writer

__all__ = ["ingest"]


def ingest(
    sources: str | Path | Iterable[str | Path],
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
        sources: files, folders, globs and http(s) URLs, or one of them.
        collection: its name; 3 to 63 letters, digits, `.`, `_`, `-`.
        prune: remove documents that `sources` no longer hold; not done when a source cannot be found, since
            what it held may only be out of reach.
        config: the config; by default the file that RAGASSAY_CONFIG names, else the defaults.
        progress: told after each file.

    Raises:
        UsageError: no source is given or none exists, or the name cannot be used.
        FingerprintError: the collection exists and was built otherwise than the config now says.
        CollectionLockedError: another process writes to the collection; names it.
        StorageError: the disk is full or failed; what was committed is kept.
    """
    started = time.monotonic()
    config = config or load_config()
    given = [str(one) for one in ([sources] if isinstance(sources, str | Path) else sources)]
    if not given:
        raise UsageError("name at least one SOURCE: a file, folder, glob or URL.")
    found, missing = discover(given)
    if not found:
        raise UsageError("; ".join(f"{failure.source}: {failure.error}" for failure in missing[:3]))
    with (
        span(f"ingest {collection}", {"gen_ai.data_source.id": collection}),
        _opened(collection, config) as (index, embedder, writer),
    ):
        job = Job(writer, embedder, index.settings, progress)
        job.run(found)
        if prune and missing:
            missing = [replace(failure, error=f"{failure.error} Nothing was pruned.") for failure in missing]
        elif prune:
            job.prune(found)
        writer.commit()
        total = index.stats().chunks
    return IngestReport(
        collection=collection,
        added=job.added,
        updated=job.updated,
        unchanged=job.unchanged,
        removed=job.removed,
        failures=(*missing, *job.failures),
        chunks_added=job.chunks_added,
        chunks_removed=job.chunks_removed,
        chunks_total=total,
        seconds=time.monotonic() - started,
    )


@contextmanager
def _opened(name: str, config: Config) -> Iterator[tuple[Index, Embedder, Writer]]:
    from rag.embedders import load_embedder
    from rag.index import Index
    from rag.index.catalog import collection_path, create_collection
    from rag.index.manifest import holds_collection

    home = config.home_dir()
    wanted = config.collections.get(name)
    folder = collection_path(home, name)
    if holds_collection(folder):
        index = Index.open(folder)
    else:
        wanted = wanted or CollectionConfig()
        index = create_collection(home, _settings(name, wanted, load_embedder(wanted.embedder)))
    with closing(index):
        held = index.settings
        embedder = load_embedder(
            wanted.embedder if wanted else held.embedder, cache=home / "embeddings.sqlite3"
        )
        asked = _settings(name, wanted, embedder) if wanted else held
        if asked != held or embedder.fingerprint != held.fingerprint:
            raise FingerprintError(_mismatch(held, asked))
        with index.writer() as writer:
            yield index, embedder, writer


def _settings(name: str, wanted: CollectionConfig, embedder: Embedder) -> IndexSettings:
    from rag.index import IndexSettings

    tokens = None if wanted.chunk_tokens == "whole" else wanted.chunk_tokens
    if tokens and tokens > embedder.max_tokens:
        raise ConfigError(
            f"chunk_tokens is {tokens}, but {embedder.name} reads only {embedder.max_tokens}: the rest of "
            f"each passage could not be found. Set at most {embedder.max_tokens}, or 'whole'."
        )
    return IndexSettings(
        name=name,
        embedder=wanted.embedder,
        fingerprint=embedder.fingerprint,
        dimension=embedder.dimension,
        chunk_tokens=tokens,
        overlap_tokens=wanted.overlap_tokens if tokens else 0,
    )


def _mismatch(held: IndexSettings, asked: IndexSettings) -> str:
    built, now = (
        f"{s.embedder}, {s.chunk_tokens or 'any number of'} tokens a passage, {s.overlap_tokens} overlapping"
        for s in (held, asked)
    )
    why = f"with {built}; now {now} is asked for" if built != now else "with other weights of that model"
    return (
        f"collection {held.name!r} was built {why}. Take another name, or drop it with "
        f"'ragassay collections drop {held.name}' and ingest again."
    )
