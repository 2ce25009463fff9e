"""What the judges of a run will take: judgements carried out on made-up answers and replies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from evals.core import Case, JudgedMetric, Record, Sample
from evals.metrics.judging import Wanted, consult
from evals.runner.cases import judged_metrics
from evals.runner.judges import Judge
from evals.runner.spec import BenchmarkSpec, RunSpec, settings_of
from evals.runner.systems import System
from evals.runner.turns import history_of
from rag.core import Chunk, Completion, Outcome, Request, Timing
from rag.pricing import least, most
from rag.providers.tokens import TokenCount, count_tokens

__all__ = ["JudgeCost", "Passages", "judge_cost"]

# The retrieved passages of a system, by benchmark and system; None for a closed book.
Passages = Mapping[tuple[str, str], tuple[Chunk, ...] | None]

_LOOKED_AT = 6
_ANSWER_WHEN_UNLIMITED = 1024
_ITEMS = {"low": 1, "high": 40}
_STATEMENT = "A statement of a usual length, of ten words, told by"
_NONE = TokenCount(low=0, likely=0, high=0, counted=True)
# Read as a rating and as a tie, where a published prompt asks for a text.
_VERDICT = "[[5]] [[C]]"


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeCost:
    """Calls, tokens and money of one judge over the whole run; money is None where the price is unknown."""

    calls: int
    inputs: TokenCount
    output_tokens_max: int
    low_usd: Decimal | None
    high_usd: Decimal | None


def judge_cost(judge: Judge, spec: RunSpec, systems: Sequence[System], passages: Passages) -> JudgeCost:
    """Return what a judge will take, from a few samples of each benchmark.

    The low figure holds answers of one word and one statement each, the high one answers that fill
    `max_tokens` with forty statements, and replies of the judge that fill its own. No two systems are taken
    to answer alike: what is the same will be judged once.
    """
    metrics = judged_metrics(spec)
    parts = [
        _part(judge, _Rehearsal(benchmark, metrics[benchmark.config.name], systems, passages), spec)
        for benchmark in spec.benchmarks
        if benchmark.config.name in metrics
    ]
    return JudgeCost(
        calls=sum(part.calls for part in parts),
        inputs=sum((part.inputs for part in parts), start=_NONE),
        output_tokens_max=sum(part.output_tokens_max for part in parts),
        low_usd=_sum([part.low_usd for part in parts]),
        high_usd=_sum([part.high_usd for part in parts]),
    )


def _part(judge: Judge, rehearsal: _Rehearsal, spec: RunSpec) -> JudgeCost:
    """Return the share of one benchmark, scaled from some of its samples to all."""
    samples = rehearsal.benchmark.samples
    some = _some(samples)
    low, high = (
        [judge.request(wanted) for sample in some for wanted in rehearsal.asked(sample, size)]
        for size in ("low", "high")
    )
    name, model = judge.provider.name, judge.provider.model
    at_least, at_most = count_tokens(name, model, low), count_tokens(name, model, high)
    outputs = [request.settings.max_tokens or 0 for request in high]
    scale = Decimal(len(samples) * spec.config.repeats) / max(1, len(some))
    cheap = _sum([least(judge.price, count.low, 1) for count in at_least])
    dear = _sum([most(judge.price, count.high, n) for count, n in zip(at_most, outputs, strict=True)])
    bounds = [sum(count.low for count in at_least), sum(count.high for count in at_most)]
    inputs = [round(n * scale) for n in bounds]
    return JudgeCost(
        calls=round(len(high) * scale),
        inputs=TokenCount(low=inputs[0], likely=sum(inputs) // 2, high=inputs[1]),
        output_tokens_max=round(sum(outputs) * scale),
        low_usd=None if cheap is None else cheap * scale,
        high_usd=None if dear is None else dear * scale,
    )


def _some(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples spread over all, with the turns that follow them: later ones cost more."""
    first = [sample for sample in samples if sample.follows is None]
    chosen = {sample.id for sample in first[:: max(1, len(first) // _LOOKED_AT)]}
    found = []
    for sample in samples:
        if sample.id in chosen or sample.follows in chosen:
            chosen.add(sample.id)
            found.append(sample)
    return found


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """Judges made-up replies of all systems to the samples of a benchmark."""

    benchmark: BenchmarkSpec
    metrics: Sequence[JudgedMetric]
    systems: Sequence[System]
    passages: Passages

    def asked(self, sample: Sample, size: str) -> list[Wanted]:
        """Return what a judge would be asked about the replies to a sample."""
        records = [self._record(sample, system, size) for system in self.systems]
        known: dict[tuple[str, int], Completion] = {}
        found: list[Wanted] = []
        for record in records:
            case = Case(
                sample=sample,
                record=record,
                passages=self.passages.get((sample.benchmark, record.system)) or (),
                others=tuple(other for other in records if other is not record),
                rubric=self.benchmark.config.rubric or "",
            )
            for metric in self.metrics:
                while isinstance(wanted := consult(metric, case, lambda *asked: known.get(asked)), Wanted):
                    found.append(wanted)
                    known[wanted.sha256, wanted.ordinal] = _completion(
                        _reply(wanted.request, f"{_STATEMENT} {record.system}", _ITEMS[size])
                    )
        return found

    def _record(self, sample: Sample, system: System, size: str) -> Record:
        words = 1
        if size == "high":
            words = settings_of(system.config, self.benchmark.config).max_tokens or _ANSWER_WHEN_UNLIMITED
        answer = f"{system.name}: {' '.join(['answer'] * words)}"  # a token a word for most tokenizers
        own = {other.id: other for other in self.benchmark.samples} if sample.follows else {}
        closed_book = self.passages.get((sample.benchmark, system.name)) is None
        return Record(
            benchmark=sample.benchmark,
            sample_id=sample.id,
            system=system.name,
            repeat=0,
            completion=_completion(answer),
            answer=answer,
            context_key=None if closed_book else "forecast",
            history=history_of(sample, own, lambda _: answer),
        )


def _completion(text: str) -> Completion:
    return Completion(
        text=text, outcome=Outcome.OK, provider="forecast", model="forecast", timing=Timing(sent=0.0)
    )


def _reply(request: Request, statement: str, items: int) -> str:
    """Return a reply of the form asked for: lists of so many items, every text the statement."""
    schema = request.settings.response_schema
    if schema is None:
        return _VERDICT
    named: Mapping[str, Any] = schema.get("$defs", {})  # type: ignore[assignment]  # the schemas it refers to

    def value(part: Mapping[str, Any]) -> Any:
        if "$ref" in part:
            return value(named[part["$ref"].rpartition("/")[2]])
        if "enum" in part:
            return part["enum"][0]
        kind = part.get("type")
        if kind == "object":
            return {name: value(one) for name, one in part["properties"].items()}
        if kind == "array":
            return [value(part["items"])] * items
        return False if kind == "boolean" else statement

    return json.dumps(value(schema))


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
