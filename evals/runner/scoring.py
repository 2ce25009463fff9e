"""Scores of a run's replies, made from the run folder alone, and what became of every call."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from evals.calibration import calibration_notes
from evals.codec import Key, ScoredRecord
from evals.core import Record
from evals.folder import RunFolder
from evals.lines import Damage
from evals.runner.cases import JudgedScores
from evals.runner.contexts import ContextStore, is_lost
from evals.runner.shares import ShareEndedError, processes_for, score_records
from evals.runner.spec import RunSpec
from rag.core import Outcome

__all__ = ["Failure", "SystemTotals", "score_run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A call without a usable reply: tried again by `resume`."""

    key: Key
    outcome: Outcome
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemTotals:
    """What became of the samples of a system: replies wanted, and how many ended in each outcome."""

    wanted: int
    outcomes: Mapping[Outcome, int]

    @property
    def missing(self) -> int:
        """Samples about which nothing was learnt: no reply at all, or a failure of infrastructure."""
        return self.wanted - sum(n for outcome, n in self.outcomes.items() if not outcome.infrastructure)

    def too_many_missing(self, max_share: float) -> bool:
        """Return whether more than `max_share` is missing: 10.0 % of 0.1 passes, 10.1 % does not."""
        return Fraction(self.missing, max(self.wanted, 1)) > Fraction(str(max_share))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """The result of scoring a run.

    `failures` is in the order received; `lost_contexts` counts replies, `missing_verdicts` what judges have
    yet to be asked.
    """

    totals: Mapping[str, SystemTotals]
    failures: tuple[Failure, ...]
    damage: tuple[Damage, ...]
    lost_contexts: int = 0
    missing_verdicts: int = 0


def score_run(folder: RunFolder, spec: RunSpec, tell: Callable[[int], None] | None = None) -> Scored:
    """Score every reply in the journal, write `scores.jsonl`, and count the outcomes.

    `run.json` is told what is known of each metric's agreement with people.

    Args:
        folder: the run; its samples, contexts and journal are read, no provider is called.
        spec: the one that `folder` holds, which says what metrics each benchmark has.
        tell: told how many replies are scored.
    """
    try:
        scored = _scored(folder, spec, tell, processes_for(spec))
    except ShareEndedError:  # most likely for want of memory, of which one process needs the least
        scored = _scored(folder, spec, tell, 1)
    # Reports need nothing but the folder: what is known of the metrics now goes with their scores.
    metrics = dict.fromkeys(name for benchmark in spec.benchmarks for name in benchmark.metrics)
    folder.update(calibration=calibration_notes(metrics, spec.config))
    return scored


def _scored(folder: RunFolder, spec: RunSpec, tell: Callable[[int], None] | None, processes: int) -> Scored:
    outcomes: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
    failures: list[Failure] = []
    damage: list[Damage] = []

    def counted() -> Iterator[Record]:
        for number, record in enumerate(folder.records(damage.append), start=1):
            outcome, error = record.completion.outcome, record.completion.error
            outcomes[record.system][outcome] += 1
            if outcome.infrastructure:
                failures.append(Failure(key=Key.of(record), outcome=outcome, error=error))
            if tell is not None:
                tell(number)
            yield record

    contexts = ContextStore(folder, damage.append)
    judged = JudgedScores(folder, spec, contexts)
    lost = 0

    def completed() -> Iterator[ScoredRecord]:
        nonlocal lost
        for record, scores in score_records(counted(), folder, contexts, spec, processes):
            lost += is_lost(record, contexts)
            yield ScoredRecord(key=Key.of(record), scores=(*scores, *judged.of(record)))

    folder.write_scores(completed())
    wanted = sum(len(benchmark.samples) for benchmark in spec.benchmarks) * spec.config.repeats
    totals = {
        system.name: SystemTotals(wanted=wanted, outcomes=dict(outcomes[system.name]))
        for system in spec.config.systems
    }
    return Scored(
        totals=totals,
        failures=tuple(failures),
        damage=tuple(damage),
        lost_contexts=lost,
        missing_verdicts=judged.missing,
    )
