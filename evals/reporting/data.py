"""What a report is made from: the content of a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.codec import Key
from evals.core import JudgeReply, Record, Sample, Score
from evals.reporting.model import Price
from rag.core import Chunk

__all__ = ["BenchmarkFacts", "RunData", "SystemFacts", "no_passages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemFacts:
    """A system as the run knew it; `k` passages of `collection` are retrieved for it.

    `kind` is `provider`, `runnable` (an app of the user's, which may retrieve by itself) or `recorded`.
    """

    name: str
    kind: str = "provider"
    provider: str = ""
    model: str = ""
    collection: str | None = None
    k: int | None = None
    price: Price | None = None

    @property
    def closed_book(self) -> bool:
        """True where it is asked without any passages."""
        return self.kind == "provider" and self.collection is None


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkFacts:
    """A benchmark as the run knew it; `metrics` in the order to show, empty: as they come."""

    name: str
    kind: str = ""
    metrics: tuple[str, ...] = ()
    data: str = ""
    split: str | None = None
    sha256: str = ""
    licence: str = ""
    citation: str = ""


def no_passages(benchmark: str, sample_id: str, key: str) -> Sequence[Chunk]:  # noqa: ARG001
    """Return nothing: no passages are at hand."""
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RunData:
    """A run in memory: facts, samples, the last reply of each key, and the scores of each reply.

    `passages` returns what was retrieved, by benchmark, sample id and context key. `gates` are the verdicts
    and `judges` the facts as `run.json` holds them.
    `calibration` is what was known of each metric's agreement with people when it was scored.
    `replaced` are the replies that a later one of the same key stands in for: they count as money only.
    """

    run: str
    created: str
    systems: Sequence[SystemFacts]
    benchmarks: Sequence[BenchmarkFacts]
    samples: Sequence[Sample]
    records: Sequence[Record]
    scores: Mapping[Key, Sequence[Score]]
    replaced: Sequence[Record] = ()
    state: str = "finished"
    seed: int = 0
    repeats: int = 1
    spec: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    passages: Callable[[str, str, str], Sequence[Chunk]] = no_passages
    gates: Sequence[Mapping[str, object]] = ()
    judges: Sequence[Mapping[str, Any]] = ()
    judge_replies: Sequence[JudgeReply] = ()
    calibration: Mapping[str, Sequence[str]] = field(default_factory=dict)
