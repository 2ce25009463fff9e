"""The words of an evaluation: frozen values and the Protocols of benchmarks and metrics."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from rag.config import BenchmarkConfig, Config
from rag.core import Chunk, Citation, Completion, Message, Request, Settings

__all__ = [
    "NOT_ASKED",
    "OPEN",
    "BatchMetric",
    "Benchmark",
    "Case",
    "Context",
    "JudgeReply",
    "JudgedMetric",
    "Judgement",
    "Measure",
    "Metric",
    "OfSomeSamples",
    "Record",
    "Sample",
    "SampleSet",
    "Score",
    "ScoreItem",
    "SelectsPassages",
]

NOT_ASKED = "not asked"
"""Finish reason of the empty reply that stands where only the retrieval is measured and nobody is asked."""


OPEN = "open"
"""In the metadata of a question that nothing is known to answer: a judge may rate what is said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One question of a benchmark.

    `targets` holds every accepted answer; empty means that the right reply is a refusal, unless the question
    is `OPEN`. For multiple choice
    `choices` holds the options and `targets` the letter of the right one. `relevant` names passages as
    `source` or `source#page`; `gains` are their grades where these differ, one each. `cluster` groups samples
    that are not independent (a subject, a document).
    `shots` are solved examples that a prompt shows first, as (question with options, letter). `follows` is
    the id of the sample whose question and reply come before in the same conversation.
    """

    id: str
    benchmark: str
    question: str
    targets: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    relevant: tuple[str, ...] = ()
    gains: tuple[int, ...] = ()
    cluster: str | None = None
    language: str | None = None
    shots: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    follows: str | None = None

    @property
    def unanswerable(self) -> bool:
        """True where a refusal is right."""
        return not self.targets and OPEN not in self.metadata


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleSet:
    """The samples of a benchmark with their provenance, and what was left out and why."""

    samples: tuple[Sample, ...]
    data: str
    sha256: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The passages retrieved once for a sample under one retrieval setting; the same for every system.

    `key` names the retrieval setting: collection, index fingerprint, mode and k.
    """

    sample_id: str
    benchmark: str
    key: str
    passages: tuple[Chunk, ...]
    retrieval_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One received reply: what the journal holds.

    `answer` is the text shown after citation lines are taken off, `refused` whether it says that the
    documents do not answer. `started` is wall-clock time in ISO 8601, UTC. `history` are the turns of the
    conversation before this question. `shots` counts the solved examples that were shown; `seed` is the
    run's.
    """

    benchmark: str
    sample_id: str
    system: str
    repeat: int
    completion: Completion
    answer: str
    citations: tuple[Citation, ...] = ()
    refused: bool = False
    context_key: str | None = None
    prompt_sha256: str | None = None
    started: str = ""
    history: tuple[Message, ...] = ()
    shots: int = 0
    seed: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeReply:
    """One received reply of a judge: what the journal holds beside the records.

    `request_sha256` says what was asked, `ordinal` how often the same had been asked before in one judgement;
    with the judge they find the reply again. The rest says for which record and metric it was asked first.
    """

    judge: str
    request_sha256: str
    ordinal: int
    completion: Completion
    benchmark: str
    sample_id: str
    system: str
    repeat: int
    metric: str
    started: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One metric of one record.

    `value` is None, with a `reason`, where it could not be measured or does not apply; `error` is set when
    the metric itself failed. Never NaN; never 0 for "not measured". `by_judge` is what each judge's replies
    came to: a value, or the reason why there is none.
    """

    metric: str
    value: float | None
    reason: str | None = None
    error: str | None = None
    by_judge: Mapping[str, float | str] | None = None


class Measure(Protocol):
    """What every metric says of itself.

    `names` are the metrics that one call scores. `needs_answer` is False for metrics of the retrieval alone,
    which are scored whatever the outcome was; `needs_passages` is True where a closed book has no score.
    """

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def needs_answer(self) -> bool: ...

    @property
    def needs_passages(self) -> bool: ...


@runtime_checkable
class Metric(Measure, Protocol):
    """Scores one record. Pure: the same arguments give the same score."""

    def score(self, sample: Sample, record: Record, passages: Sequence[Chunk]) -> Sequence[Score]:
        """Return one Score for each of `names`, in that order."""
        ...


ScoreItem: TypeAlias = tuple[Sample, Record, Sequence[Chunk]]
"""What is scored: a sample, the record of a reply, the passages that the system was shown."""


@runtime_checkable
class BatchMetric(Metric, Protocol):
    """A metric whose model is faster with many replies at once."""

    def prepare(self, items: Sequence[ScoreItem]) -> None:
        """Compute together what `score` will need of each item; `score` gives the same value without it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """What a judge is asked about: a reply, and all that belongs to it.

    `others` are the replies of the other systems to the same sample that can be read, in the order of the
    systems. `rubric` is the user's own, empty for that of the metric.
    """

    sample: Sample
    record: Record
    passages: Sequence[Chunk] = ()
    others: Sequence[Record] = ()
    rubric: str = ""


Judgement: TypeAlias = Generator[Request, Completion, Sequence[Score]]
"""Asks a judge one request after the other: yields each, is sent its answered reply, returns the scores."""


@runtime_checkable
class JudgedMetric(Measure, Protocol):
    """A metric that needs a judge's replies. Pure: the same case and the same replies give the same scores.

    So a judgement is carried out with calls once, and again at any time from the replies in the journal.
    """

    def judge(self, case: Case) -> Judgement:
        """Return the judgement of a case; it gives one Score for each of `names`, in that order.

        Raises:
            UnreadableError: a reply of the judge is not what was asked for.
        """
        ...


@runtime_checkable
class OfSomeSamples(Protocol):
    """A metric that some samples have no value of, whatever became of the reply."""

    def inapplicable(self, sample: Sample) -> str | None:
        """Return why a sample has none; None where it has."""
        ...


@runtime_checkable
class SelectsPassages(Protocol):
    """A benchmark that decides itself which passages a system is shown, out of those retrieved."""

    def select(self, sample: Sample, ranked: Callable[[int], Sequence[Chunk]], k: int) -> Sequence[Chunk]:
        """Return the passages to show, in their order.

        Args:
            sample: whose question was searched for.
            ranked: gives the n best passages for it, best first; fewer where the collection has no more.
            k: how many the system's setting asks for.
        """
        ...


@runtime_checkable
class Benchmark(Protocol):
    """A data set, how it is asked and how it is scored."""

    @property
    def licence(self) -> str: ...

    @property
    def citation(self) -> str: ...

    @property
    def default_metrics(self) -> Sequence[str]: ...

    def load(self, spec: BenchmarkConfig, config: Config) -> SampleSet:
        """Read the samples that `spec` selects, in a stable order."""
        ...

    def request(self, sample: Sample, passages: Sequence[Chunk] | None, settings: Settings) -> Request:
        """Build what a system is asked; `passages` is None for a closed book."""
        ...

    def prompt_hashes(self) -> Mapping[str, str]:
        """Return the hash of the prompt templates for each way of asking."""
        ...
