"""What judges are asked about: the replies of a run by sample, and the verdicts that are there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from evals.codec import Key, judge_reply_from_json
from evals.core import Case, JudgedMetric, Record, Score
from evals.folder import RunFolder
from evals.lines import entry_at
from evals.metrics import load_judged
from evals.metrics.judging import NO_VERDICT, Known, Wanted, consult, score_case
from evals.runner.contexts import ContextStore, context_address, is_lost
from evals.runner.spec import RunSpec
from rag.core import Completion

__all__ = [
    "LOST_PASSAGES",
    "CaseBook",
    "Group",
    "JudgedScores",
    "Verdicts",
    "judge_names",
    "judged_metrics",
]

LOST_PASSAGES = "the passages that it rests on are lost"

Group = tuple[str, str, int]
"""Benchmark, sample and repeat: the replies that are read together."""


def judged_metrics(spec: RunSpec) -> dict[str, Sequence[JudgedMetric]]:
    """Return the metrics that need a judge, of each benchmark that has any."""
    found = {b.config.name: load_judged(b.metrics, spec.config) for b in spec.benchmarks}
    return {name: metrics for name, metrics in found.items() if metrics}


def judge_names(spec: RunSpec) -> tuple[str, ...]:
    """Return the judges by the REF of their provider, in the order of the config."""
    return tuple(judge.provider for judge in spec.config.judge)


class Verdicts:
    """The judges' replies that stand, found by what was asked and read from the journal when needed."""

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.path / "journal.jsonl"
        self._places = {
            (reply.judge, reply.request_sha256, reply.ordinal): place
            for place, reply in folder.judge_replies()
            if not reply.completion.outcome.infrastructure
        }
        self._read = lru_cache(maxsize=512)(self._read_at)

    def of(self, judge: str, fresh: Mapping[tuple[str, int], Completion] | None = None) -> Known:
        """Return how a judge's replies are found; `fresh` ones come before those of the journal."""

        def known(request_sha256: str, ordinal: int) -> Completion | None:
            if fresh and (request_sha256, ordinal) in fresh:
                return fresh[request_sha256, ordinal]
            place = self._places.get((judge, request_sha256, ordinal))
            return None if place is None else self._read(place)

        return known

    def _read_at(self, place: int) -> Completion:
        return judge_reply_from_json(entry_at(self._path, place)).completion


class CaseBook:
    """The replies of a run as cases, and which metrics each is judged by."""

    def __init__(self, folder: RunFolder, spec: RunSpec, contexts: ContextStore) -> None:
        self._folder = folder
        self._contexts = contexts
        self._metrics = judged_metrics(spec)
        self._rubrics = {b.config.name: b.config.rubric or "" for b in spec.benchmarks}
        self._samples = {
            (b.config.name, sample.id): sample
            for b in spec.benchmarks
            if b.config.name in self._metrics
            for sample in b.samples
        }
        self._order = {system.name: place for place, system in enumerate(spec.config.systems)}
        self._places: dict[Group, list[tuple[Key, int]]] = {}
        if self._metrics:
            self._find()
        self.cases = lru_cache(maxsize=256)(self._cases)

    @property
    def groups(self) -> Sequence[Group]:
        """The groups of replies, in the order received."""
        return [*self._places]

    def judged(self, group: Group) -> Iterator[tuple[JudgedMetric, Case]]:
        """Yield what there is to judge in a group; not by metrics of passages that are lost."""
        for case in self.cases(group):
            for metric in self._metrics[group[0]]:
                if not (metric.needs_passages and self._lost(case.record)):
                    yield metric, case

    def pending(self, group: Group, known: Known) -> bool:
        """Return whether a judge has yet to be asked about a group."""
        return any(isinstance(consult(metric, case, known), Wanted) for metric, case in self.judged(group))

    def scores(self, record: Record, judges: Mapping[str, Known]) -> Iterator[Score]:
        """Yield the judged scores of a reply."""
        metrics = self._metrics.get(record.benchmark, ())
        if not metrics:
            return
        group = (record.benchmark, record.sample_id, record.repeat)
        case = next(case for case in self.cases(group) if case.record.system == record.system)
        for metric in metrics:
            if metric.needs_passages and self._lost(record):
                for name in metric.names:
                    yield Score(metric=name, value=None, error=LOST_PASSAGES)
            else:
                yield from score_case(metric, case, judges)

    def _find(self) -> None:
        for key, place in self._folder.places().items():
            if (key.benchmark, key.sample_id) in self._samples and key.system in self._order:
                group = (key.benchmark, key.sample_id, key.repeat)
                self._places.setdefault(group, []).append((key, place))
        for found in self._places.values():
            found.sort(key=lambda item: self._order[item[0].system])

    def _cases(self, group: Group) -> tuple[Case, ...]:
        records = [self._folder.record_at(place) for _, place in self._places.get(group, ())]
        readable = [r for r in records if r.completion.outcome.answered and r.answer.strip()]
        return tuple(self._case(record, readable) for record in records)

    def _lost(self, record: Record) -> bool:
        return is_lost(record, self._contexts)

    def _case(self, record: Record, readable: Sequence[Record]) -> Case:
        there = record.context_key is not None and not self._lost(record)
        return Case(
            sample=self._samples[record.benchmark, record.sample_id],
            record=record,
            passages=self._contexts.passages(*context_address(record)) if there else (),
            others=tuple(other for other in readable if other.system != record.system),
            rubric=self._rubrics[record.benchmark],
        )


class JudgedScores:
    """The scores that rest on verdicts, from the run folder alone; `missing` counts verdicts not received."""

    def __init__(self, folder: RunFolder, spec: RunSpec, contexts: ContextStore) -> None:
        self._book = CaseBook(folder, spec, contexts)
        verdicts = Verdicts(folder) if self._book.groups else None
        self._known = {} if verdicts is None else {name: verdicts.of(name) for name in judge_names(spec)}
        self.missing = 0

    def of(self, record: Record) -> Iterator[Score]:
        """Yield the scores of a reply."""
        for score in self._book.scores(record, self._known):
            self.missing += [*(score.by_judge or {}).values()].count(NO_VERDICT)
            yield score
