"""Scores of a run's replies, made from the run folder alone, and what became of every call."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from evals.calibration import calibration_notes
from evals.codec import Key, ScoredRecord
from evals.core import Metric, Record, Sample, Score
from evals.folder import RunFolder
from evals.lines import Damage
from evals.metrics import load_metrics, prepare_metrics, score_record
from evals.metrics.scoring import BLOCK
from evals.runner.cases import LOST_PASSAGES, JudgedScores
from evals.runner.contexts import ContextStore, context_address
from evals.runner.spec import RunSpec
from rag.core import Chunk, Outcome

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
        spec: which metrics each benchmark has.
        tell: told how many replies are scored.
    """
    outcomes: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
    failures: list[Failure] = []
    damage: list[Damage] = []

    def counted() -> Iterator[Record]:
        for number, record in enumerate(folder.records(damage.append), start=1):
            completion = record.completion
            outcomes[record.system][completion.outcome] += 1
            if completion.outcome.infrastructure:
                failures.append(
                    Failure(key=Key.of(record), outcome=completion.outcome, error=completion.error)
                )
            if tell is not None:
                tell(number)
            yield record

    contexts = ContextStore(folder, damage.append)
    lost: Counter[str] = Counter()
    judged = JudgedScores(folder, spec, contexts)
    folder.write_scores(_with_verdicts(_scores(counted(), contexts, spec, lost), judged))
    # Reports need nothing but the folder: what is known of the metrics now goes with their scores.
    metrics = dict.fromkeys(name for benchmark in spec.benchmarks for name in benchmark.metrics)
    folder.update(calibration=calibration_notes(metrics, spec.config))
    wanted = sum(len(benchmark.samples) for benchmark in spec.benchmarks) * spec.config.repeats
    totals = {
        system.name: SystemTotals(wanted=wanted, outcomes=dict(outcomes[system.name]))
        for system in spec.config.systems
    }
    return Scored(
        totals=totals,
        failures=tuple(failures),
        damage=tuple(damage),
        lost_contexts=lost.total(),
        missing_verdicts=judged.missing,
    )


def _with_verdicts(
    scored: Iterator[tuple[Record, tuple[Score, ...]]], judged: JudgedScores
) -> Iterator[ScoredRecord]:
    for record, scores in scored:
        yield ScoredRecord(key=Key.of(record), scores=(*scores, *judged.of(record)))


def _scores(
    records: Iterator[Record], contexts: ContextStore, spec: RunSpec, lost: Counter[str]
) -> Iterator[tuple[Record, tuple[Score, ...]]]:
    metrics = {b.config.name: load_metrics(b.metrics, spec.config) for b in spec.benchmarks}
    samples: dict[tuple[str, str], Sample] = {
        (benchmark.config.name, sample.id): sample
        for benchmark in spec.benchmarks
        for sample in benchmark.samples
    }
    # A benchmark that this version of the spec no longer has is left out.
    wanted = (record for record in records if (record.benchmark, record.sample_id) in samples)
    while block := list(islice(wanted, BLOCK)):
        items = [(samples[r.benchmark, r.sample_id], r, _passages(r, contexts)) for r in block]
        for name, chosen in metrics.items():
            prepare_metrics(chosen, [(s, r, p) for s, r, p in items if r.benchmark == name and p is not None])
        for sample, record, passages in items:
            chosen = metrics[record.benchmark]
            if passages is None:
                lost[record.system] += 1
                scores = tuple(_without_passages(sample, record, chosen))
            else:
                scores = score_record(sample, record, passages, chosen)
            yield record, scores


def _passages(record: Record, contexts: ContextStore) -> Sequence[Chunk] | None:
    """Return what the system was shown, () for a closed book; None where it is lost."""
    if record.context_key is None:
        return ()
    address = context_address(record)
    return contexts.passages(*address) if address in contexts else None


def _without_passages(sample: Sample, record: Record, metrics: Sequence[Metric]) -> Iterator[Score]:
    for metric in metrics:
        if metric.needs_passages:
            for name in metric.names:
                yield Score(metric=name, value=None, error=LOST_PASSAGES)
        else:
            yield from score_record(sample, record, (), [metric])
