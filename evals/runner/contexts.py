"""Contexts: retrieved once a sample and retrieval setting, stored, the same for every system."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

from evals.codec import context_from_json, context_to_json
from evals.core import Context, Record, Sample, SelectsPassages
from evals.folder import RunFolder
from evals.journal import JournalWriter
from evals.lines import Damage, entry_at, read_entries
from evals.runner.spec import RunSpec, rag_label
from rag.collection import CONTEXT_TOKENS, Collection
from rag.config import RagConfig
from rag.core import Chunk, Hit
from rag.errors import RunError

__all__ = [
    "Collections",
    "ContextStore",
    "context_address",
    "context_keys",
    "context_writer",
    "is_lost",
    "is_own",
    "own_key",
    "retrieve_contexts",
]


class Collections:
    """The collections that a run searches, opened together and closed together."""

    def __init__(self, spec: RunSpec) -> None:
        """Open every collection that a system of `spec` searches.

        Raises:
            UnknownNameError: one does not exist.
            CollectionError: one cannot be opened.
        """
        self._benchmarks = {b.config.name: b.benchmark for b in spec.benchmarks}
        self.rags = {rag_label(s.rag): s.rag for s in spec.config.systems if s.rag is not None}
        self._stack = ExitStack()
        self._open: dict[str, Collection] = {}
        try:
            for name in sorted({rag.collection for rag in self.rags.values()}):
                self._open[name] = self._stack.enter_context(Collection.open(name, spec.config))
        except BaseException:
            self._stack.close()
            raise

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint of each collection."""
        return {name: collection.fingerprint for name, collection in self._open.items()}

    def retrieve(self, sample: Sample, rag: RagConfig, key: str) -> Context:
        """Search for the question of `sample`; the passages are kept within the token budget.

        They are the `k` best, unless the benchmark itself selects among those retrieved.
        """
        collection = self._open[rag.collection]
        found: dict[str, Hit] = {}
        spent: list[float] = []

        def ranked(n: int) -> tuple[Chunk, ...]:
            result = collection.search(sample.question, k=n, mode=rag.mode)
            found.update((hit.chunk.id, hit) for hit in result.hits)
            spent.append(result.timing.total_s)
            return tuple(hit.chunk for hit in result.hits)

        benchmark = self._benchmarks[sample.benchmark]
        if isinstance(benchmark, SelectsPassages):
            chosen: Sequence[Chunk] = benchmark.select(sample, ranked, rag.k)
        else:
            chosen = ranked(rag.k)
        hits = [found[chunk.id] for chunk in chosen]
        kept = collection.within_budget(hits, rag.context_tokens or CONTEXT_TOKENS)
        return Context(
            sample_id=sample.id,
            benchmark=sample.benchmark,
            key=key,
            passages=tuple(hit.chunk for hit in kept),
            retrieval_s=math.fsum(spent),
        )

    def close(self) -> None:
        """Close them all; harmless when called twice."""
        self._stack.close()


class ContextStore:
    """The stored contexts, found by their place in the file and read when asked for."""

    def __init__(self, folder: RunFolder, on_damage: Callable[[Damage], None] | None = None) -> None:
        """Read where each context is; `on_damage` is told of the lines that cannot be read."""
        self._path: Path = folder.path / "contexts.jsonl"
        self._places = {_address(entry): offset for offset, entry in read_entries(self._path, on_damage)}
        # Systems are interleaved per sample, so the last few contexts are asked for again and again.
        self._read = lru_cache(maxsize=256)(self._passages_at)

    def __contains__(self, address: tuple[str, str, str]) -> bool:
        return address in self._places

    def passages(self, benchmark: str, sample_id: str, key: str) -> tuple[Chunk, ...]:
        """Return the passages; RunError where none are stored, because the file was damaged."""
        place = self._places.get((benchmark, sample_id, key))
        if place is None:
            raise RunError(
                f"{self._path} lacks the context of sample {sample_id!r}; "
                f"'ragassay eval resume {self._path.parent}' retrieves it again."
            )
        return self._read(place)

    def _passages_at(self, place: int) -> tuple[Chunk, ...]:
        return context_from_json(entry_at(self._path, place)).passages


def context_writer(folder: RunFolder) -> JournalWriter:
    """Open the file of contexts for appending."""
    return JournalWriter(folder.path / "contexts.jsonl", context_to_json)


def _context_key(label: str, fingerprint: str) -> str:
    """Return the name of a retrieval setting over an index as it stands."""
    return f"{label}@{fingerprint[:16]}"


def retrieve_contexts(
    folder: RunFolder,
    spec: RunSpec,
    *,
    keys: Mapping[str, str],
    open_collections: Callable[[], Collections],
    tell: Callable[[int, int], None],
) -> None:
    """Retrieve and store what is missing; all of it is on disk when this returns.

    Args:
        folder: where to store.
        spec: whose samples, for every retrieval setting.
        keys: retrieval label to context key.
        open_collections: called only when something is missing; what it returns is closed afterwards.
        tell: told how many of how many are there.

    Raises:
        RunError: a collection changed since the run began.
    """
    stored = ContextStore(folder)
    samples = [sample for benchmark in spec.benchmarks for sample in benchmark.samples]
    wanted = [(sample, label) for sample in samples for label in keys]
    missing = [(s, label) for s, label in wanted if (s.benchmark, s.id, keys[label]) not in stored]
    tell(len(wanted) - len(missing), len(wanted))
    if not missing:
        return
    collections = open_collections()
    try:
        _check_unchanged(collections, keys)
        with context_writer(folder) as writer:
            futures = []
            for done, (sample, label) in enumerate(missing, start=len(wanted) - len(missing) + 1):
                context = collections.retrieve(sample, collections.rags[label], keys[label])
                futures.append(writer.append(context))
                tell(done, len(wanted))
            for future in futures:
                future.result()
    finally:
        collections.close()


def _check_unchanged(collections: Collections, keys: Mapping[str, str]) -> None:
    now = collections.fingerprints()
    for label, key in keys.items():
        name = collections.rags[label].collection
        if _context_key(label, now[name]) != key:
            raise RunError(
                f"collection {name!r} changed since the run began, so the missing contexts would not be "
                "comparable; start a new run."
            )


def own_key(system: str, repeat: int) -> str:
    """Return the context key of passages that a system told by itself."""
    return f"own:{system}:{repeat}"


def is_own(key: str | None) -> bool:
    """Return whether `key` is one of `own_key`."""
    return key is not None and key.startswith("own:")


def is_lost(record: Record, contexts: ContextStore) -> bool:
    """Return whether a system was shown passages that `contexts` lacks, because the file was damaged."""
    return record.context_key is not None and context_address(record) not in contexts


def context_address(record: Record) -> tuple[str, str, str]:
    """Return where the passages of `record` are stored; it must have a context key."""
    assert record.context_key is not None
    return record.benchmark, record.sample_id, record.context_key


def _address(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["benchmark"], entry["sample_id"], entry["key"]


def context_keys(rags: Mapping[str, RagConfig], fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Return the context key of each retrieval label."""
    return {label: _context_key(label, fingerprints[rag.collection]) for label, rag in rags.items()}
