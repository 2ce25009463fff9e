"""A run folder to the data of a report."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from evals.codec import ScoredRecord, context_from_json
from evals.core import Record, Sample
from evals.folder import RunFolder
from evals.lines import Damage, entry_at, read_entries
from evals.reporting.data import BenchmarkFacts, RunData, SystemFacts
from evals.reporting.model import Price
from rag.core import Chunk

__all__ = ["load_run", "run_data"]


def load_run(path: Path | str) -> RunData:
    """Read a run; needs nothing but its folder.

    Raises:
        RunError: it is not a run folder, or a part of it cannot be read.
    """
    with _uncollected():
        return _load(RunFolder.open(path))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector still: among millions of small values that all stay, it would find none."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _load(folder: RunFolder) -> RunData:
    passages = _Passages(folder.path / "contexts.jsonl")
    damages: list[Damage] = []
    records, replaced = folder.standing_and_replaced(damages.append)
    data = run_data(
        folder.path.name,
        folder.read(),
        samples=[*folder.samples()],
        records=records,
        replaced=replaced,
        scored=[*folder.scores()],
        warnings=[f"{damage}." for damage in damages],
    )
    replies = [reply for _, reply in folder.judge_replies()] if data.judges else []
    return replace(data, passages=passages.of, judge_replies=replies)


class _Passages:
    """The stored contexts, found by their place in the file, which is read when one is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[tuple[str, str, str], int] | None = None

    def of(self, benchmark: str, sample_id: str, key: str) -> tuple[Chunk, ...]:
        if self._places is None:
            found = read_entries(self._path)
            self._places = {(e["benchmark"], e["sample_id"], e["key"]): offset for offset, e in found}
        place = self._places.get((benchmark, sample_id, key))
        return () if place is None else context_from_json(entry_at(self._path, place)).passages


def run_data(
    name: str,
    state: Mapping[str, Any],
    *,
    samples: list[Sample],
    records: list[Record],
    replaced: list[Record],
    scored: list[ScoredRecord],
    warnings: list[str],
) -> RunData:
    """Return the data of a report from the content of `run.json` and the other files."""
    config = state.get("config") or {}
    by_name = {benchmark["name"]: benchmark for benchmark in config.get("benchmarks", ())}
    return RunData(
        run=name,
        created=str(state.get("created") or ""),
        state=str(state.get("state") or ""),
        seed=int(state.get("seed") or 0),
        repeats=int(state.get("repeats") or 1),
        spec=config,
        versions=state.get("versions") or {},
        gates=state.get("gates") or (),
        judges=state.get("judges") or (),
        calibration=state.get("calibration") or {},
        systems=[_system(facts) for facts in state.get("systems") or ()],
        benchmarks=[
            _benchmark(benchmark, facts, by_name.get(benchmark, {}))
            for benchmark, facts in (state.get("benchmarks") or {}).items()
        ],
        samples=samples,
        records=records,
        replaced=replaced,
        scores={line.key: line.scores for line in scored},
        warnings=[*warnings, *(str(warning) for warning in state.get("warnings") or ())],
    )


def _system(facts: Mapping[str, Any]) -> SystemFacts:
    rag = facts.get("rag") or {}
    return SystemFacts(
        name=facts["name"],
        kind=str(facts.get("kind") or "provider"),
        provider=str(facts.get("provider") or ""),
        model=str(facts.get("model") or ""),
        collection=rag.get("collection"),
        k=rag.get("k"),
        price=_price(facts.get("price")),
    )


def _price(facts: Mapping[str, Any] | None) -> Price | None:
    if not facts:
        return None
    amounts = {
        name: None if facts.get(name) is None else Decimal(str(facts[name]))
        for name in ("input_per_mtok", "output_per_mtok", "usd_per_hour")
    }
    return Price(
        kind=str(facts.get("kind") or "per_token"),
        source=str(facts.get("source") or ""),
        as_of=facts.get("as_of"),
        **amounts,
    )


def _benchmark(name: str, facts: Mapping[str, Any], config: Mapping[str, Any]) -> BenchmarkFacts:
    return BenchmarkFacts(
        name=name,
        kind=str(facts.get("benchmark") or name),
        metrics=tuple(facts.get("metrics") or ()),
        data=str(facts.get("data") or ""),
        split=facts.get("split") or config.get("split"),
        sha256=str(facts.get("sha256") or ""),
        licence=str(facts.get("licence") or ""),
        citation=str(facts.get("citation") or ""),
    )
