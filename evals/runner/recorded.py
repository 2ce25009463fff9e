"""Answers given elsewhere as a system: read from a file, scored like any other, nothing is called.

A row is `{"id", "answer", "benchmark"?, "repeat"?, "contexts"?: text | [text | {"text", "source", "page"}],
"usage"?: {"input_tokens", ...}, "timing"?: {"ttft_ms", "total_ms"}, "cost_usd"?, "model"?}`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from evals.benchmarks.rows import BadRows, read_rows
from evals.core import Sample
from evals.runner.runnable import passage_of
from evals.runner.spec import RunSpec
from evals.runner.systems import Reply, System
from evals.runner.turns import history_of
from rag.core import Chunk, Completion, Outcome, Timing, Usage
from rag.pricing import cost, price_for

__all__ = ["recorded_replies"]


def recorded_replies(system: System, spec: RunSpec) -> tuple[list[Reply], tuple[str, ...]]:
    """Return the replies that the file of `system` holds for the samples of `spec`, and warnings.

    Raises:
        LoadError: the file cannot be read, or holds too many bad rows.
    """
    assert system.recorded is not None
    samples: defaultdict[str, list[Sample]] = defaultdict(list)
    for benchmark in spec.benchmarks:
        for sample in benchmark.samples:
            samples[sample.id].append(sample)
    bad = BadRows(str(system.recorded), spec.config.limits.max_error_rate)
    replies: dict[tuple[str, str, int], Reply] = {}
    unknown = 0
    for place, row in read_rows(system.recorded, bad):
        try:
            identity, repeat, completion, passages = _read(row, system)
        except (ValueError, TypeError, AttributeError) as exc:
            bad.add(place, str(exc))
            continue
        named = row.get("benchmark")
        found = [s for s in samples.get(identity, ()) if named in (None, s.benchmark)]
        unknown += not found
        if any((sample.benchmark, sample.id, repeat) in replies for sample in found):
            bad.add(place, f"id {identity!r} was used before")
            continue
        for sample in found:
            if repeat < spec.config.repeats:
                replies[sample.benchmark, sample.id, repeat] = system.reply(
                    sample, repeat, completion, own_passages=passages
                )
    own = {b.config.name: {sample.id: sample for sample in b.samples} for b in spec.benchmarks}
    turns = [_with_history(reply, replies, own[reply.sample.benchmark]) for reply in replies.values()]
    warnings = [*bad.settle(len(replies) + unknown)]
    if unknown:
        warnings.append(f"{unknown} rows of {system.recorded} are for samples that are not in this run")
    return turns, tuple(f"{system.name}: {warning}" for warning in warnings)


def _with_history(
    reply: Reply, replies: Mapping[tuple[str, str, int], Reply], samples: Mapping[str, Sample]
) -> Reply:
    def said(before: Sample) -> str | None:
        found = replies.get((before.benchmark, before.id, reply.repeat))
        return None if found is None else found.completion.text

    return replace(reply, history=history_of(reply.sample, samples, said))


def _read(row: Any, system: System) -> tuple[str, int, Completion, tuple[Chunk, ...] | None]:
    if not isinstance(row, Mapping):
        raise ValueError("no header row")  # noqa: TRY004  # a bad row, not a bad argument
    if row.get("id") in (None, ""):
        raise ValueError("no 'id'")
    if not isinstance(row.get("answer"), str):
        raise ValueError("no 'answer'")  # noqa: TRY004
    repeat = row.get("repeat") or 0
    if not isinstance(repeat, int) or repeat < 0:
        raise ValueError(f"'repeat' should be a number from 0, not {repeat!r}")
    usage, timing = _usage(row.get("usage") or {}), _timing(row.get("timing") or {})
    paid = _number(row, "cost_usd")
    given = system.config.price
    price = None if given is None else price_for("recorded", system.name, given)
    completion = Completion(
        text=row["answer"],
        outcome=Outcome.OK,
        provider="recorded",
        model=system.model,
        model_answered=row.get("model"),
        usage=usage,
        timing=timing,
        cost=cost(price, usage, timing.total_s) if paid is None else paid,
        attempts=0,
    )
    contexts = row.get("contexts")
    if isinstance(contexts, str | Mapping):
        contexts = [contexts]
    passages = None if contexts is None else tuple(passage_of(context) for context in contexts)
    return str(row["id"]), repeat, completion, passages


def _usage(given: Mapping[str, Any]) -> Usage:
    counts = {field.name: _number(given, field.name) for field in fields(Usage)}
    return Usage(**{name: None if value is None else int(value) for name, value in counts.items()})


def _timing(given: Mapping[str, Any]) -> Timing:
    total, first = _number(given, "total_ms"), _number(given, "ttft_ms")
    return Timing(
        sent=0.0,
        first_content=None if first is None else float(first) / 1000,
        last=None if total is None else float(total) / 1000,
        streamed=first is not None,
    )


def _number(given: Mapping[str, Any], name: str) -> Decimal | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0:
        raise ValueError(f"{name!r} should be a number from 0, not {value!r}")
    return number
