"""The benchmarks of a run, each with all that was measured on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.core import Record, Sample
from evals.metrics.catalog import metric_info
from evals.reporting.data import BenchmarkFacts, RunData
from evals.reporting.model import BenchmarkSummary
from evals.reporting.scoretable import ScoreTable, score_tables
from evals.resampling import FEW_CLUSTERS, Resampler

__all__ = ["CONFIDENCE", "RESAMPLES", "Part", "leading_parts", "read_parts"]

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A benchmark with all that was measured on it; `records` by system, `tables` by metric."""

    summary: BenchmarkSummary
    samples: Sequence[Sample]
    records: Mapping[str, Sequence[Record]]
    tables: Mapping[str, ScoreTable]
    resampler: Resampler

    @property
    def leading(self) -> ScoreTable | None:
        """The scores that stand for quality; None where the benchmark has none."""
        return self.tables[self.summary.leading] if self.summary.leading and self.samples else None


def read_parts(run: RunData) -> list[Part]:
    """Return the benchmarks of a run in their order."""
    return [_part(run, facts, number) for number, facts in enumerate(run.benchmarks)]


def leading_parts(parts: Sequence[Part]) -> list[Part]:
    """Return the benchmarks that have a metric which stands for quality."""
    return [part for part in parts if part.leading is not None]


def _part(run: RunData, facts: BenchmarkFacts, number: int) -> Part:
    samples = [sample for sample in run.samples if sample.benchmark == facts.name]
    records: dict[str, list[Record]] = defaultdict(list)
    for record in run.records:
        if record.benchmark == facts.name:
            records[record.system].append(record)
    tables = score_tables(run, samples, [record for group in records.values() for record in group])
    known = [name for name in facts.metrics if name in tables]
    metrics = tuple(dict.fromkeys([*known, *tables]))
    # Each benchmark draws from a generator of its own, so that draws of different ones are independent.
    clusters = [sample.cluster for sample in samples]
    groups = Resampler(clusters).clusters
    # Intervals and tests over a handful of subjects mean little; the report says what was done instead. But
    # turns of a conversation and orders of an item are no samples of their own, however few there are.
    usable = groups >= FEW_CLUSTERS or any(s.follows or "rotation" in s.metadata for s in samples)
    resampler = Resampler(
        clusters if usable else [None] * len(samples),
        resamples=RESAMPLES,
        seed=run.seed * 1009 + number,
        confidence=CONFIDENCE,
    )
    return Part(
        summary=BenchmarkSummary(
            name=facts.name,
            kind=facts.kind or facts.name,
            samples=len(samples),
            clusters=groups,
            clustered=usable and groups < len(samples),
            metrics=metrics,
            leading=next((name for name in metrics if metric_info(name).correctness), None),
            data=facts.data,
            split=facts.split,
            sha256=facts.sha256,
            licence=facts.licence,
            citation=facts.citation,
        ),
        samples=samples,
        records=records,
        tables=tables,
        resampler=resampler,
    )
